"""The portability table: every kind of entry has a fate with a reason, and nothing passes unclassified."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supaneon_sync.policy.facts import Check, Grant, Role, Routine, StoredSetting
from supaneon_sync.policy.plan import Fate
from supaneon_sync.policy.platform import KEPT, NEVER, ROWS, SESSION, TRANSIENT
from supaneon_sync.sandbox.binaries import Binaries
from supaneon_sync.secret import Secret
from tests.policy.portability_cases import TARGET, decided, entry, facts, fate, relation

CLASSES = (KEPT, SESSION, ROWS, frozenset(NEVER), frozenset({"ACL"}))
KINDS = """
    ACCESS METHOD; ACL; AGGREGATE; BLOB; BLOB METADATA; BLOBS; CAST; CHECK CONSTRAINT; COLLATION; COMMENT;
    CONSTRAINT; CONVERSION; DATABASE; DATABASE PROPERTIES; DEFAULT; DEFAULT ACL; DOMAIN; ENCODING;
    EVENT TRIGGER; EXTENSION; FK CONSTRAINT; FOREIGN DATA WRAPPER; FOREIGN TABLE; FUNCTION; INDEX;
    INDEX ATTACH; MATERIALIZED VIEW; MATERIALIZED VIEW DATA; OPERATOR; OPERATOR CLASS; OPERATOR FAMILY;
    POLICY; PROCEDURAL LANGUAGE; PROCEDURE; PUBLICATION; PUBLICATION TABLE; PUBLICATION TABLES IN SCHEMA;
    ROW SECURITY; RULE; SCHEMA; SEARCHPATH; SECURITY LABEL; SEQUENCE; SEQUENCE OWNED BY; SEQUENCE SET;
    SERVER; SHELL TYPE; STATISTICS; STATISTICS DATA; STDSTRINGS; SUBSCRIPTION; SUBSCRIPTION TABLE; TABLE;
    TABLE ATTACH; TABLE DATA; TEXT SEARCH CONFIGURATION; TEXT SEARCH DICTIONARY; TEXT SEARCH PARSER;
    TEXT SEARCH TEMPLATE; TRANSFORM; TRIGGER; TYPE; USER MAPPING; VIEW
"""
"""What ``ArchiveEntry`` is called with in src/bin/pg_dump/pg_dump.c of 15 to 18."""
NO_KINDS = """
    ACL LANGUAGE; ALTER SYSTEM; ALTER TABLE; ALTER TABLE IF EXISTS; BLOB COMMENTS; BY DEFAULT;
    CREATE OR REPLACE VIEW;
    DROP CONSTRAINT; ENABLE ALWAYS; ENABLE REPLICA; FOREIGN SERVER; INSTEAD OF; LARGE OBJECT; LARGE OBJECTS;
    PRIMARY KEY; UNION ALL; WITH INOUT; WITHOUT FUNCTION
"""
"""Words in capitals that pg_dump's programs hold for other ends."""


def words(text: str) -> set[str]:
    return {" ".join(word.split()) for word in text.split(";")}


@pytest.mark.parametrize("kind", sorted(words(KINDS)))
def test_every_kind_that_pg_dump_writes_is_classified_once(kind: str) -> None:
    assert sum(kind in known for known in CLASSES) == 1
    decision = fate(decided([entry(1, kind, "thing")]), "thing")
    assert decision.reason
    assert (decision.fate is Fate.LEFT_OUT) == (kind in NEVER or kind == "EXTENSION")


def test_an_unknown_kind_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="'QUANTUM TABLE'"):
        decided([entry(1, "QUANTUM TABLE", "thing")])


@pytest.mark.parametrize("major", [15, 16, 17, 18])
def test_the_programs_themselves_know_no_kind_that_is_not_classified(
    major: int, binaries: Callable[[int], Binaries]
) -> None:
    content = binaries(major).tool("pg_dump").read_bytes()
    held = {found.decode() for found in re.findall(rb"(?<=\0)[A-Z]+(?: [A-Z]+)+(?=\0)", content)}
    assert len(held) > 20
    assert held <= words(KINDS) | words(NO_KINDS)
    newer = {"BLOB METADATA", "STATISTICS DATA", "SUBSCRIPTION TABLE"}
    assert {kind for kind in words(KINDS) if kind.encode() + b"\0" not in content} <= newer


@given(st.lists(st.tuples(st.sampled_from(sorted(words(KINDS))), st.sets(st.integers(1, 30))), max_size=30))
def test_whatever_an_archive_holds_each_entry_gets_one_reasoned_fate(
    listed: list[tuple[str, set[int]]],
) -> None:
    entries = [entry(n, kind, f"t{n}", needs=needs) for n, (kind, needs) in enumerate(listed, 1)]
    plan = decided(entries)
    assert [decision.entry.dump_id for decision in plan.decisions] == [one.dump_id for one in entries]
    assert all(decision.reason for decision in plan.decisions)
    out = {d.entry.dump_id for d in plan.decisions if d.fate is Fate.LEFT_OUT}
    for made in plan.kept():
        assert made.dump_id not in out
        assert not {need for need in made.needs if need < made.dump_id} & out


def test_what_needs_something_left_out_is_left_out_with_it_and_names_the_cause() -> None:
    plan = decided(
        [
            entry(1, "FOREIGN TABLE", "far"),
            entry(2, "VIEW", "on_far", needs=[1]),
            entry(3, "VIEW", "on_view", needs=[2]),
            entry(4, "COMMENT", "VIEW on_view", needs=[3]),
            entry(5, "VIEW", "near"),
        ]
    )
    assert [one.tag for one in plan.kept()] == ["near"]
    assert "foreign table public.far" in fate(plan, "on_far").reason
    assert fate(plan, "on_view").told


def test_a_column_type_of_an_extension_that_the_target_lacks_is_a_blocker_that_names_both() -> None:
    plan = decided([entry(1, "EXTENSION", "pgmq", schema=""), entry(2, "TABLE", "mails", needs=[1])])
    assert plan.blockers == ("table public.mails needs extension pgmq",)
    plan = decided([entry(1, "EXTENSION", "rum", schema=""), entry(2, "INDEX", "by_word", needs=[1])])
    assert plan.blockers == ("index public.by_word needs extension rum",)


def test_a_type_that_only_a_superuser_may_make_is_told_and_a_blocker_where_a_table_has_it() -> None:
    odd = [entry(1, "SHELL TYPE", "odd"), entry(2, "TYPE", "odd full", needs=[1])]
    known = facts(bound_columns={(3, "type public.odd"): ("a", "b")})
    plan = decided([*odd, entry(3, "TABLE", "holder", needs=[2])], known)
    assert plan.blockers == ("table public.holder needs type public.odd (column a, b)",)
    plan = decided(odd)
    assert not plan.blockers
    assert fate(plan, "odd").told
    assert fate(plan, "odd full").told


def test_a_function_that_needs_a_missing_extension_is_left_out_without_stopping_the_copy() -> None:
    plan = decided([entry(1, "EXTENSION", "http", schema=""), entry(2, "FUNCTION", "get()", needs=[1])])
    assert not plan.blockers
    assert fate(plan, "get()").told


def test_no_table_is_ever_lost_with_what_it_needs_without_stopping_the_copy() -> None:
    plan = decided([entry(1, "FOREIGN TABLE", "far"), entry(2, "TABLE", "child", needs=[1])])
    assert plan.blockers == ("table public.child needs foreign table public.far",)


def test_an_extension_that_the_target_offers_is_kept_and_its_comment_is_not() -> None:
    plan = decided(
        [
            entry(1, "EXTENSION", "citext", schema=""),
            entry(2, "COMMENT", "EXTENSION citext", schema="", needs=[1]),
        ]
    )
    assert [one.tag for one in plan.kept()] == ["citext"]


def test_the_scheduler_is_never_made_even_where_it_is_offered() -> None:
    offering = replace(TARGET, extensions=frozenset({"pg_cron"}))
    plan = decided([entry(1, "EXTENSION", "pg_cron", schema="")], target=offering)
    assert "must not run" in fate(plan, "pg_cron").reason
    assert fate(plan, "pg_cron").told


def test_a_trigger_that_posts_to_a_webhook_is_left_out_and_told() -> None:
    inventory = facts(trigger_functions={2: ("supabase_functions", "http_request"), 3: ("public", "log")})
    plan = decided(
        [
            entry(1, "TABLE", "t"),
            entry(2, "TRIGGER", "t post", needs=[1]),
            entry(3, "TRIGGER", "t log", needs=[1]),
        ],
        inventory,
    )
    assert [one.tag for one in plan.kept()] == ["t", "t log"]
    assert fate(plan, "t post").told


def test_a_platform_schema_is_left_out_and_a_users_schema_of_that_name_is_kept() -> None:
    entries = [entry(1, "SCHEMA", "etl", schema=""), entry(2, "TABLE", "facts", schema="etl", needs=[1])]
    platform = decided(entries, facts(schemas={"etl": "supabase_admin"}))
    assert not platform.kept()
    users = decided(entries, facts(relation(2, "facts", "etl"), schemas={"etl": "postgres"}))
    assert [table.label for table in users.tables] == ["etl.facts"]


def test_a_function_that_sets_what_only_a_superuser_may_set_is_left_out_by_name() -> None:
    inventory = facts(privileged_settings={1: ("log_min_messages",)})
    decision = fate(decided([entry(1, "FUNCTION", "quiet()")], inventory), "quiet()")
    assert "log_min_messages" in decision.reason
    assert decision.told


def test_an_unlogged_table_is_made_logged_and_only_where_the_catalog_says_so() -> None:
    text = "CREATE UNLOGGED TABLE public.cache (\n  v text DEFAULT 'CREATE UNLOGGED TABLE '\n);\n"
    plan = decided(
        [entry(1, "TABLE", "cache", definition=text), entry(2, "FUNCTION", "f()", definition=text)],
        facts(relation(1, "cache", persistence="u")),
    )
    made = {one.tag: one.definition for one in plan.kept()}
    assert made["cache"] == text.replace("UNLOGGED ", "", 1)
    assert made["f()"] == text
    assert fate(plan, "cache").fate is Fate.TRANSFORMED


def test_live_login_secrets_and_job_lists_come_without_rows_unless_asked() -> None:
    tables = [relation(n, name, "auth") for n, name in enumerate(sorted(TRANSIENT), 1)]
    tables += [
        relation(50, "users", "auth"),
        relation(51, "job", "cron"),
        relation(52, "messages", "realtime"),
    ]
    entries = [entry(one.oid, "TABLE", one.name, schema=one.schema) for one in tables]
    plan = decided(entries, facts(*tables))
    assert [one.label for one in plan.tables] == ["auth.users"]
    asked = decided(entries, facts(*tables), include_auth_sessions=True)
    assert len(asked.tables) == 1 + len(TRANSIENT)
    assert {one.label for one, _ in asked.rowless} == {"cron.job", "realtime.messages"}


def test_grants_of_platform_roles_are_dropped_and_all_others_kept() -> None:
    held = [
        Grant((1259, 1), "TABLE public.t", who, ("SELECT",))
        for who in ("", "anon", "app_reporting", "postgres")
    ]
    extra = Grant((1259, 9), "TABLE public.gone", "anon", ("SELECT",))
    plan = decided([entry(1, "TABLE", "t")], facts(relation(1, "t"), grants=(*held, extra)))
    assert [grant.grantee for grant in plan.grants] == ["", "anon", "app_reporting"]
    assert "app_reporting" in {role.name for role in plan.roles}


def test_roles_that_policies_name_are_made_even_where_they_are_the_platforms() -> None:
    inventory = facts(policy_roles={2: ("dashboard_user", "authenticated")})
    inventory = replace(
        inventory, roles={**inventory.roles, "dashboard_user": Role("dashboard_user", True, False)}
    )
    plan = decided([entry(1, "TABLE", "t"), entry(2, "POLICY", "t p", needs=[1])], inventory)
    assert {"dashboard_user", "authenticated"} <= {role.name for role in plan.roles}
    assert "supabase_admin" not in {role.name for role in plan.roles}


def test_memberships_among_the_roles_of_the_copy_are_kept_and_others_dropped() -> None:
    there = {
        "reader": Role("reader", True, False, (), custom=True),
        "lead": Role("lead", False, False, ("postgres", "reader"), custom=True),
    }
    plan = decided([], facts(roles=there))
    assert {role.name: role.member_of for role in plan.roles} == {"lead": ("reader",), "reader": ()}


def test_a_role_that_cannot_bypass_row_security_on_the_copy_makes_it_degraded() -> None:
    plan = decided([], target=replace(TARGET, major=15, can_create_bypassrls=False))
    assert "service_role" in plan.degraded[0]
    assert not {role.name for role in plan.roles if role.bypasses_rls}
    assert not decided([]).degraded


def test_checks_and_functions_are_put_off_only_where_their_objects_are_kept() -> None:
    check = Check((1259, 1), "TABLE public.t", "public", "t", "c", "CHECK (f(v))")
    routine = Routine((1, 2), "ROUTINE public.f(text)", "public.f", lasting=True)
    gone = replace(check, object=(1259, 7))
    inventory = facts(relation(1, "t"), checks=(check, gone), routines=(routine,))
    plan = decided([entry(1, "TABLE", "t"), entry(2, "FUNCTION", "f(text)")], inventory)
    assert plan.checks == (check,)
    assert plan.routines == (routine,)
    assert any("public.f" in note for note in plan.notes)


def test_settings_of_the_database_and_of_the_copys_roles_are_kept_but_those_that_would_hurt() -> None:
    def stored(role: str, name: str, here: bool = True) -> StoredSetting:
        return StoredSetting(role, here, name, Secret("canary"))

    kept = (stored("", "statement_timeout"), stored("anon", "statement_timeout", here=False))
    dropped = (
        stored("", "default_transaction_read_only"),
        stored("", "search_path"),
        stored("", "work_mem", here=False),
        stored("supabase_admin", "search_path"),
        stored("anon", "role"),
    )
    plan = decided([], facts(settings=kept + dropped, search_path="app, public"))
    assert plan.settings == kept
    assert plan.search_path == "app, public"
    assert "canary" not in repr(plan)


def test_what_runs_as_a_role_of_the_users_own_is_told() -> None:
    inventory = facts(runs_as_owner={(1259, 1): "app_owner"}, owners={(1259, 1): "app_owner"})
    plan = decided([entry(1, "VIEW", "mine")], inventory)
    assert any("public.mine" in one for one in plan.degraded)
    notes = (*plan.notes, *plan.degraded)
    assert sum("public.mine" in note and "app_owner" in note for note in notes) == 2


def test_a_comment_goes_where_the_thing_it_is_about_goes() -> None:
    plan = decided(
        [
            entry(1, "TABLE", "t"),
            entry(2, "INDEX", "i", needs=[1]),
            replace(entry(3, "COMMENT", "INDEX i", needs=[2]), section=entry(1, "TABLE", "t").section.NONE),
        ]
    )
    assert [one.section for one in plan.kept()][2] == plan.kept()[1].section
