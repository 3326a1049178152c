"""The proof: what stands on the mirror is, to the row, what was read on the primary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from supaneon_sync.errors import DataDiffers
from supaneon_sync.operations import diagnosing
from supaneon_sync.operations.workshop import Workshop
from supaneon_sync.policy import compare
from supaneon_sync.policy.facts import Relation
from supaneon_sync.policy.plan import Plan
from supaneon_sync.policy.platform import PLATFORM_DATA
from supaneon_sync.postgres import inventory, large_objects, mirror, resting, roles, sequences
from supaneon_sync.postgres.archive import Archive
from supaneon_sync.postgres.copying import CopiedTable, Load, loads
from supaneon_sync.postgres.crew import Sessions
from supaneon_sync.postgres.fingerprint import (
    Fingerprint,
    Method,
    Seed,
    as_written,
    fingerprint,
    fingerprints,
    generated_columns,
)
from supaneon_sync.postgres.large_objects import LargeObject
from supaneon_sync.postgres.resting import Here, Rest
from supaneon_sync.postgres.restore import Violation
from supaneon_sync.postgres.sequences import Reading
from supaneon_sync.postgres.snapshot import Snapshot

_SHOWN = 10


@dataclass(frozen=True)
class Claim:
    """What the mirror is said to hold: the plan, and what was read on the primary under one ``snapshot``.

    ``settled`` tables were found equal and have been locked against writing since; ``schema`` is the
    mirror's own where it has been read since its last change. Of the tables in ``rests`` only new rows are
    hashed, as long as the mirror's row versions bear that out.
    """

    snapshot: Snapshot
    plan: Plan
    seed: Seed
    tables: tuple[CopiedTable, ...]
    readings: tuple[Reading, ...]
    large_objects: tuple[LargeObject, ...]
    violations: tuple[Violation, ...]
    same_major: bool
    settled: frozenset[Relation] = frozenset()
    schema: Archive | None = None
    rests: Mapping[Relation, Rest] = field(default_factory=dict)


@dataclass(frozen=True)
class Proof:
    """What was proved: the mirror's schema, and the tables as the copy holds them.

    ``recomputed`` says where generated columns hold what their expressions give now, and not, or not
    provably, what the primary has stored; ``uncompared`` the same of tables of the platform's own.
    ``rested`` are the tables of which only new rows were hashed, ``here`` is the mirror's own moment.
    """

    schema: Archive
    tables: tuple[CopiedTable, ...]
    recomputed: tuple[str, ...]
    uncompared: tuple[str, ...]
    here: Here
    rested: Mapping[Relation, Rest]


def prove(workshop: Workshop, claim: Claim) -> Proof:
    """Compare the mirror with the claim.

    Tables by count and fingerprint (rows that rest, by their count alone), large objects by size and digest,
    sequences by reading, schema by the same pg_dump (which runs beside all else), grants and roles by the
    catalogs. Raises DataDiffers that names what differs.
    """
    with ThreadPoolExecutor(1) as aside:
        schema = aside.submit(lambda: claim.schema or workshop.dump_mirror(claim.snapshot))
        with workshop.on_mirror("proof") as reader:
            here = resting.here(reader)
        found_rows, rested = _tables(workshop, claim, here)
        recomputed = _recomputed(workshop, claim, found_rows)
        differing = {
            one: _difference(one, found_rows[one])
            for one in claim.tables
            if found_rows[one] != one.source and one not in recomputed
        }
        with workshop.on_mirror("proof") as reader:
            count = large_objects.count(reader)
            problems = _sequences(claim.readings, sequences.reread(reader, claim.readings))
            problems += mirror.unexpected_rows(reader, [table for table, _ in claim.plan.rowless])
            problems += compare.grant_differences(claim.plan, inventory.grants(reader))
            problems += roles.differences(reader, claim.plan.roles)
        problems += _large_objects(workshop, claim, count)
    found = schema.result()
    problems += compare.differences(
        claim.plan,
        found.entries,
        excused=[violation.entry for violation in claim.violations],
        same_major=claim.same_major,
    )
    if differing or problems:
        raise _not_equal(workshop, claim.seed, differing, problems)
    tables = tuple(replace(one, source=found_rows[one]) for one in claim.tables)
    usual = [text for one, text in recomputed.items() if _is_usual(one)]
    unusual = [text for one, text in recomputed.items() if not _is_usual(one)]
    return Proof(found, tables, tuple(unusual), tuple(usual), here, rested)


def _not_equal(
    workshop: Workshop, seed: Seed, differing: Mapping[CopiedTable, str], others: Sequence[str]
) -> DataDiffers:
    """Return the error that tells what differs, with the number of rows where they can be counted."""
    counted = diagnosing.against_the_primary(workshop, seed, list(differing))
    problems = [text + counted.of(one.table.label) for one, text in differing.items()] + list(others)
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    told = ". ".join(filter(None, ("; ".join(problems[:_SHOWN]) + more, counted.note)))
    return DataDiffers(
        f"The copy is not equal to the primary's snapshot: {told}.",
        remedy="Nothing was published; earlier backups stand. Run it again; tell us if it recurs.",
        differences=problems,
    )


def _is_usual(one: CopiedTable) -> bool:
    """Say whether this is one of the platform's own tables, whose generated columns every project has."""
    return one.source.method is Method.STREAM and one.table.schema in PLATFORM_DATA


def _tables(
    workshop: Workshop, claim: Claim, here: Here
) -> tuple[dict[CopiedTable, Fingerprint], dict[Relation, Rest]]:
    """Return the fingerprint of every table, and the tables that rest on an earlier proof."""
    wanted = {one.table: one for one in claim.tables}
    asked = [one.table for one in claim.tables if one.table not in claim.settled]
    rests = {table: rest for table, rest in claim.rests.items() if here.bears(table, rest)}
    told = workshop.counter(len(asked))

    def task(sessions: Sessions, load: Load) -> tuple[Set[Relation], dict[Relation, Fingerprint]]:
        quiet = {table: rests[table] for table in load if table in rests}
        rested = resting.fingerprints(sessions[0], quiet, claim.seed)
        others = [(table, wanted[table].source.method) for table in load if table not in rested]
        whole = fingerprints(sessions[0], others, claim.seed)
        return rested.keys(), rested | dict(zip((table for table, _ in others), whole, strict=True))

    def done(load: Load, _: object) -> None:
        for table in load:
            told(table.label, 0)

    results = workshop.crew("proof", task).work(loads(asked), done).values()
    proved = {table: given for _, found in results for table, given in found.items()}
    found = {one: one.source if one.table in claim.settled else proved[one.table] for one in claim.tables}
    return found, {table: rests[table] for rested, _ in results for table in rested}


def _recomputed(
    workshop: Workshop, claim: Claim, found: Mapping[CopiedTable, Fingerprint]
) -> dict[CopiedTable, str]:
    """Return what to say of tables that are equal but for generated columns, or whose were not compared."""
    told: dict[CopiedTable, str] = {}
    for one in claim.tables:
        columns = ", ".join(generated_columns(one.table))
        if columns and one.source.method is Method.STREAM:
            told[one] = (
                f"{one.table.label}: generated columns ({columns}) were computed anew and not compared,"
                " because reading them on the primary could run its owner's code as our role."
            )
        elif found[one] != one.source and one.written is not None:
            bare = as_written(one.table)
            with workshop.on_mirror("proof") as reader:
                same = fingerprint(reader, bare, claim.seed, one.written.method) == one.written
            if same:
                told[one] = (
                    f"{one.table.label}: the primary stores other values in generated columns ({columns})"
                    " than their expressions give now; the copy holds the latter."
                )
    return {one: text for one, text in told.items() if found[one] == one.source or one.written is not None}


def _large_objects(workshop: Workshop, claim: Claim, count: int) -> list[str]:
    def task(sessions: Sessions, group: tuple[LargeObject, ...]) -> tuple[LargeObject, ...]:
        return large_objects.measure(sessions[0], [one.oid for one in group])

    if count != len(claim.large_objects):
        return [f"there are {count} large objects on the copy and {len(claim.large_objects)} on the primary"]
    groups = [claim.large_objects[start : start + 200] for start in range(0, count, 200)]
    found = workshop.crew("proof", task).work(groups)
    return [text for group in groups for text in large_objects.differing(group, found[group])]


def _difference(one: CopiedTable, copy: Fingerprint) -> str:
    if copy.rows != one.source.rows:
        return f"{one.table.label} has {copy.rows} rows on the copy and {one.source.rows} on the primary"
    return f"{one.table.label} has as many rows ({copy.rows}) on both sides, but other contents"


def _sequences(wanted: Sequence[Reading], found: Sequence[Reading]) -> list[str]:
    return [
        f"sequence {one.label} stands at {other.last_value} on the copy and was read at {one.last_value}"
        for one, other in zip(wanted, found, strict=True)
        if one != other
    ]
