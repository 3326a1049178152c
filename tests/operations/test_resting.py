"""Rows that were proved before and are not read again: whatever was done on either side, none hides there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from supaneon_sync.errors import SupaneonError
from supaneon_sync.policy import names
from supaneon_sync.report.outcome import Outcome
from supaneon_sync.sandbox.testing import Sandbox
from tests.operations.nights.town import Town, in_memory
from tests.operations.test_moved import hashed
from tests.tool import Watching, at, perform

MADE = """
CREATE TYPE public.mood AS ENUM ('good', 'bad');
CREATE TABLE public.plain (id int PRIMARY KEY, v text);
CREATE TABLE public.felt (id int PRIMARY KEY, mood public.mood);
INSERT INTO public.plain SELECT g, 'value ' || g FROM generate_series(1, 5000) g;
INSERT INTO public.felt SELECT g, (ARRAY['good', 'bad'])[g % 2 + 1]::public.mood
FROM generate_series(1, 5000) g;
"""
AS_TEXT = "SELECT count(*), md5(string_agg(t::text, ',' ORDER BY id)) FROM public.{} AS t"


@dataclass
class Sides:
    """A primary and a mirror, backed up once."""

    town: Town

    def on_primary(self, statement: str) -> list[tuple[Any, ...]]:
        """Do something as the application does it."""
        return self.town.primary.execute(statement, "postgres")

    def on_mirror(self, statement: str) -> list[tuple[Any, ...]]:
        """Do something that nobody but a backup should."""
        return self.town.sandbox.execute(names.MIRROR, statement)

    def backup(self, progress: Watching | None = None, **flags: Any) -> Outcome:
        """Back up, and demand that the branch holds what the primary does."""
        outcome = self.town.backup(progress, **flags)
        branch = outcome.outputs["branch-name"]
        for table in ("plain", "felt"):
            copy = self.town.sandbox.execute(branch, AS_TEXT.format(table))
            assert copy == self.on_primary(AS_TEXT.format(table)), table
        self.town.forget(keep=branch)
        return outcome

    def drilled(self, outcome: Outcome) -> str:
        """What a drill says of a backup."""
        return perform(self.town.sandbox, "restore-test", branch=outcome.outputs["branch-name"]).verdict


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(in_memory(), primary="empty") as made:
        yield made


@pytest.fixture
def sides(sandbox: Sandbox) -> Sides:
    made = Sides(Town(sandbox))
    made.on_primary("DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION postgres")
    with made.town.citizen() as session, session.cursor() as cursor:
        cursor.execute(MADE)
    made.backup(prove_every="0s")
    return made


def test_a_row_that_the_mirror_and_the_primary_both_made_hides_no_other(sides: Sides) -> None:
    """As when a staging application points at the mirror and draws the same number."""
    sides.on_mirror("INSERT INTO plain VALUES (6000, 'staging'); DELETE FROM plain WHERE id = 10")
    sides.on_primary("INSERT INTO plain VALUES (6000, 'real'); DELETE FROM plain WHERE id = 20")
    sides.backup()


BOTH = {
    "changed on both": "UPDATE plain SET v = 'real' WHERE id = 7",
    "changed there, gone here": "DELETE FROM plain WHERE id = 7",
}


@pytest.mark.parametrize("what", BOTH)
def test_a_row_that_was_changed_on_both_sides_leaves_a_manifest_that_a_drill_confirms(
    sides: Sides, what: str
) -> None:
    sides.on_mirror("UPDATE plain SET v = 'staging' WHERE id = 7")
    sides.on_primary(BOTH[what])
    assert sides.drilled(sides.backup()) == "pass"


RENAMED = (
    "ALTER TYPE public.mood RENAME VALUE 'bad' TO 'worse'",
    "ALTER TYPE public.mood ADD VALUE 'bad' BEFORE 'worse'",
)


def test_a_value_of_an_enum_that_was_renamed_while_another_took_its_name_arrives(sides: Sides) -> None:
    for statement in RENAMED:
        sides.on_primary(statement)
    assert sides.drilled(sides.backup()) == "pass"


def test_a_value_of_an_enum_that_was_renamed_on_the_mirror_is_put_right(sides: Sides) -> None:
    for statement in RENAMED:
        sides.on_mirror(statement)
    sides.on_primary("ALTER TYPE public.mood ADD VALUE 'worse'")
    assert sides.drilled(sides.backup()) == "pass"


def test_a_proof_that_is_dated_in_the_future_is_none_to_rest_on(sides: Sides) -> None:
    with pytest.raises(SupaneonError):  # no branch may expire so late: the mirror remembers the run, though
        perform(sides.town.sandbox, "backup", ahead=timedelta(days=300))
    outcome = sides.backup()
    assert dict(outcome.facts)["Rows hashed on the mirror"] == "all"
    assert max(hashed(outcome).values()) < (datetime.now(UTC) + timedelta(hours=1)).isoformat()


def end() -> None:
    raise KeyboardInterrupt


def test_a_table_that_shrank_in_a_run_that_ended_early_is_vacuumed_by_the_next(sides: Sides) -> None:
    """And that does not wait for the lock by which the same run holds equal tables still."""
    sides.on_primary("DELETE FROM plain WHERE id <= 200")
    sides.backup()
    sides.on_primary("DELETE FROM plain WHERE id <= 4500")
    with pytest.raises(KeyboardInterrupt):
        sides.town.backup(at("Make constraints", end))
    sides.backup()
    assert sides.on_mirror("SELECT reltuples FROM pg_class WHERE oid = 'plain'::regclass") == [(500.0,)]


def test_rows_that_arrived_in_a_run_that_ended_early_get_their_statistics(sides: Sides) -> None:
    sides.on_primary("INSERT INTO plain SELECT g, 'v' FROM generate_series(20001, 40000) g")
    with pytest.raises(KeyboardInterrupt):
        sides.town.backup(at("Make constraints", end))
    outcome = sides.backup()
    assert sides.on_mirror("SELECT reltuples FROM pg_class WHERE oid = 'plain'::regclass") == [(25000.0,)]
    assert any("did not end" in note for note in outcome.notes)


def test_a_second_attempt_of_one_run_is_no_earlier_run_that_did_not_end(sides: Sides) -> None:
    sides.on_mirror("UPDATE plain SET v = 'staging' WHERE id = 8")
    outcome = sides.backup()
    assert any("had been altered" in note for note in outcome.notes)
    assert not any("did not end" in note for note in outcome.notes)
