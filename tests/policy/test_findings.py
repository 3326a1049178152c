"""The doctor's rules by themselves: what was seen goes in, a finding with evidence and remedy comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from supaneon_sync.errors import ConfigError, NeonError, PrimaryError, QuotaError, Refused
from supaneon_sync.operations.doctor import CHECKS
from supaneon_sync.policy import content_checks, primary_checks, reading_checks, repairs, standby_checks
from supaneon_sync.policy.backups import Policy
from supaneon_sync.policy.examined import (
    Activity,
    Admin,
    Compute,
    Contents,
    Denied,
    Door,
    MirrorSeen,
    Primary,
    Project,
    Reader,
    Rights,
    Seen,
    Sticking,
    Wandering,
    Wanted,
)
from supaneon_sync.policy.facts import Target
from supaneon_sync.policy.findings import (
    Check,
    Finding,
    Status,
    exit_code,
    failed,
    in_bytes,
    judge,
    ok,
    skipped,
    some,
    warning,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
POSTGRES = Admin(
    "postgres", superuser=False, may_grant_read_all=True, may_give_bypassrls=True, supautils=False
)
TARGET = Target(
    major=17,
    extensions=frozenset({"plpgsql", "pgcrypto"}),
    owner="neondb_owner",
    can_create_bypassrls=True,
)
PRIMARY = Primary(
    version="17.6",
    major=17,
    database="postgres",
    encoding="UTF8",
    size=100 * 1024**2,
    tls="TLSv1.3",
    in_recovery=False,
    lag=None,
    read_only=False,
    timeouts={"statement_timeout": (120_000, 0)},
    reader=Reader("backup_user", superuser=False, bypasses_rls=True, connection_limit=-1, valid_until=None),
    admin=POSTGRES,
    rights=Rights((), (), 0, (), True),
    activity=Activity((), 0, (), 0, ()),
    contents=Contents(3, 100, 6400, {"plpgsql": "1.0", "pgcrypto": "1.3"}, {}, (), {}, (), (), {}),
    sticking=Sticking(6, 6, None, ()),
)
PROJECT = Project(
    id="calm-moon-12345678",
    name="standby",
    major=17,
    key_kind="api_key_org",
    visible_projects=1,
    size_limit=512 * 1024**2,
    stores_passwords=True,
    allowed_addresses=(),
    protected_addresses_only=False,
    blocks_public=False,
    branches=3,
    branches_limit=10,
    mirror=MirrorSeen(ours=True, protected=False, default=False, expires_at=None),
)
SOUND = Seen(
    wanted=Wanted(),
    now=NOW,
    clients={17: "17.6"},
    door=Door("db.ref.supabase.co", 5432, "backup_user", "verify-full", False, frozenset({"IPv4", "IPv6"})),
    primary=PRIMARY,
    project=PROJECT,
    compute=Compute("supaneon-mirror", "neondb_owner", TARGET, True, True),
)


def seen(**changes: Any) -> Seen:
    """The sound set-up with fields of any of its parts changed, by the part's name."""
    parts: dict[str, Any] = {}
    for name, change in changes.items():
        there = getattr(SOUND, name)
        parts[name] = (
            replace(there, **change)
            if isinstance(change, dict) and name not in ("clients", "troubles")
            else change
        )
    return replace(SOUND, **parts)


def contents(**changes: Any) -> Seen:
    return seen(primary={"contents": replace(PRIMARY.contents, **changes)})


# --- the list -------------------------------------------------------------------------------------------


def test_a_sound_set_up_passes_everything() -> None:
    assert {(one.check, one.status) for one in judge(CHECKS, SOUND)} == {(c.name, Status.OK) for c in CHECKS}


def test_every_check_has_a_name_of_its_own_and_says_what_it_is_for() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert all((check.rule.__doc__ or "").strip() for check in CHECKS)


def test_what_was_not_reached_is_skipped_with_the_reason() -> None:
    blind = replace(SOUND, primary=None, compute=None, troubles={"primary": PrimaryError("Gone.")})
    found = {one.check: one for one in judge(CHECKS, blind)}
    assert found["primary: reachable"].status is Status.FAILED
    assert found["primary: rights"] == replace(
        skipped("the primary was not reached"), check="primary: rights"
    )
    assert found["copy: extensions"].status is Status.SKIPPED
    assert found["Neon: branches"].status is Status.OK


def test_without_the_primarys_setting_its_checks_are_skipped_and_not_failed() -> None:
    without = replace(SOUND, wanted=Wanted(primary=False), door=None, primary=None)
    statuses = {one.status for one in judge(CHECKS, without) if one.check.startswith("primary")}
    assert statuses == {Status.SKIPPED}


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ((), (0, "")),
        ((PrimaryError, ConfigError), (3, "primary")),
        ((ConfigError, PrimaryError), (2, "config")),
        ((NeonError,), (4, "neon")),
        ((QuotaError, Refused), (5, "quota")),
        ((Refused,), (7, "refused")),
    ],
)
def test_the_exit_code_is_that_of_what_failed_first(kinds: tuple[type[Any], ...], expected: object) -> None:
    findings = [ok("fine"), warning("hm", "do"), *(failed(kind, "bad", "do") for kind in kinds)]
    assert exit_code(findings) == expected


def test_a_rule_that_never_fails_nor_warns_would_be_no_check() -> None:
    """Each rule has a case here that it does not pass; the other ones are checked on real servers."""
    for rule, spoiled, status, _ in SPOILED:
        assert rule(spoiled).status is status


def _never_spoiled() -> set[str]:
    return {check.name for check in CHECKS} - {_name_of(rule) for rule, _, _, _ in SPOILED}


def _name_of(rule: Callable[[Seen], Finding]) -> str:
    return next(check.name for check in CHECKS if check.rule is rule)


def test_every_check_but_the_settings_has_been_seen_not_to_pass() -> None:
    assert _never_spoiled() == {"settings"}  # a problem in the settings ends the run before any check


SPOILED: list[tuple[Callable[[Seen], Finding], Seen, Status, str]] = [
    (standby_checks.clients, seen(clients={15: "15.8"}), Status.FAILED, "postgresql-client-17"),
    (standby_checks.clients, seen(clients={}, compute=None, project=None), Status.FAILED, "SUPANEON_CLIENTS"),
    (
        primary_checks.connection_string,
        seen(door=None, troubles={"door": ConfigError("It points at 6543.", remedy="Session pooler.")}),
        Status.FAILED,
        "Session pooler",
    ),
    (primary_checks.address, seen(door={"families": frozenset({"IPv6"})}), Status.WARNING, "session pooler"),
    (
        primary_checks.reachable,
        seen(primary=None, troubles={"primary": PrimaryError("No.", remedy="Check host.")}),
        Status.FAILED,
        "Check host",
    ),
    (primary_checks.tls, seen(door={"sslmode": "require"}), Status.WARNING, "SUPABASE_CA_FILE"),
    (primary_checks.tls, seen(primary={"tls": ""}), Status.WARNING, "sslmode=require"),
    (
        primary_checks.session_mode,
        seen(primary={"sticking": Sticking(6, 6, None, ("it moved",))}),
        Status.FAILED,
        "port 5432",
    ),
    (
        primary_checks.connections,
        seen(primary={"sticking": Sticking(6, 2, PrimaryError("no connection is free"), ())}),
        Status.FAILED,
        "Free connections",
    ),
    (
        primary_checks.recovery,
        seen(primary={"in_recovery": True, "lag": 3.0}),
        Status.WARNING,
        "primary itself",
    ),
    (primary_checks.recovery, seen(primary={"read_only": True}), Status.WARNING, "disk"),
    (
        reading_checks.role,
        seen(primary={"reader": replace(PRIMARY.reader, superuser=True)}),
        Status.WARNING,
        "roles-sql",
    ),
    (
        reading_checks.role,
        seen(primary={"reader": replace(PRIMARY.reader, valid_until=NOW + timedelta(days=1))}),
        Status.WARNING,
        "SUPABASE_DATABASE_URL",
    ),
    (
        reading_checks.rights,
        seen(primary={"rights": Rights((Denied("TABLE", "a.b", "a", "x", True),), (), 0, (), True)}),
        Status.FAILED,
        "as postgres",
    ),
    (
        reading_checks.row_security,
        seen(primary={"rights": Rights((), ("public.t",), 0, (), True)}),
        Status.FAILED,
        "as postgres",
    ),
    (
        reading_checks.large_objects,
        seen(primary={"rights": Rights((), (), 2, (7,), False)}),
        Status.FAILED,
        "their owners",
    ),
    (
        primary_checks.timeouts,
        seen(primary={"timeouts": {"statement_timeout": (8000, 8000)}}),
        Status.FAILED,
        "transaction pooler",
    ),
    (primary_checks.encoding, seen(primary={"encoding": "SQL_ASCII"}), Status.FAILED, "UTF8"),
    (primary_checks.reading, contents(tables=6000), Status.WARNING, "max_locks_per_transaction"),
    (
        primary_checks.activity,
        seen(primary={"activity": Activity((), 0, ((7, "app", 900.0),), 0, (("gid", 9.0),))}),
        Status.WARNING,
        "--lock-wait",
    ),
    (
        standby_checks.api,
        seen(project=None, troubles={"api": NeonError("401", remedy="Another key.")}),
        Status.FAILED,
        "Another key",
    ),
    (standby_checks.api, seen(project={"visible_projects": 2}), Status.WARNING, "project alone"),
    (
        standby_checks.project,
        seen(project=None, troubles={"project": ConfigError("none", remedy="NEON_PROJECT_ID")}),
        Status.FAILED,
        "NEON_PROJECT_ID",
    ),
    (standby_checks.access, seen(project={"blocks_public": True}, compute=None), Status.FAILED, "network"),
    (standby_checks.access, seen(project={"allowed_addresses": ("192.0.2.1",)}), Status.WARNING, "IP Allow"),
    (standby_checks.branches, seen(project={"branches": 9}), Status.WARNING, "prune"),
    (
        standby_checks.branches,
        seen(project={"branches": 10}, wanted={"make_room": False}),
        Status.FAILED,
        "prune --yes",
    ),
    (
        standby_checks.branches,
        seen(project={"branches": 10, "branches_limit": None}),
        Status.WARNING,
        "prune",
    ),
    (
        standby_checks.retention,
        seen(wanted={"retention": Policy(keep_daily=30)}),
        Status.WARNING,
        "keep-last",
    ),
    (standby_checks.size, seen(project={"size_limit": 110 * 1024**2}), Status.WARNING, "storage"),
    (standby_checks.size, seen(project={"size_limit": 90 * 1024**2}), Status.FAILED, "storage"),
    (
        standby_checks.mirror,
        seen(project={"mirror": MirrorSeen(False, False, False, None)}),
        Status.FAILED,
        "untouched",
    ),
    (
        standby_checks.compute,
        seen(compute={"filled_by_others": True}),
        Status.FAILED,
        "NEON_DATABASE",
    ),
    (standby_checks.compute, seen(compute={"other_database": "shop"}), Status.FAILED, "NEON_DATABASE=shop"),
    (standby_checks.owner, seen(compute={"may_create_databases": False}), Status.FAILED, "NEON_DB_USER"),
    (standby_checks.owner, seen(compute={"reads_house": False}), Status.FAILED, "NEON_DB_USER"),
    (content_checks.version, seen(primary={"major": 18}), Status.FAILED, "NEON_PROJECT_ID"),
    (content_checks.version, seen(primary={"major": 14}), Status.WARNING, "upgrade"),
    (
        content_checks.extensions,
        contents(extensions={"vector": "0.8"}, needing={"vector": ("column e of table t",)}),
        Status.FAILED,
        "Ask Neon",
    ),
    (content_checks.extensions, contents(extensions={"http": "1"}), Status.WARNING, "do without"),
    (content_checks.triggers, contents(webhooks=("hook on public.t",)), Status.WARNING, "failover"),
    (content_checks.functions, contents(calling={"public.f": "net"}), Status.WARNING, "fail when called"),
    (
        content_checks.search_path,
        contents(wandering=(Wandering("public.f(text)", "index i", "helper", "public"),)),
        Status.WARNING,
        "search_path",
    ),
    (content_checks.unmoved, contents(unmoved={"publication": ("p",)}), Status.WARNING, "failover"),
]


@pytest.mark.parametrize(("rule", "spoiled", "status", "remedy"), SPOILED)
def test_what_is_wrong_is_told_with_its_remedy(
    rule: Callable[[Seen], Finding], spoiled: Seen, status: Status, remedy: str
) -> None:
    found = rule(spoiled)
    assert found.status is status
    assert remedy in found.remedy
    assert bool(found.kind) == (status is Status.FAILED)


def test_a_limit_that_neon_does_not_tell_is_assumed_and_never_fails_a_run() -> None:
    for untold in (None, 0, -1):
        full = seen(project={"branches": 12, "branches_limit": untold}, wanted={"make_room": False})
        found = standby_checks.branches(full)
        assert found.status is Status.WARNING
        assert "free plan" in found.evidence


def test_the_platforms_own_extensions_are_left_out_without_a_warning() -> None:
    found = content_checks.extensions(
        contents(extensions={"plpgsql": "1", "pg_net": "1", "supabase_vault": "1"})
    )
    assert found.status is Status.OK
    assert "pg_net, supabase_vault" in found.evidence


# --- the SQL that repairs -------------------------------------------------------------------------------


def denied(grantable: bool) -> Rights:
    objects = (
        Denied("SCHEMA", "auth", "auth", "supabase_admin", grantable),
        Denied("TABLE", "auth.users", "auth", "supabase_auth_admin", grantable),
        Denied("TABLE", 'auth."odd one"', "auth", "supabase_auth_admin", grantable),
        Denied("SEQUENCE", "auth.s", "auth", "supabase_auth_admin", grantable),
    )
    return Rights(objects, (), 0, (), True)


def test_where_the_admin_may_grant_the_grants_name_each_object() -> None:
    sql, sentence = repairs.reading(denied(True), "backup_user", POSTGRES)
    assert sql == (
        "GRANT USAGE ON SCHEMA auth TO backup_user;",
        'GRANT SELECT ON TABLE auth.users, auth."odd one" TO backup_user;',
        "GRANT SELECT ON SEQUENCE auth.s TO backup_user;",
    )
    assert sentence == "Run this as postgres."


def test_where_a_grant_would_only_warn_the_one_that_works_is_named() -> None:
    sql, sentence = repairs.reading(denied(False), "backup_user", POSTGRES)
    assert sql == ("GRANT pg_read_all_data TO backup_user;",)
    assert "no privileges were granted" in sentence
    assert "supabase_admin" in sentence


def test_where_nobody_at_hand_may_the_way_around_is_named() -> None:
    weak = replace(POSTGRES, may_grant_read_all=False, may_give_bypassrls=False)
    assert "SUPABASE_DATABASE_URL name postgres itself" in repairs.reading(denied(False), "r", weak)[1]
    assert "only a superuser" in repairs.bypassing("r", weak, 15)[1]
    assert "ADMIN OPTION" in repairs.bypassing("r", weak, 17)[1]
    assert "supautils" in repairs.bypassing("r", replace(weak, supautils=True), 15)[1]


# --- words ----------------------------------------------------------------------------------------------


def test_many_names_are_counted() -> None:
    assert some(["a", "b"]) == "a, b"
    assert some(list("abcdefg"), 3) == "a, b, c and 4 more"


@pytest.mark.parametrize(("count", "text"), [(12, "12 B"), (2048, "2.0 KiB"), (5 * 1024**4, "5.0 TiB")])
def test_sizes_have_units(count: int, text: str) -> None:
    assert in_bytes(count) == text


def test_local_checks_need_nothing() -> None:
    assert all(not check.needs for check in CHECKS if check.local)
    assert isinstance(CHECKS[0], Check)
