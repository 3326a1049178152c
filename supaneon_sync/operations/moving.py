"""The rows on their way to a mirror that stands, and what is told of each table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from supaneon_sync.operations.loaded import Arrivals, pages_of
from supaneon_sync.operations.making_way import CannotUpdate, Stand, Work, refusals_are_reasons
from supaneon_sync.operations.source import Source
from supaneon_sync.operations.workshop import Workshop
from supaneon_sync.policy import moved
from supaneon_sync.policy.facts import Relation
from supaneon_sync.policy.moved import Moved
from supaneon_sync.policy.plan import Plan
from supaneon_sync.postgres import (
    copying,
    delta,
    large_objects,
)
from supaneon_sync.postgres.blocks import Pair
from supaneon_sync.postgres.building import Builds
from supaneon_sync.postgres.comparing import Compared, Fate
from supaneon_sync.postgres.copying import CopiedTable, Load
from supaneon_sync.postgres.crew import Sessions
from supaneon_sync.postgres.large_objects import Group, LargeObject
from supaneon_sync.postgres.sending import Reader
from supaneon_sync.postgres.snapshot import joined


@dataclass(frozen=True)
class BroughtTable:
    """What it took to bring one table along."""

    copied: CopiedTable
    took: delta.Brought


def move(
    workshop: Workshop, stand: Stand, work: Work, reader: Reader, builds: Builds
) -> dict[Relation, BroughtTable]:
    """Move the rows; indexes are begun as soon as a table that lost them is in.

    Raises CannotUpdate where the mirror refuses them, and what reading the primary raises.
    """
    arrivals = Arrivals(workshop, builds, len(work.differing) + len(work.loaded))

    def task(sessions: Sessions, item: Load | Compared) -> tuple[BroughtTable, ...]:
        workshop.held.keeper.check()
        pair = (sessions[0], sessions[1])
        if isinstance(item, Compared):
            return (_bring(pair, item, stand, reader),)
        copied = arrivals.transfer(pair, item, reader)
        return tuple(BroughtTable(one, delta.Brought(None, one.bytes)) for one in copied)

    def again(sessions: Sessions, item: Load | Compared) -> None:
        if not isinstance(item, Compared):
            arrivals.again(sessions, item)

    def done(item: Load | Compared, found: tuple[BroughtTable, ...]) -> None:
        if isinstance(item, Compared):
            arrivals.build([item.table])
        arrivals.done(one.copied for one in found)

    items: list[Load | Compared] = [*copying.loads(work.loaded), *work.differing]
    crew = workshop.pairs(task, again)
    with refusals_are_reasons(), builds.ending(crew):
        results = crew.work(items, done)
    return {one.copied.table: one for found in results.values() for one in found}


def _bring(pair: Pair, one: Compared, stand: Stand, reader: Reader) -> BroughtTable:
    key = stand.known.keys.get(one.table)
    if one.fate is Fate.DELTA and key is not None:
        took = delta.bring(pair, one, key, reader, stand.acting)
    else:
        took = delta.rewrite(pair, one, reader, stand.acting)
    source = took.source or one.source
    if source is None:
        raise CannotUpdate(f"{one.table.label} has no fingerprint")
    return BroughtTable(CopiedTable(one.table, source, took.bytes + one.bytes, 0.0, one.written), took)


def bring_large_objects(workshop: Workshop, plan: Plan, source: Source) -> tuple[LargeObject, ...]:
    """Make the mirror's large objects those of the snapshot, fetching what differs alone."""
    with workshop.on_mirror("large objects") as owner:
        there = large_objects.comments(owner)
        groups: tuple[Group, ...] = ()
        if plan.large_objects:
            with workshop.on_primary("large objects") as reader, joined(reader, source.snapshot):
                groups = large_objects.groups(reader)
        wanted = {oid for group in groups for oid, _ in group.objects}
        large_objects.remove(owner, there.keys() - wanted)

    def task(sessions: Sessions, group: Group) -> tuple[LargeObject, ...]:
        workshop.held.keeper.check()
        return large_objects.bring((sessions[0], sessions[1]), group, source.snapshot, there)

    if not groups:
        return ()
    with workshop.phase("large objects", f"Compare {len(wanted)} large objects"):
        carried = workshop.pairs(task).work(groups)
    return tuple(one for group in groups for one in carried[group])


@dataclass(frozen=True)
class Telling:
    """Puts together what happened to each table."""

    source: Source
    stand: Stand
    compared: dict[Relation, Compared]
    brought: dict[Relation, BroughtTable]

    def copied(self) -> Iterable[CopiedTable]:
        """Yield every table with the primary's fingerprint."""
        for table in self.stand.plan.tables:
            if table in self.brought:
                yield self.brought[table].copied
            else:
                one = self.compared[table]
                if one.source is not None:
                    yield CopiedTable(table, one.source, one.bytes, 0.0, one.written)

    def moved(self, table: Relation) -> Moved:
        """Return what happened to one table."""
        one, took = self.compared.get(table), self.brought.get(table)
        scans = 0 if one is None else one.scans
        if took is None:
            rows = 0 if one is None else one.copy_rows
            size = 0 if one is None else one.bytes
            return Moved(table.label, moved.UNCHANGED, None, rows, rows, size, self._pages(table, scans))
        state = one.fate.value if one else moved.REWRITTEN if self._stood(table) else moved.NEW
        return Moved(
            label=table.label,
            state=state,
            counts=took.took.counts,
            rows_before=None if one is None else one.copy_rows,
            rows=took.copied.source.rows,
            bytes=took.copied.bytes,
            pages=self._pages(table, scans + took.took.scans),
            why=one.why if one else "" if state == moved.NEW else "its definition changed",
        )

    def _stood(self, table: Relation) -> bool:
        tables = (entry for entry in self.stand.standing.entries if entry.kind == "TABLE")
        return any((entry.schema, entry.tag) == (table.schema, table.name) for entry in tables)

    def _pages(self, table: Relation, scans: int) -> int:
        return pages_of(self.source, table, scans)
