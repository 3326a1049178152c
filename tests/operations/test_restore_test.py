"""The drill on real servers: what it notices, what it keeps, what it cleans up, and what it never does."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from supaneon_sync.errors import Cancelled, ConfigError, NeonError, QuotaError, Refused
from supaneon_sync.neon_client import BranchRequest
from supaneon_sync.operations import drill_branches, drill_records
from supaneon_sync.operations.drilling import Drill, Subject
from supaneon_sync.operations.restore_test import restore_test
from supaneon_sync.operations.standby import Standby, opened
from supaneon_sync.policy import names
from supaneon_sync.policy.drill import Verdict
from supaneon_sync.postgres import shape
from supaneon_sync.report import manifest
from supaneon_sync.report.outcome import Outcome
from supaneon_sync.run import Run, Stop
from supaneon_sync.sandbox.testing import Sandbox
from supaneon_sync.settings import Settings, load
from tests.comparing import branch_contents
from tests.tool import Watching, command, finished, perform

CANARY = "canary-of-a-row"


def settings_of(sandbox: Sandbox, checks: object = None, **flags: object) -> Settings:
    given = {name.replace("_", "-"): value for name, value in flags.items()}
    variables = {k: v for k, v in sandbox.environment.items() if not k.startswith("SUPABASE")}
    file = {} if checks is None else {"checks": checks}
    return load(["restore-test"], flags=given, environment=variables, file=file).settings


def run_at(
    later: timedelta = timedelta(0), progress: Watching | None = None, stop: Stop | None = None
) -> Run:
    return Run(
        clock=lambda: datetime.now(UTC) + later,
        monotonic=time.monotonic,
        token=secrets.token_bytes,
        progress=progress or Watching(),
        stop=stop or Stop(),
    )


def drill(sandbox: Sandbox, checks: object = None, **flags: object) -> Outcome:
    """A drill as somebody calls it who does not even have the primary's address."""
    return restore_test(settings_of(sandbox, checks, **flags), run_at())


def drills(sandbox: Sandbox) -> set[str]:
    return {name for name in sandbox.names() if name.startswith("debug-restore-")}


def area(outcome: Outcome, name: str) -> dict[str, Any]:
    areas: Any = outcome.report["areas"]
    return next(one for one in areas if one["name"] == name)


def told(outcome: Outcome, name: str) -> list[str]:
    return [finding["text"] for finding in area(outcome, name)["findings"]]


@pytest.fixture(scope="module")
def world() -> Iterator[Sandbox]:
    """A sandbox with one good backup, for tests that leave it as it is."""
    with Sandbox(primary="sample", rows_scale=0.1) as sandbox:
        perform(sandbox, "backup")
        yield sandbox


@pytest.fixture(scope="module")
def backup(world: Sandbox) -> str:
    return next(name for name in world.names() if name.startswith("backup-"))


@pytest.fixture
def clean(world: Sandbox) -> Iterator[None]:
    """No drill's branch is left after the test."""
    yield
    with opened(settings_of(world), run_at()) as standby:
        for branch in drill_branches.of_drills(standby):
            standby.client.delete_branch(standby.project.id, branch.id)


class Victim:
    """A backup of its own for one test, equal to the world's: to be damaged, then drilled."""

    def __init__(self, sandbox: Sandbox, name: str) -> None:
        self.sandbox = sandbox
        self.name = name

    def damage(self, statements: str, database: str = "neondb") -> None:
        """Damage it behind everybody's back, as the superuser, no trigger fired."""
        self.sandbox.execute(self.name, f"SET session_replication_role = replica; {statements}", database)

    def drill(self, statements: str = "", **flags: object) -> Outcome:
        """Drill it after the damage."""
        if statements:
            self.damage(statements)
        return drill(self.sandbox, backup=self.name, **flags)


@pytest.fixture
def victim(world: Sandbox, backup: str, clean: None) -> Iterator[Victim]:
    with opened(settings_of(world), run_at()) as standby:
        one = standby.choose(backup)
        moment = one.backup.moment - timedelta(days=1)
        name = names.backup(moment)
        mark = replace(one.mark, snapshot=moment)
        request = BranchRequest(
            name=name, parent_id=one.branch.parent_id, annotations=mark.pairs(), with_endpoint=True
        )
        made = standby.client.create_branch(standby.project.id, request).branch
        yield Victim(world, name)
        for branch in drill_branches.of_drills(standby):
            standby.client.delete_branch(standby.project.id, branch.id)
        standby.client.delete_branch(standby.project.id, made.id)


def test_a_good_backup_passes_and_nothing_is_left_or_changed(world: Sandbox, backup: str) -> None:
    before, manifest_before = (
        branch_contents(world, backup),
        world.execute(backup, "SELECT * FROM supaneon.manifest", "supaneon"),
    )
    outcome = drill(world, max_age="1h")
    assert (outcome.verdict, outcome.exit_code, outcome.failure_kind) == ("pass", 0, "")
    assert outcome.outputs["branch-name"] == backup
    assert (outcome.outputs["drill-verdict"], outcome.outputs["drill-branch"]) == ("passed", "")
    assert drills(world) == set()
    assert branch_contents(world, backup) == before
    assert world.execute(backup, "SELECT * FROM supaneon.manifest", "supaneon") == manifest_before
    areas: Any = outcome.report["areas"]
    results = {one["name"]: one["result"] for one in areas}
    assert {name for name, result in results.items() if result != "ok"} == {"your checks", "indexes"}
    answered: Any = outcome.report["seconds_to_answer"]
    whole: Any = outcome.report["seconds"]
    assert 0 < answered < whole


def test_a_drill_is_written_into_the_ledger_on_the_mirror(world: Sandbox, backup: str) -> None:
    drill(world)
    kind, subject, verdict, details = world.execute(
        names.MIRROR,
        "SELECT kind, subject, verdict, details FROM supaneon.ledger ORDER BY id DESC LIMIT 1",
        "supaneon",
    )[0]
    assert (kind, subject, verdict) == ("drill", backup, "pass")
    assert "seconds_to_answer" in str(details)


DAMAGE = (
    (
        "UPDATE public.profiles SET display_name = display_name || '!' WHERE ctid = '(0,1)'",
        "rows",
        "public.profiles has as many rows as recorded",
    ),
    ("TRUNCATE public.task_labels", "rows", "public.task_labels has 0 rows, "),
    ("ALTER TABLE public.labels DROP COLUMN name", "rows", "public.labels has as many rows"),
    (
        (
            "INSERT INTO realtime.subscription (subscription_id, entity, claims)"
            " VALUES (gen_random_uuid(), 'public.labels', '{}')"
        ),
        "rows left out",
        "realtime.subscription holds rows",
    ),
    (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'public.comments_pkey'::regclass",
        "schema",
        "index public.comments_pkey: valid is off, recorded on",
    ),
    (
        "UPDATE pg_constraint SET convalidated = false WHERE conname = 'comments_author_fkey'",
        "schema",
        "constraint comments_author_fkey on public.comments: validated is off, recorded on",
    ),
    (
        (
            "UPDATE pg_trigger SET tgenabled = 'D' WHERE tgconstraint ="
            " (SELECT oid FROM pg_constraint WHERE conname = 'comments_author_fkey')"
        ),
        "schema",
        "constraint comments_author_fkey on public.comments: triggers is D, recorded O",
    ),
    (
        "UPDATE pg_extension SET extversion = '0.1' WHERE extname = 'btree_gist'",
        "schema",
        "extension btree_gist: version is 0.1",
    ),
    ("ALTER ROLE anon BYPASSRLS", "schema", "role anon: bypasses row security is on, recorded off"),
    (
        "DROP SEQUENCE billing.invoice_number CASCADE",
        "sequences",
        "sequence billing.invoice_number is missing",
    ),
    (
        "SELECT lo_from_bytea(77, 'x'); ALTER LARGE OBJECT 77 OWNER TO neondb_owner",
        "large objects",
        "the large objects are not those",
    ),
    ("CREATE TABLE public.stranger ()", "schema", "relation public.stranger is there and was not recorded"),
)


def test_damage_to_a_backup_is_told_where_it_is(victim: Victim) -> None:
    outcome = victim.drill("; ".join(damage for damage, _, _ in DAMAGE))
    assert (outcome.verdict, outcome.exit_code, outcome.failure_kind) == ("fail-data", 6, "data")
    for _, where, words in DAMAGE:
        assert any(words in text for text in told(outcome, where)), (words, told(outcome, where))
    assert outcome.outputs["drill-verdict"] == "failed"
    assert outcome.outputs["drill-branch"] in drills(victim.sandbox)


THREE = (
    "DELETE FROM public.labels WHERE ctid = '(0,1)'; UPDATE public.labels SET name = name || '!'"
    " WHERE ctid = '(0,2)'; INSERT INTO public.labels OVERRIDING SYSTEM VALUE"
    ' SELECT (jsonb_populate_record(l, \'{"id": 987654, "name": "canary"}\')).*'
    " FROM public.labels l LIMIT 1"
)


def test_rows_that_differ_are_counted_against_the_mirror_while_that_holds_the_backup(victim: Victim) -> None:
    (text,) = told(victim.drill(THREE), "rows")
    assert text.endswith("but other contents (3 rows differ: 1 missing, 1 changed, 1 extra)")
    time.sleep(1)
    (shown,) = told(victim.drill(show_row_values=True), "rows")
    assert shown.startswith(text[:-1] + "; missing: (")
    assert shown.endswith("; extra: (987654))")
    assert "canary" not in shown


@contextmanager
def meddled(world: Sandbox, statements: str, back: str, database: str = "neondb") -> Iterator[None]:
    """The mirror as somebody else left it, while the block runs."""
    world.execute(names.MIRROR, statements, database)
    try:
        yield
    finally:
        world.execute(names.MIRROR, back, database)


def test_a_mirror_that_holds_another_state_is_no_reference(victim: Victim) -> None:
    there = "UPDATE supaneon.manifest SET body = body || ' '"
    back = "UPDATE supaneon.manifest SET body = rtrim(body)"
    with meddled(victim.sandbox, there, back, "supaneon"):
        outcome = victim.drill(THREE)
    assert told(outcome, "rows")[0].endswith("but other contents")
    assert "not counted: the mirror has moved on" in area(outcome, "rows")["tested"]
    assert (outcome.verdict, outcome.exit_code) == ("fail-data", 6)


def test_a_mirror_that_is_not_as_recorded_either_is_no_reference(victim: Victim) -> None:
    there = "UPDATE public.labels SET name = name || '?' WHERE ctid = '(0,3)'"
    back = "UPDATE public.labels SET name = rtrim(name, '?') WHERE name LIKE '%?'"
    with meddled(victim.sandbox, there, back):
        (text,) = told(victim.drill(THREE), "rows")
    assert text.endswith("(rows not counted: on the mirror they are not as recorded either)")


def test_without_a_mirror_to_ask_the_drill_fails_all_the_same(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Standby, "mirror", lambda _: None)
    outcome = victim.drill(THREE)
    assert (outcome.verdict, outcome.exit_code) == ("fail-data", 6)
    assert "not counted: there is no mirror" in area(outcome, "rows")["tested"]

    def lost(_: object) -> None:
        raise NeonError("The mirror is not well.")

    monkeypatch.setattr(Standby, "mirror", lost)
    time.sleep(1)
    outcome = victim.drill()
    assert (outcome.verdict, outcome.exit_code) == ("fail-data", 6)
    assert "not counted: The mirror is not well" in area(outcome, "rows")["tested"]


def test_what_another_version_recorded_is_compared_as_far_as_both_asked_alike(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = shape.queries()
    monkeypatch.setattr(shape, "queries", lambda: asked | {"grant": "of another version"})
    damage = "GRANT TRUNCATE ON public.labels TO PUBLIC; COMMENT ON TABLE public.labels IS 'x'"
    outcome = victim.drill(damage)
    assert told(outcome, "schema") == ["the schema as pg_dump reads it is not the one that was recorded"]
    monkeypatch.setattr(drill_records, "__version__", "0.0.1")
    time.sleep(1)
    outcome = victim.drill()
    assert outcome.verdict == "degraded"
    assert told(outcome, "schema") == [
        "grant: not compared, since another version of this tool recorded them"
    ]


def test_what_only_pg_dump_sees_is_told_too(victim: Victim) -> None:
    outcome = victim.drill("COMMENT ON TABLE public.labels IS 'x'")
    assert told(outcome, "schema") == ["the schema as pg_dump reads it is not the one that was recorded"]


def test_a_failed_drill_is_kept_for_good_and_condemns_its_backup_until_one_passes(victim: Victim) -> None:
    world = victim.sandbox

    def healthy() -> bool:
        with opened(settings_of(world), run_at()) as standby:
            return standby.choose(victim.name).backup.healthy

    first = victim.drill("UPDATE public.labels SET name = name || '!' WHERE ctid = '(0,1)'").outputs
    assert first["drill-uri-without-password"].startswith("postgresql://neondb_owner@ep-")
    assert world.branch(first["drill-branch"]).expires_at is None
    assert not healthy()
    time.sleep(1)  # branches are named by the second
    second = victim.drill().outputs["drill-branch"]
    assert drills(world) == {second}
    assert second != first["drill-branch"]
    victim.damage("UPDATE public.labels SET name = left(name, -1) WHERE name LIKE '%!'")
    time.sleep(1)
    outcome = victim.drill()
    assert outcome.verdict == "pass"
    assert any(f"{second}, an earlier drill that failed, no longer counts" in note for note in outcome.notes)
    assert healthy()


def test_an_old_backup_fails_as_stale_and_is_not_condemned(world: Sandbox, backup: str) -> None:
    outcome = restore_test(settings_of(world, max_age="2h"), run_at(timedelta(hours=3)))
    assert (outcome.verdict, outcome.exit_code, outcome.failure_kind) == ("fail-stale", 7, "stale")
    assert area(outcome, "rows")["result"] == "ok"
    assert drills(world) == set()
    assert perform(world, "resolve").outputs["branch-name"] == backup


def check(name: str, sql: str, **more: object) -> dict[str, object]:
    return {"name": name, "sql": sql} | more


def test_checks_that_hold_pass(world: Sandbox) -> None:
    outcome = drill(
        world,
        [
            check("a value", "SELECT count(*) FROM auth.users", min=1),
            check("a number of rows", "SELECT id FROM organizations", rows=10),
            check("read only", "SELECT current_setting('transaction_read_only')", expect="on"),
            check("percent signs", "SELECT '100%' LIKE '%s%%'", expect=False),
            check("a comment at the end", "SELECT 1 -- and no more;", expect=1),
        ],
    )
    assert (outcome.verdict, told(outcome, "your checks")) == ("pass", [])


FAILING = (
    (check("too much", "SELECT count(*) FROM auth.users", max=1), "above the maximum of 1"),
    (check("too many", "SELECT id FROM auth.users", rows=1), "rows, 1 expected"),
    (check("nothing", "SELECT id FROM auth.users WHERE false", expect=1), "gave no row"),
    (check("another", "SELECT email FROM auth.users ORDER BY 1", expect="nobody"), "another value"),
    (check("no table", "SELECT 1 FROM no_such_table", rows=1), "42P01 undefined_table"),
    (check("no number", "SELECT email::int FROM auth.users", min=1), "22P02"),
    (check("hangs", "SELECT pg_sleep(600)", rows=1, timeout="1s"), "did not answer within 1 s"),
    (check("deletes", "WITH a AS (DELETE FROM labels RETURNING 1) SELECT * FROM a", rows=0), "0A000"),
    (check("moves", "SELECT setval('invoice_number', 1)", rows=1), "was refused"),
    (
        check("moves on", "SELECT setval('billing.invoice_number', 1)", rows=1),
        "25006 read_only_sql_transaction",
    ),
    (
        check("commits", "SELECT 1; COMMIT; DELETE FROM public.labels", rows=1),
        "25006 read_only_sql_transaction",
    ),
    (
        check("begins anew", "SELECT 1; SET TRANSACTION READ WRITE; DELETE FROM public.labels", rows=1),
        "was refused",
    ),
)


def test_checks_that_fail_write_hang_or_err_fail_the_drill(clean: None, world: Sandbox) -> None:
    outcome = drill(world, [item for item, _ in FAILING])
    assert (outcome.verdict, outcome.exit_code, outcome.failure_kind) == ("fail-checks", 6, "checks")
    for (item, words), text in zip(FAILING, told(outcome, "your checks"), strict=True):
        assert text.startswith(repr(item["name"]))
        assert words in text
    assert "@example" not in str(outcome)
    kept = world.execute(outcome.outputs["drill-branch"], "SELECT count(*) FROM public.labels")
    assert kept == world.execute(outcome.outputs["branch-name"], "SELECT count(*) FROM public.labels")


def test_malformed_checks_are_refused_before_anything_is_touched(world: Sandbox) -> None:
    asked = len(world.requests)
    with pytest.raises(ConfigError) as failure:
        drill(world, [check("drops", "DROP TABLE auth.users", rows=1)])
    assert "item 1 needs sql" in failure.value.problems[0]
    since = [one["path"] for one in world.requests[asked:]]
    assert not [path for path in since if "/operations/" not in path]  # an earlier drill may still be waiting


def test_a_role_that_sees_rows_without_a_policy_is_told(victim: Victim) -> None:
    outcome = victim.drill(
        "ALTER TABLE public.labels ENABLE ROW LEVEL SECURITY;"
        " DO $$ DECLARE name text; BEGIN FOR name IN SELECT polname FROM pg_policy"
        " WHERE polrelid = 'public.labels'::regclass"
        " LOOP EXECUTE format('DROP POLICY %I ON public.labels', name);"
        " END LOOP; END $$; ALTER TABLE public.labels OWNER TO authenticated"
    )
    text = "authenticated sees rows of public.labels, and no policy lets it"
    assert text in told(outcome, "row security")
    assert not any("anon" in other for other in told(outcome, "row security"))


def test_a_policy_that_an_api_role_cannot_evaluate_degrades(victim: Victim) -> None:
    outcome = victim.drill(
        "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC, anon, authenticated"
    )
    found = area(outcome, "row security")["findings"]
    assert any("authenticated cannot read public.tasks (42501" in one["text"] for one in found)
    assert {one["gravity"] for one in found} == {"degraded"}


def test_a_copy_that_cannot_be_written_is_told(victim: Victim) -> None:
    outcome = victim.drill("ALTER ROLE neondb_owner SET default_transaction_read_only = on")
    assert outcome.verdict == "fail-checks"
    assert "auth.users cannot be written (25006 read_only_sql_transaction)" in told(outcome, "writes")


def test_a_trigger_that_fails_on_the_copy_degrades_and_one_that_refuses_does_not(victim: Victim) -> None:
    function = (
        "CREATE FUNCTION public.{0}() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {1} RETURN NEW; END$$;"
    )
    trigger = "CREATE TRIGGER {0} BEFORE UPDATE ON public.{1} FOR EACH ROW EXECUTE FUNCTION public.{0}();"
    outcome = victim.drill(
        function.format("broken", "PERFORM net.post();")
        + trigger.format("broken", "profiles")
        + function.format("refusing", "RAISE EXCEPTION 'no';")
        + trigger.format("refusing", "labels")
    )
    assert told(outcome, "writes") == ["a write to public.profiles is refused (3F000 invalid_schema_name)"]


def test_triggers_stay_still_where_they_could_reach_another_server(victim: Victim) -> None:
    outcome = victim.drill(
        "CREATE EXTENSION dblink; CREATE FUNCTION public.broken() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN PERFORM net.post(); RETURN NEW; END$$; CREATE TRIGGER broken BEFORE UPDATE ON"
        " public.profiles FOR EACH ROW EXECUTE FUNCTION public.broken()"
    )
    assert told(outcome, "writes") == []
    assert "triggers kept from firing, since dblink could" in area(outcome, "writes")["tested"]


def test_an_index_that_lacks_a_row_is_found_where_amcheck_may_be_used(victim: Victim) -> None:
    outcome = victim.drill(
        "CREATE SCHEMA looking; CREATE EXTENSION amcheck SCHEMA looking;"
        " GRANT USAGE ON SCHEMA looking TO PUBLIC;"
        " GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA looking TO PUBLIC;"
        " UPDATE pg_index SET indisready = false WHERE indrelid = 'public.labels'::regclass;"
        " INSERT INTO public.labels OVERRIDING SYSTEM VALUE SELECT * FROM public.labels LIMIT 1;"
        " UPDATE pg_index SET indisready = true WHERE indrelid = 'public.labels'::regclass"
    )
    assert "looked through by amcheck" in area(outcome, "indexes")["tested"]
    assert any("index public.labels_pkey is corrupt (XX00" in text for text in told(outcome, "indexes"))


def test_leftovers_of_a_killed_drill_are_swept_and_a_drill_at_work_is_left_alone(world: Sandbox) -> None:
    process = command(world, "restore-test")
    assert process.stderr is not None
    for line in process.stderr:
        if "Compare" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (left,) = drills(world)
    young = drill(world)
    assert any(f"{left} was left alone" in note for note in young.notes)
    later = run_at(timedelta(minutes=5))
    session = psycopg2.connect(world.uri(left), application_name="supaneon-sync drill")
    assert any(f"{left} was left alone" in note for note in restore_test(settings_of(world), later).notes)
    session.close()
    outcome = restore_test(settings_of(world), later)
    assert any(f"Removed {left}" in note for note in outcome.notes)
    assert drills(world) == set()


def test_a_stopped_drill_takes_its_branch_away(world: Sandbox) -> None:
    stop = Stop()
    progress = Watching(hook=lambda title: stop.set() if title.startswith("Compare every") else None)
    with pytest.raises(Cancelled):
        restore_test(settings_of(world), run_at(progress=progress, stop=stop))
    world.settle()
    assert drills(world) == set()


def test_a_branch_that_cannot_be_cut_is_a_matter_of_connectivity(world: Sandbox, backup: str) -> None:
    world.inject({"kind": "operation-failed", "method": "POST", "path": "/branches$"})
    outcome = drill(world)
    assert (outcome.verdict, outcome.exit_code, outcome.failure_kind) == ("fail-connectivity", 4, "neon")
    assert drills(world) == set()
    assert perform(world, "resolve").outputs["branch-name"] == backup


def test_a_full_project_is_told_as_such(world: Sandbox) -> None:
    world.inject(
        {
            "kind": "answer",
            "method": "POST",
            "path": "/branches$",
            "status": 422,
            "code": "BRANCHES_LIMIT_EXCEEDED",
            "message": "branches limit exceeded",
        }
    )
    with pytest.raises(QuotaError):
        drill(world)


def test_a_compute_that_cannot_be_reached_condemns_nothing(world: Sandbox, backup: str) -> None:
    world.inject(
        {
            "kind": "answer",
            "method": "GET",
            "path": "/connection_uri",
            "status": 404,
            "message": "no such role",
        }
    )
    outcome = drill(world)
    assert (outcome.verdict, outcome.exit_code) == ("fail-connectivity", 4)
    kept = outcome.outputs["drill-branch"]
    assert world.branch(kept).expires_at is not None
    assert perform(world, "resolve").outputs["branch-name"] == backup
    restore_test(settings_of(world), run_at(timedelta(minutes=5)))
    assert drills(world) == set()


def test_a_drill_that_cannot_clean_up_does_not_pass(world: Sandbox) -> None:
    world.inject(
        {"kind": "answer", "method": "DELETE", "path": "/branches/", "status": 400, "message": "not today"}
    )
    outcome = drill(world)
    assert (outcome.verdict, outcome.exit_code) == ("fail-connectivity", 4)
    assert "could not be removed" in told(outcome, "clean-up")[0]
    assert outcome.outputs["drill-branch"] in drills(world)
    restore_test(settings_of(world), run_at(timedelta(minutes=5)))
    assert drills(world) == set()


def test_a_ledger_out_of_reach_is_a_note(world: Sandbox) -> None:
    with opened(settings_of(world), run_at()) as standby:
        mirror = standby.mirror()
        assert mirror is not None
        standby.client.rename_branch(standby.project.id, mirror.id, "somewhere-else")
        try:
            outcome = drill(world)
        finally:
            standby.client.rename_branch(standby.project.id, mirror.id, names.MIRROR)
    assert outcome.verdict == "pass"
    assert "There is no mirror, so the ledger could not be written." in outcome.notes


@pytest.mark.parametrize(
    ("other", "verdict", "words"),
    [
        ("supaneon-mirror", Verdict.FAIL_DATA, "leads to the mirror"),
        ("main", Verdict.FAIL_CONNECTIVITY, "Cannot connect"),
    ],
)
def test_a_uri_with_the_right_host_that_is_answered_by_another_branch_is_noticed(
    world: Sandbox, backup: str, other: str, verdict: Verdict, words: str
) -> None:
    """The host is what the API says; only what answers there is somebody else."""
    with opened(settings_of(world), run_at()) as standby:
        one = standby.choose(backup)
        branch = drill_branches.cut(standby, one)
        try:
            found = standby.client.find_branch(standby.project.id, other)
            assert found is not None
            theirs = standby.doors(found).direct
            door = standby.doors(branch).direct
            wrong = replace(theirs, host=door.host)
            seen = Drill(standby, Subject(one, branch, lambda: wrong), time.monotonic()).examine()
        finally:
            standby.client.delete_branch(standby.project.id, branch.id)
    assert seen.verdict is verdict
    assert words in seen.areas[-1].findings[0].text


def test_no_backup_no_such_backup_and_a_backup_without_manifest(
    make_sandbox: Callable[..., Sandbox], world: Sandbox, backup: str
) -> None:
    empty = make_sandbox()
    with pytest.raises(Refused, match="no backup"):
        drill(empty)
    with pytest.raises(Refused, match="There is no backup backup-20200101"):
        drill(world, backup="backup-20200101T000000Z")


def test_a_manifest_that_is_gone_or_forged_fails_the_drill(victim: Victim) -> None:
    victim.damage(
        "UPDATE supaneon.manifest SET body = replace(body, '1', '2'),"
        " digest = encode(sha256(convert_to(replace(body, '1', '2'), 'UTF8')), 'hex')",
        "supaneon",
    )
    forged = victim.drill()
    assert forged.verdict == "fail-data"
    assert "is not the one that was written" in told(forged, "identity")[0]
    assert forged.report["areas"][-1]["name"] == "identity"  # type: ignore[index]
    victim.damage("DELETE FROM supaneon.manifest", "supaneon")
    time.sleep(1)
    gone = victim.drill()
    assert gone.verdict == "fail-data"
    assert "holds no manifest" in told(gone, "identity")[0]


def test_a_newer_manifest_is_refused_and_nothing_is_left(
    world: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "FORMAT", 0)
    with pytest.raises(Refused, match="newer than this version"):
        drill(world)
    assert drills(world) == set()


def test_no_row_value_and_no_secret_comes_out(victim: Victim, tmp_path: Path) -> None:
    world = victim.sandbox
    victim.damage(
        f"UPDATE public.labels SET name = '{CANARY}' WHERE ctid = '(0,1)';"
        " CREATE FUNCTION public.telling() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION '% is wrong', OLD.name; END$$;"
        " CREATE TRIGGER telling BEFORE UPDATE ON public.labels FOR EACH ROW"
        " EXECUTE FUNCTION public.telling()"
    )
    file, report = tmp_path / "checks.yml", tmp_path / "report.json"
    canary = f"SELECT name FROM public.labels WHERE name = ''{CANARY[:-1]}'' || ''w''"
    file.write_text(
        "checks:\n"
        f"  - {{name: one, sql: '{canary}', expect: nothing}}\n"
        f"  - {{name: two, sql: '{canary.replace('name FROM', 'name::int FROM')}', min: 1}}\n"
    )
    options = ("--backup", victim.name, "--config", str(file), "--report-file", str(report), "--json")
    code, said = finished(command(world, "restore-test", *options))
    assert code == 6
    assert "another value" in said
    assert "22P02 invalid_text_representation" in said
    password = world.branch(victim.name).roles["neondb_owner"].password
    for text in (said, report.read_text()):
        assert CANARY not in text
        assert password is not None
        assert password not in text
        assert world.environment["NEON_API_KEY"] not in text


@pytest.mark.parametrize(("source", "target"), [(15, 15), (15, 16), (17, 18)])
def test_a_drill_passes_on_every_major(
    make_sandbox: Callable[..., Sandbox], source: int, target: int
) -> None:
    sandbox = make_sandbox(primary="sample", primary_major=source, major=target, rows_scale=0.05)
    perform(sandbox, "backup")
    outcome = drill(sandbox)
    assert outcome.verdict == "pass", [told(outcome, name) for name in ("schema", "rows", "writes")]
    assert f"PostgreSQL {target}" in area(outcome, "connection")["tested"]
