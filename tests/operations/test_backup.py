"""The main job on real servers: equal by an independent comparison, or no backup at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import psycopg2
import pytest

from supaneon_sync.errors import (
    ConfigError,
    DataDiffers,
    Locked,
    NeonError,
    PrimaryError,
    QuotaError,
    Refused,
    SnapshotLost,
)
from supaneon_sync.operations import proving
from supaneon_sync.policy import marks, names
from supaneon_sync.postgres import fingerprint
from supaneon_sync.sandbox.testing import Sandbox
from tests.comparing import branch_contents, primary_contents
from tests.tool import Watching, at, perform

MakeSandbox = Callable[..., Sandbox]
LEFT_OUT = ("auth.", "realtime.", "vault.", "net.", "supabase_functions.", "graphql", "extensions.")


def backups(sandbox: Sandbox) -> set[str]:
    return {name for name in sandbox.names() if name.startswith("backup-")}


def on_primary(sandbox: Sandbox, statements: str) -> list[tuple[Any, ...]]:
    assert sandbox.primary_server is not None
    return sandbox.primary_server.execute(statements, "postgres")


@pytest.fixture(scope="module")
def world() -> Any:
    """A sandbox with the sample primary, small, for tests that do not mind each other."""
    with Sandbox(primary="sample", rows_scale=0.1) as sandbox:
        yield sandbox


@pytest.fixture
def fresh(make_sandbox: MakeSandbox) -> Sandbox:
    """A sandbox with the sample primary, for one test."""
    return make_sandbox(primary="sample", rows_scale=0.1)


@pytest.mark.parametrize(("source", "target"), [(15, 15), (15, 17), (17, 17), (17, 18), (18, 18)])
def test_the_backup_holds_every_row_of_the_primary(
    make_sandbox: MakeSandbox, source: int, target: int
) -> None:
    sandbox = make_sandbox(primary="sample", primary_major=source, major=target, rows_scale=0.2)
    outcome = perform(sandbox, "backup")
    name = outcome.outputs["branch-name"]
    assert backups(sandbox) == {name}
    wanted, found = primary_contents(sandbox), branch_contents(sandbox, name)
    compared = [
        table
        for table in wanted
        if not table.startswith(LEFT_OUT) or table in ("auth.users", "auth.identities")
    ]
    assert len(compared) > 25
    for table in compared:
        assert found[table] == wanted[table], table
    assert not any("could not be made" in note for note in outcome.notes)


def test_a_second_backup_stands_beside_the_first(world: Sandbox) -> None:
    first = perform(world, "backup").outputs["branch-name"]
    on_primary(world, "INSERT INTO public.labels SELECT * FROM public.labels LIMIT 0")
    before = branch_contents(world, first)
    time.sleep(1)
    second = perform(world, "backup").outputs["branch-name"]
    assert {first, second} <= backups(world)
    assert branch_contents(world, first) == before


def test_the_outputs_lead_to_the_rows(world: Sandbox) -> None:
    outcome = perform(world, "backup")
    uri = outcome.secrets["connection-uri"].reveal()
    with psycopg2.connect(uri, sslrootcert=str(world.ca_file), sslmode="verify-full") as session:
        cursor = session.cursor()
        cursor.execute("SELECT count(*) FROM auth.users")
        assert cursor.fetchone() == (200,)
    assert outcome.outputs["connection-uri-without-password"].startswith("postgresql://neondb_owner@ep-")
    assert outcome.exit_code == 0


def test_an_altered_row_on_the_mirror_is_seen_and_nothing_is_published(fresh: Sandbox) -> None:
    def alter() -> None:
        fresh.execute(names.MIRROR, "UPDATE public.projects SET name = name || '!' WHERE ctid = '(0,1)'")

    with pytest.raises(DataDiffers) as failure:
        perform(fresh, "backup", progress=at("Vacuum", alter))
    assert "public.projects has as many rows" in failure.value.message
    assert not backups(fresh)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("DELETE FROM public.labels WHERE ctid = '(0,1)'", "public.labels has"),
        ("SELECT setval((SELECT min(seqrelid)::regclass FROM pg_sequence), 987654)", "stands at 987654"),
        ("DROP POLICY admins_invite ON public.members", "admins_invite is missing"),
        ("CREATE TABLE public.stranger (a int)", "public.stranger is on the copy but not on the primary"),
        ("ALTER TABLE public.tasks DISABLE ROW LEVEL SECURITY", "is missing on the copy"),
        (
            "REVOKE SELECT ON public.tasks FROM authenticated",
            "SELECT on TABLE public.tasks for authenticated is missing",
        ),
        ("GRANT DELETE ON auth.users TO anon", "DELETE on TABLE auth.users for anon is held on the copy"),
        (
            "GRANT UPDATE (email) ON auth.users TO PUBLIC",
            "UPDATE (email) on TABLE auth.users for PUBLIC is held",
        ),
    ],
)
def test_whatever_differs_on_the_mirror_is_told(fresh: Sandbox, damage: str, told: str) -> None:
    with pytest.raises(DataDiffers) as failure:
        perform(fresh, "backup", progress=at("Vacuum", lambda: fresh.execute(names.MIRROR, damage) and None))
    assert told in failure.value.message
    assert not backups(fresh)


@pytest.mark.parametrize(
    "disaster",
    [
        "TRUNCATE public.search_cache",
        "ALTER TABLE public.labels ADD COLUMN later int DEFAULT random() * 10",
        "DROP TABLE public.task_history CASCADE",
        "ALTER TABLE public.labels RENAME TO labels_old; CREATE TABLE public.labels (LIKE public.labels_old)",
        "DROP TABLE public.task_history CASCADE; CREATE VIEW public.task_history AS SELECT 1 AS id",
    ],
)
def test_a_table_that_changes_its_shape_in_mid_run_starts_the_run_over(fresh: Sandbox, disaster: str) -> None:
    progress = at("Copy the rows", lambda: on_primary(fresh, disaster) and None)
    outcome = perform(fresh, "backup", progress=progress)
    assert any("Starting over with a new snapshot" in warning for warning in progress.warnings)
    wanted, found = primary_contents(fresh), branch_contents(fresh, outcome.outputs["branch-name"])
    assert all(found[table] == wanted[table] for table in wanted if table.startswith("public."))


def test_a_column_dropped_and_made_again_is_not_read_as_empty(fresh: Sandbox) -> None:
    def swap() -> None:
        on_primary(
            fresh,
            "ALTER TABLE public.comments DROP COLUMN body CASCADE; ALTER TABLE public.comments ADD body text",
        )

    progress = at("Copy the rows", swap)
    perform(fresh, "backup", progress=progress)
    assert any(
        "public.comments was truncated, rewritten or altered" in warning for warning in progress.warnings
    )


def test_a_primary_that_never_holds_still_ends_the_run_without_a_backup(fresh: Sandbox) -> None:
    def truncate(title: str) -> None:
        if title.startswith("Copy the rows"):
            on_primary(fresh, "TRUNCATE public.search_cache")

    with pytest.raises(SnapshotLost):
        perform(fresh, "backup", progress=Watching(hook=truncate))
    assert not backups(fresh)
    perform(fresh, "backup")


def test_a_table_that_stays_locked_is_named_and_waited_for_no_longer_than_asked(fresh: Sandbox) -> None:
    assert fresh.primary_server is not None
    with fresh.primary_server.session("postgres") as session:
        session.autocommit = False

        def lock() -> None:
            with session.cursor() as cursor:
                cursor.execute("LOCK TABLE public.projects IN ACCESS EXCLUSIVE MODE")

        began = time.monotonic()
        with pytest.raises(PrimaryError) as failure:
            perform(fresh, "backup", progress=at("Copy the rows", lock), lock_wait="1s")
        session.rollback()
    assert "public.projects on the primary stayed locked" in failure.value.message
    assert time.monotonic() - began < 20


def test_a_busy_primary_is_copied_as_it_was_at_one_moment(fresh: Sandbox) -> None:
    """Writers keep two tables in step and move money about; the copy must show one such moment."""
    on_primary(
        fresh,
        "CREATE TABLE public.account (id int PRIMARY KEY, amount int);"
        "CREATE TABLE public.entry (id int, account int);"
        "CREATE SEQUENCE public.entry_number; CREATE TABLE public.scratch (a int);"
        "INSERT INTO public.account SELECT i, 100 FROM generate_series(1, 200) i",
    )
    done = threading.Event()
    transfers = 0

    def write() -> None:
        nonlocal transfers
        assert fresh.primary_server is not None
        with fresh.primary_server.session("postgres") as session, session.cursor() as cursor:
            while not done.is_set():
                transfers += 1
                one, two = transfers % 200 + 1, (transfers * 7) % 200 + 1
                cursor.execute(
                    f"BEGIN; UPDATE public.account SET amount = amount - 5 WHERE id = {one};"
                    f"UPDATE public.account SET amount = amount + 5 WHERE id = {two};"
                    f"INSERT INTO public.entry VALUES (nextval('public.entry_number'), {one}); COMMIT;"
                )
                if transfers % 50 == 0:
                    cursor.execute("INSERT INTO public.scratch VALUES (1)")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        outcome = perform(fresh, "backup")
    finally:
        done.set()
        writer.join()
    name = outcome.outputs["branch-name"]
    assert transfers > 100
    assert fresh.execute(name, "SELECT sum(amount)::int, count(*)::int FROM public.account") == [(20000, 200)]
    ((entries, highest, position),) = fresh.execute(
        name,
        "SELECT count(*)::int, max(id), (SELECT last_value::int FROM public.entry_number) FROM public.entry",
    )
    assert 0 < entries == highest <= position <= transfers


def test_numbers_that_the_server_would_round_arrive_whole(world: Sandbox) -> None:
    on_primary(
        world, "CREATE TABLE IF NOT EXISTS public.float_trap AS SELECT 1/3::float8 AS a, 0.1::float4 AS b"
    )
    name = perform(world, "backup").outputs["branch-name"]
    assert world.execute(name, "SELECT a = 1/3::float8 FROM public.float_trap") == [(True,)]


def refused(sandbox: Sandbox, kind: type[Exception], **environment: str) -> str:
    with pytest.raises(kind) as failure:
        perform(sandbox, "backup", environment=environment)
    assert not backups(sandbox)
    problems = getattr(failure.value, "problems", ())
    return str(failure.value) + " ".join(problems)


@pytest.fixture(scope="module")
def unpublished() -> Any:
    """A sandbox in which no backup ever succeeds."""
    with Sandbox(primary="empty") as sandbox:
        yield sandbox


def test_a_wrong_key_is_told_by_its_setting(unpublished: Sandbox) -> None:
    assert "NEON_API_KEY" in refused(unpublished, NeonError, NEON_API_KEY="napi_wrong")


def test_an_unknown_project_is_told_by_its_setting(unpublished: Sandbox) -> None:
    assert "NEON_PROJECT_ID" in refused(unpublished, ConfigError, NEON_PROJECT_ID="no-such-project-12345678")


def test_the_transaction_pooler_is_refused(unpublished: Sandbox) -> None:
    url = "postgresql://postgres.ref:pw@aws-0-eu-central-1.pooler.supabase.com:6543/postgres"
    assert "session pooler" in refused(unpublished, ConfigError, SUPABASE_DATABASE_URL=url)


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
def test_weak_tls_is_refused(unpublished: Sandbox, mode: str) -> None:
    url = unpublished.primary_url.replace("sslmode=require", f"sslmode={mode}")
    assert f"sslmode={mode}" in refused(unpublished, ConfigError, SUPABASE_DATABASE_URL=url)


def test_a_wrong_password_is_told_without_being_shown(unpublished: Sandbox) -> None:
    url = unpublished.primary_url.replace(unpublished.primary_password, "canary-password")
    text = refused(unpublished, PrimaryError, SUPABASE_DATABASE_URL=url)
    assert "the password or the role is wrong" in text
    assert "canary-password" not in text


def test_a_primary_that_is_down_is_told(unpublished: Sandbox) -> None:
    assert unpublished.primary_server is not None
    url = unpublished.primary_url.replace(str(unpublished.primary_server.port), "9")
    assert "nothing listens there" in refused(unpublished, PrimaryError, SUPABASE_DATABASE_URL=url)


def test_a_host_that_only_has_ipv6_is_told_to_use_the_pooler(unpublished: Sandbox) -> None:
    url = "postgresql://postgres:pw@[2600:1f18::1]:5432/postgres?sslmode=require&connect_timeout=3"
    text = refused(unpublished, PrimaryError, SUPABASE_DATABASE_URL=url)
    assert "session pooler" in text or "no answer within" in text


@pytest.fixture(scope="module", params=[15, 17, 18])
def each(request: pytest.FixtureRequest) -> Any:
    """A sandbox of each major, primary and project alike."""
    with Sandbox(primary="empty", primary_major=request.param, major=request.param) as sandbox:
        yield sandbox


def test_a_primary_in_another_encoding_is_refused(each: Sandbox) -> None:
    on_primary(each, "CREATE DATABASE old ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    url = each.primary_url.replace("/postgres?", "/old?")
    assert url != each.primary_url
    assert "encoding is LATIN1" in refused(each, PrimaryError, SUPABASE_DATABASE_URL=url)


def test_more_jobs_than_connections_are_served_by_fewer_and_every_row_arrives(each: Sandbox) -> None:
    on_primary(each, "CREATE ROLE narrow LOGIN BYPASSRLS CONNECTION LIMIT 4 PASSWORD 'narrow-narrow'")
    on_primary(each, "GRANT pg_read_all_data TO narrow")
    rows = "SELECT g AS id, repeat('x', 200) FROM generate_series(1, 12000) g"
    tables = [f"public.t{number}" for number in range(4)]
    for table in tables:
        on_primary(each, f"CREATE TABLE {table} AS {rows}")
    on_primary(each, "VACUUM ANALYZE")
    login = f"postgres:{quote(each.primary_password, safe='')}"
    url = each.primary_url.replace(login, "narrow:narrow-narrow")
    progress = Watching()
    outcome = perform(each, "backup", progress=progress, jobs="8", environment={"SUPABASE_DATABASE_URL": url})
    assert any("Going on with fewer workers" in warning for warning in progress.warnings)
    wanted, found = primary_contents(each), branch_contents(each, outcome.outputs["branch-name"])
    assert [found[table] for table in tables] == [wanted[table] for table in tables]


def test_an_older_target_is_refused(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(primary="empty", primary_major=17, major=15)
    assert "older major version" in refused(sandbox, Refused)


def test_a_mirror_of_somebody_else_is_left_untouched(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(primary="empty")
    perform_branch(sandbox, names.MIRROR)
    sandbox.execute(names.MIRROR, "CREATE TABLE theirs AS SELECT 1 AS a")
    assert "was not made by this tool" in refused(sandbox, Refused)
    assert sandbox.execute(names.MIRROR, "SELECT a FROM theirs") == [(1,)]


def perform_branch(sandbox: Sandbox, name: str) -> None:
    from supaneon_sync.neon_client import BranchRequest, NeonClient
    from supaneon_sync.secret import Secret

    with NeonClient(Secret(sandbox.key), api_host=sandbox.api_host) as client:
        client.create_branch(
            sandbox.environment["NEON_PROJECT_ID"], BranchRequest(name=name, with_endpoint=True)
        )


def test_a_default_branch_that_holds_data_is_not_overwritten_on_the_mirror(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(primary="empty")
    default = next(iter(sandbox.names()))
    sandbox.execute(default, "CREATE TABLE theirs AS SELECT 1 AS a")
    assert "holds objects, and no marker" in refused(sandbox, Refused)
    assert sandbox.execute(names.MIRROR, "SELECT a FROM theirs") == [(1,)]


def test_another_database_name_later_is_refused(fresh: Sandbox) -> None:
    perform(fresh, "backup")
    with pytest.raises(Refused, match="NEON_DATABASE"):
        perform(fresh, "backup", environment={"NEON_DATABASE": "other"})


def test_two_runs_at_once_leave_one_out(fresh: Sandbox) -> None:
    perform(fresh, "backup")
    refusals: list[Exception] = []

    def second() -> None:
        try:
            perform(fresh, "backup")
        except Locked as error:
            refusals.append(error)

    perform(fresh, "backup", progress=at("Take a snapshot", second))
    assert len(refusals) == 1
    assert len(backups(fresh)) == 2


def test_the_branch_limit_is_told_with_its_remedy(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(primary="empty", plan="free")
    sandbox.seed(*({"name": f"feature-{number}"} for number in range(8)))
    with pytest.raises(QuotaError):
        perform(sandbox, "backup")
    assert not backups(sandbox)
    assert not any(name.startswith("staging-") for name in sandbox.names())


def test_a_cut_that_is_stale_is_never_named_a_backup(fresh: Sandbox) -> None:
    """A branch that does not hold the manifest it was cut for is caught through its own URI."""
    perform(fresh, "backup")
    first = backups(fresh)
    mirror = fresh.branch(names.MIRROR)
    fresh.plane.clusters.keep(mirror.id)
    fresh.inject({"kind": "stale-cut", "method": "POST", "path": "/branches$"})
    with pytest.raises((DataDiffers, Refused)):
        perform(fresh, "backup")
    assert fresh.fired() == 1
    assert backups(fresh) == first
    assert not any(name.startswith("staging-") for name in fresh.names())


def test_the_alarm_rings_on_a_single_flipped_bit_of_a_fingerprint(
    fresh: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison itself is known to fail: a proof that always agrees would be worth nothing."""
    real = fingerprint.fingerprints
    calls: list[str] = []

    def bent(session: Any, wanted: Any, seed: Any) -> Any:
        found = list(real(session, wanted, seed))
        calls.extend(table.label for table, _ in wanted)
        for position, (table, _) in enumerate(wanted):
            if table.name == "labels":
                flipped = f"{int(found[position].digest, 16) ^ 1:032x}"
                found[position] = replace(found[position], digest=flipped)
        return tuple(found)

    monkeypatch.setattr(proving, "fingerprints", bent)
    with pytest.raises(DataDiffers, match=r"public\.labels"):
        perform(fresh, "backup")
    assert "public.labels" in calls


def seeded(sandbox: Sandbox, count: int) -> list[str]:
    """Backups of ours from long ago, records alone."""
    mirror = sandbox.branch(names.MIRROR)
    found = [f"backup-2026010{day}T000000Z" for day in range(1, count + 1)]
    sandbox.seed(
        *(
            {
                "name": name,
                "parent_id": mirror.id,
                "annotation": marks.Mark(marks.BACKUP, "0", "0" * 64, names.backup_moment(name)).pairs(),
            }
            for name in found
        )
    )
    return found


def test_at_the_branch_limit_what_is_due_to_go_makes_room(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(primary="empty", plan="free")
    first = perform(sandbox, "backup").outputs["branch-name"]
    old = seeded(sandbox, 7)
    assert len(sandbox.names()) == 10
    second = perform(sandbox, "backup", keep_last=3).outputs["branch-name"]
    assert {first, second} <= backups(sandbox)
    assert old[0] not in backups(sandbox)


def test_at_the_branch_limit_nothing_is_copied_when_no_room_may_be_made(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(primary="empty", plan="free")
    perform(sandbox, "backup")
    old = seeded(sandbox, 7)
    progress = Watching()
    with pytest.raises(QuotaError) as failure:
        perform(sandbox, "backup", progress=progress, make_room="false")
    assert old[0] in failure.value.remedy
    assert not any(step.startswith("Copy the rows") for step in progress.steps)
    assert set(old) <= backups(sandbox)


def test_nobody_can_write_to_the_mirror_between_the_proof_and_the_cut(fresh: Sandbox) -> None:
    refusals: list[str] = []

    def meddle() -> None:
        try:
            fresh.execute(names.MIRROR, "SET lock_timeout = '200ms'; DELETE FROM public.labels")
        except psycopg2.errors.LockNotAvailable as error:
            refusals.append(str(error))

    outcome = perform(fresh, "backup", progress=at("Write the manifest", meddle))
    assert len(refusals) == 1
    name = outcome.outputs["branch-name"]
    assert primary_contents(fresh)["public.labels"] == branch_contents(fresh, name)["public.labels"]
    fresh.execute(names.MIRROR, "DELETE FROM public.labels")


def test_generated_values_that_are_older_than_their_expression_do_not_stop_backups(fresh: Sandbox) -> None:
    on_primary(
        fresh,
        """
        CREATE FUNCTION public.tax(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT n * 2';
        CREATE TABLE public.priced (
          id int PRIMARY KEY, gross int GENERATED ALWAYS AS (public.tax(id)) STORED);
        ALTER TABLE public.priced OWNER TO postgres;
        ALTER FUNCTION public.tax(int) OWNER TO postgres;
        INSERT INTO public.priced VALUES (1);
        CREATE OR REPLACE FUNCTION public.tax(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT n * 3';
        """,
    )
    outcome = perform(fresh, "backup")
    assert outcome.verdict == "degraded"
    assert any("public.priced" in note and "gross" in note for note in outcome.notes)
    assert perform(fresh, "restore-test").verdict in ("pass", "degraded")


def test_generated_columns_of_an_untrusted_owner_are_named_as_not_compared(fresh: Sandbox) -> None:
    on_primary(
        fresh,
        """
        CREATE ROLE stranger; GRANT CREATE ON SCHEMA public TO stranger;
        CREATE TABLE public.priced (id int, twice int GENERATED ALWAYS AS (id * 2) STORED);
        INSERT INTO public.priced VALUES (1);
        ALTER TABLE public.priced OWNER TO stranger;
        """,
    )
    outcome = perform(fresh, "backup")
    assert outcome.verdict == "degraded"
    assert any("public.priced" in note and "not compared" in note for note in outcome.notes)
