"""How many rows differ is told where the proof or a drill fails, and a failure it stays, whatever happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from supaneon_sync.errors import DataDiffers
from supaneon_sync.operations import diagnosing, proving
from supaneon_sync.policy import names
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres import divergence, fingerprint, lines
from supaneon_sync.postgres.fingerprint import Fingerprint, Method, Seed
from supaneon_sync.postgres.session import Session
from supaneon_sync.run import Stop
from supaneon_sync.sandbox.testing import Sandbox
from tests.operations.test_backup import backups, on_primary
from tests.operations.test_backup_hostile import TRAP, sprung
from tests.tool import Watching, at, perform

TABLES = """
CREATE TABLE public.keyed (id int PRIMARY KEY, name text);
CREATE TABLE public.keyless (a int, b text);
CREATE TABLE public.generated (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED, b text);
INSERT INTO public.keyed SELECT i, 'canary ' || i FROM generate_series(1, 3000) i;
INSERT INTO public.keyless SELECT i % 50, 'canary' FROM generate_series(1, 200) i;
INSERT INTO public.generated (id, b) SELECT i, 'x' FROM generate_series(1, 100) i;
INSERT INTO auth.users (id, email) SELECT gen_random_uuid(), i || '@canary' FROM generate_series(1, 50) i;
"""
THREE = """
DELETE FROM public.keyed WHERE id = 7;
UPDATE public.keyed SET name = name || '!' WHERE id = 8;
INSERT INTO public.keyed VALUES (9000, 'extra');
"""
ONE = "UPDATE public.keyed SET name = 'canary?' WHERE id = 5"


@pytest.fixture(scope="module")
def world() -> Iterator[Sandbox]:
    """A primary whose backups all fail in their proof: what the tests do to the mirror is their affair."""
    with Sandbox(primary="empty") as sandbox:
        on_primary(sandbox, TABLES)
        yield sandbox


def failing(
    sandbox: Sandbox,
    damage: str,
    meanwhile: Callable[[], object] = lambda: None,
    *,
    step: str = "Count the rows",
    **flags: object,
) -> str:
    """Damage the mirror before its proof, do something as a step begins; return what the backup tells."""

    def hook(title: str) -> None:
        if title.startswith("Vacuum"):
            sandbox.execute(names.MIRROR, damage)
        if title.startswith(step):
            meanwhile()

    with pytest.raises(DataDiffers) as failure:
        perform(sandbox, "backup", progress=Watching(hook=hook), **flags)
    assert not backups(sandbox)
    assert failure.value.exit_code == 6
    assert "The copy is not equal to the primary's snapshot" in failure.value.message
    return str(failure.value)


def test_rows_that_differ_are_counted_and_no_key_is_told(world: Sandbox) -> None:
    told = failing(world, THREE)
    assert "public.keyed has as many rows (3000) on both sides, but other contents (3 rows differ:" in told
    assert "(3 rows differ: 1 missing, 1 changed, 1 extra)" in told
    assert "9000" not in told
    assert "canary" not in told


def test_keys_are_named_only_where_row_values_may_be_shown(world: Sandbox) -> None:
    told = failing(world, THREE, show_row_values=True)
    assert "1 extra; missing: (7); changed: (8); extra: (9000)" in told
    assert "canary" not in told
    many = failing(world, "UPDATE public.keyed SET name = 'x' WHERE id <= 50", show_row_values=True)
    assert "(50 rows differ: 50 changed; " in many
    assert many.count("changed: (") == 10


def test_without_a_key_a_changed_row_counts_twice_and_it_is_said(world: Sandbox) -> None:
    told = failing(world, "UPDATE public.keyless SET b = 'y' WHERE ctid = '(0,1)'")
    assert "(2 rows differ: 1 missing, 1 extra; without a primary key a changed row counts as" in told


def test_generated_columns_are_each_sides_own_affair(world: Sandbox) -> None:
    told = failing(world, "UPDATE public.generated SET b = 'y' WHERE id <= 3")
    assert "(3 rows differ: 3 changed)" in told


def test_what_has_changed_on_the_primary_since_is_said_to_be_in_the_number(world: Sandbox) -> None:
    told = failing(world, THREE, lambda: on_primary(world, "DELETE FROM public.keyed WHERE id = 100"))
    on_primary(world, "INSERT INTO public.keyed VALUES (100, 'canary 100')")
    assert "(4 rows differ: 1 missing, 1 changed, 2 extra; this includes what has changed" in told


def test_of_an_owner_who_is_not_trusted_only_lines_are_compared(make_sandbox: Callable[..., Sandbox]) -> None:
    """auth.users is another role's, and mallory's table would run her code at the planning of a query."""
    sandbox = make_sandbox(primary="empty")
    on_primary(sandbox, TABLES + TRAP)
    on_primary(
        sandbox,
        "CREATE TABLE public.bait (id int PRIMARY KEY, a text); ALTER TABLE public.bait OWNER TO mallory;"
        "INSERT INTO public.bait SELECT i, 'x' FROM generate_series(1, 500) i;"
        "CREATE INDEX ON public.bait ((a || public.trap('index')))",
    )
    assert sandbox.primary_server is not None
    sandbox.primary_server.log.write_text("")
    damage = (
        "UPDATE auth.users SET email = 'changed' WHERE ctid = '(0,1)';"
        "SET search_path = public; DELETE FROM public.bait WHERE id = 3"
    )
    told = failing(sandbox, damage)
    assert (
        "auth.users has as many rows (50) on both sides, but other contents (1 row differs: 1 changed)"
        in told
    )
    assert "public.bait has 499 rows on the copy and 500 on the primary (1 row differs: 1 missing)" in told
    assert not sprung(sandbox)


def test_where_too_many_lines_differ_it_is_said(world: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_LINES", 10)
    told = failing(world, "UPDATE auth.users SET email = 'changed' || id")
    assert "but other contents (rows not counted: too many of them differ)" in told


def test_a_primary_that_is_gone_is_said_and_the_failure_stays(world: Sandbox) -> None:
    assert world.primary_server is not None
    try:
        told = failing(world, THREE, world.primary_server.stop)
    finally:
        world.primary_server.start()
    assert "public.keyed has as many rows (3000) on both sides, but other contents." in told
    assert "Rows that differ were not counted: Cannot connect to the primary" in told


def test_a_table_that_is_gone_is_said_and_the_others_are_counted(world: Sandbox) -> None:
    rename = "ALTER TABLE public.keyless RENAME TO keyless_{}"
    damage = ONE + "; UPDATE public.keyless SET b = 'y'"
    told = failing(world, damage, lambda: on_primary(world, rename.format("gone")))
    on_primary(world, "ALTER TABLE public.keyless_gone RENAME TO keyless")
    assert (
        "public.keyless has as many rows (200) on both sides, but other contents (rows not counted:" in told
    )
    assert "(1 row differs: 1 changed)" in told


def test_a_locked_table_is_waited_for_no_longer_than_asked(world: Sandbox) -> None:
    assert world.primary_server is not None
    with world.primary_server.session("postgres") as session, session.cursor() as cursor:
        session.autocommit = False

        def lock() -> None:
            cursor.execute("LOCK TABLE public.keyed IN ACCESS EXCLUSIVE MODE")

        told = failing(world, ONE + "; UPDATE public.keyless SET b = 'y'", lock, lock_wait="1s")
        session.rollback()
    assert "but other contents (rows not counted: public.keyed on the primary stayed locked" in told
    assert "(400 rows differ: 200 missing, 200 extra" in told


def test_the_counting_ends_when_its_time_is_over(world: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosing, "LIMIT", timedelta(seconds=1))
    real = divergence.compare

    def slow(before: divergence.Rows, *rest: object) -> object:
        before.session.query("SELECT pg_sleep(60)")
        return real(before, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(divergence, "compare", slow)
    began = time.monotonic()
    told = failing(world, ONE + "; UPDATE public.keyless SET b = 'y'")
    assert told.count("but other contents (rows not counted within 1 s)") == 2
    assert time.monotonic() - began < 40


def test_tables_beyond_the_bound_are_named_as_not_counted(
    world: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosing, "TABLES", 1)
    told = failing(world, ONE + "; UPDATE public.generated SET b = 'y'")
    assert told.count("1 changed)") + told.count("100 changed)") >= 1
    assert told.count("but other contents (rows not counted: that is done for 1 tables at most)") == 1


def test_a_defect_of_the_counting_hides_nothing(world: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> object:
        raise ValueError("canary")

    monkeypatch.setattr(divergence, "compare", broken)
    told = failing(world, ONE)
    assert "Rows that differ were not counted: ValueError was not foreseen." in told
    assert "canary" not in told


def test_a_stop_ends_the_counting_and_the_failure_is_told(world: Sandbox) -> None:
    stop = Stop()
    told = failing(world, ONE, stop.set, stop=stop)
    assert "Rows that differ were not counted: The run was cancelled." in told


def test_where_no_row_differs_after_all_it_is_no_pass(
    world: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fingerprint.fingerprints

    def bent(
        session: Session, wanted: Sequence[tuple[Relation, Method]], seed: Seed
    ) -> tuple[Fingerprint, ...]:
        found = zip(wanted, real(session, wanted, seed), strict=True)
        return tuple(
            replace(one, digest="0" * 32) if table.name == "keyed" else one for (table, _), one in found
        )

    monkeypatch.setattr(proving, "fingerprints", bent)
    told = failing(world, "SELECT 1")
    assert "public.keyed has as many rows (3000) on both sides, but other contents (no row differs)" in told


def test_where_everything_agrees_nothing_is_counted(make_sandbox: Callable[..., Sandbox]) -> None:
    progress = at("Count the rows", lambda: pytest.fail("there is nothing to count"))
    perform(make_sandbox(primary="empty"), "backup", progress=progress)
