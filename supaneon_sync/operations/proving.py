"""The proof: what stands on the mirror is, to the row, what was read on the primary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from supaneon_sync.errors import DataDiffers
from supaneon_sync.operations.workshop import Workshop
from supaneon_sync.policy import compare
from supaneon_sync.policy.plan import Plan
from supaneon_sync.postgres import inventory, large_objects, mirror, roles, sequences
from supaneon_sync.postgres.copying import CopiedTable
from supaneon_sync.postgres.crew import Sessions
from supaneon_sync.postgres.fingerprint import Fingerprint, Seed, fingerprint
from supaneon_sync.postgres.large_objects import LargeObject
from supaneon_sync.postgres.restore import Violation
from supaneon_sync.postgres.sequences import Reading

_SHOWN = 10


@dataclass(frozen=True)
class Claim:
    """What the mirror is said to hold: the plan, and what was read on the primary under one snapshot."""

    plan: Plan
    seed: Seed
    tables: tuple[CopiedTable, ...]
    readings: tuple[Reading, ...]
    large_objects: tuple[LargeObject, ...]
    violations: tuple[Violation, ...]
    same_major: bool


def prove(workshop: Workshop, claim: Claim) -> str:
    """Compare the mirror with the claim and return the digest of the mirror's schema.

    Tables by count and fingerprint, large objects by size and digest, sequences by reading, schema by the
    same pg_dump, grants and roles by the catalogs. Raises DataDiffers that names what differs.
    """
    problems = _tables(workshop, claim) + _large_objects(workshop, claim)
    with workshop.on_mirror("proof") as reader:
        problems += _sequences(claim.readings, sequences.reread(reader, claim.readings))
        problems += mirror.unexpected_rows(reader, [table for table, _ in claim.plan.rowless])
        problems += compare.grant_differences(claim.plan, inventory.grants(reader))
        problems += roles.differences(reader, claim.plan.roles)
    found = workshop.dump_mirror()
    problems += compare.differences(
        claim.plan,
        found.entries,
        excused=[violation.entry for violation in claim.violations],
        same_major=claim.same_major,
    )
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise DataDiffers(
            f"The copy is not equal to the primary's snapshot: {'; '.join(problems[:_SHOWN])}{more}.",
            remedy="Nothing was published; earlier backups stand. Run it again; tell us if it recurs.",
            differences=problems,
        )
    return found.digest()


def _tables(workshop: Workshop, claim: Claim) -> list[str]:
    told = workshop.counter(len(claim.tables))

    def task(sessions: Sessions, one: CopiedTable) -> Fingerprint:
        return fingerprint(sessions[0], one.table, claim.seed, one.source.method)

    def done(one: CopiedTable, _: Fingerprint) -> None:
        told(one.table.label, 0)

    found = workshop.crew("proof", task).work(claim.tables, done)
    return [_difference(one, found[one]) for one in claim.tables if found[one] != one.source]


def _large_objects(workshop: Workshop, claim: Claim) -> list[str]:
    def task(sessions: Sessions, group: tuple[LargeObject, ...]) -> tuple[LargeObject, ...]:
        return large_objects.measure(sessions[0], [one.oid for one in group])

    with workshop.on_mirror("proof") as reader:
        count = large_objects.count(reader)
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
