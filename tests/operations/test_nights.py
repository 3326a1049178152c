"""Night after night, whatever happened by day and whatever befell a run: mirror and backup are the primary.

By default a handful of nights on each pair of majors, the same ones every time. ``SUPANEON_NIGHTS=200``
asks for so many, with other chances each time. A failure prints the story as SQL that can be run again.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import psycopg2
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg2.extensions import connection

from supaneon_sync.policy import names
from supaneon_sync.sandbox.testing import Sandbox
from tests.operations.nights import steps
from tests.operations.nights.accidents import ACCIDENTS
from tests.operations.nights.moved import TOLD, moved
from tests.operations.nights.portrait import Portrait, objects, rows
from tests.operations.nights.steps import Step
from tests.operations.nights.town import Town, in_memory

Part = Callable[[connection], Portrait]
PAIRS = ((15, 17), (18, 18))
MAJOR = max(step.since for step in steps.ROWS + steps.SCHEMA)
"""A major that knows every step."""
ASKED = os.environ.get("SUPANEON_NIGHTS", "")
NIGHTS = int(ASKED or 8) // len(PAIRS)
AN_EXAMPLE = min(12, NIGHTS)
ROWS_A_DAY = 6
SCHEMA_A_DAY = (0, 1, 0, 2, 0, 0, 4)
"""How many steps of the schema one day has: none on many, so that rows alone change too."""


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: f"{pair[0]}-to-{pair[1]}")
def town(request: pytest.FixtureRequest) -> Iterator[Town]:
    source, target = request.param
    with Sandbox(in_memory(), primary="empty", primary_major=source, major=target) as sandbox:
        yield Town(sandbox)


@dataclass(frozen=True)
class Chance:
    """What was drawn for one night."""

    number: int
    accident: int
    when: float
    strategy: str


CHANCES = st.builds(
    Chance,
    number=st.integers(0, 99_999),
    accident=st.integers(0, len(ACCIDENTS) - 1),
    when=st.floats(0, 0.9),
    strategy=st.sampled_from(("auto", "delta")),
)


def titles(chosen: Sequence[Step]) -> st.SearchStrategy[list[str]]:
    """Draw an order of the steps, told by their titles."""
    return st.permutations([step.title for step in chosen])


def known(order: Sequence[str], chosen: Sequence[Step], town: Town) -> Iterator[Step]:
    """Yield the steps that the primary's major knows, in this order, over and over; majors begin apart."""
    by_title = {step.title: step for step in chosen if step.since <= town.major}
    there = [by_title[title] for title in order if title in by_title]
    turn = town.major * 7 % len(there)
    return itertools.cycle(there[turn:] + there[:turn])


@settings(
    max_examples=max(1, NIGHTS // AN_EXAMPLE),
    derandomize=not ASKED,
    database=None,
    deadline=None,
    phases=(Phase.generate, Phase.shrink) if ASKED else (Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
@given(
    of_rows=titles(steps.ROWS),
    of_schema=titles(steps.SCHEMA),
    chances=st.lists(CHANCES, min_size=AN_EXAMPLE, max_size=AN_EXAMPLE),
)
def test_mirror_and_backup_are_the_primary_every_night(
    town: Town, of_rows: Sequence[str], of_schema: Sequence[str], chances: Sequence[Chance]
) -> None:
    town.found()
    rows_to_come, schema_to_come = known(of_rows, steps.ROWS, town), known(of_schema, steps.SCHEMA, town)
    try:
        for night, chance in enumerate(chances):
            a_day = SCHEMA_A_DAY[(night + town.major) % len(SCHEMA_A_DAY)]
            today = [*itertools.islice(schema_to_come, a_day), *itertools.islice(rows_to_come, ROWS_A_DAY)]
            for position, step in enumerate(today):
                town.take(step, (chance.number + 7919 * (position + night)) % 100_000)
            befalls = ACCIDENTS[(chance.accident + night + town.major) % len(ACCIDENTS)]
            befalls(town, chance.number + 31 * night, 0.05 + (chance.when + 0.37 * night) % 0.9)
            flags = {"strategy": chance.strategy} if TOLD else {}
            outcome = town.clean_backup(**flags)
            if TOLD:
                moved(outcome)
            town.prove(outcome.outputs["branch-name"], names.MIRROR)
            town.forget(keep=outcome.outputs["branch-name"])
        assert town.refused < town.taken / 3, "the steps of the grammar get in each other's way"
    except BaseException:
        print("\n".join(town.story))
        raise


def test_each_step_can_be_taken_and_shows_in_the_portrait() -> None:
    """A comparison that sees no change would find everything equal; a step that fails would try nothing."""
    with Sandbox(in_memory(), primary="empty", primary_major=MAJOR, major=MAJOR) as sandbox:
        town = Town(sandbox)
        town.found()
        with town.primary.session() as session:
            shows(session, steps.ROWS, "postgres", (rows, objects))
            shows(session, steps.SCHEMA, "postgres", (objects, rows))
            shows(session, steps.MIRROR, town.primary.superuser, (objects, rows))


def shows(session: connection, chosen: Sequence[Step], role: str, parts: Sequence[Part]) -> None:
    """Demand that each step, taken by itself as a role, succeeds and changes the portrait; nothing stays.

    ``parts`` of the portrait are looked at one after the other until one shows a change.
    """
    session.autocommit = False
    before = [part(session) for part in parts]
    assert [part(session) for part in parts] == before
    session.rollback()
    for step in chosen:
        with session.cursor() as cursor:
            cursor.execute(f"SET LOCAL ROLE {role}; SET LOCAL search_path = public, extensions")
            try:
                cursor.execute(step.sql(7))
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; RESET ROLE")
            except psycopg2.Error as error:
                pytest.fail(f"{step.title}: {error}")
        assert any(part(session) != was for part, was in zip(parts, before, strict=True)), step.title
        session.rollback()
    session.autocommit = True


def test_a_copy_that_is_not_the_primary_is_found_out() -> None:
    with Sandbox(in_memory(), primary="empty") as sandbox:
        town = Town(sandbox)
        town.found()
        name = town.clean_backup().outputs["branch-name"]
        town.prove(name, names.MIRROR)
        sandbox.execute(names.MIRROR, "UPDATE town.by_integer SET n = n + 1 WHERE id = 4711")
        with pytest.raises(AssertionError, match=r"rows town\.by_integer"):
            town.prove(name, names.MIRROR)
        function = "FUNCTION town.plain(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1)'"
        sandbox.execute(name, f"CREATE OR REPLACE {function}")
        with pytest.raises(psycopg2.errors.DataCorrupted, match="people_plain"):
            town.check_indexes(name)
