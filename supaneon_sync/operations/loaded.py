"""What both ways of making the mirror equal end in, and what they share of moving rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from supaneon_sync.operations.source import Source
from supaneon_sync.operations.workshop import Workshop
from supaneon_sync.policy.facts import Relation
from supaneon_sync.policy.moved import Moved
from supaneon_sync.policy.plan import Plan
from supaneon_sync.postgres.archive import Archive
from supaneon_sync.postgres.building import Builds
from supaneon_sync.postgres.copying import CopiedTable, Load
from supaneon_sync.postgres.large_objects import LargeObject
from supaneon_sync.postgres.resting import Rest


@dataclass(frozen=True)
class Loaded:
    """The mirror with the snapshot's rows in it, before what comes after rows.

    ``plan`` is limited to what is still to be made. ``settled`` tables were proved equal and are locked
    since; ``touched`` ones are to be vacuumed, and of the others so many rows were ``stirred`` since they
    were. ``schema`` is the mirror's archive where nothing of it was changed. ``locale_note`` says where the
    copy sorts text otherwise; ``notes`` are for the summary. ``stale``: what is derived from rows may be.
    ``carried``: some fingerprints were carried over from the last proof along the primary's history;
    ``rests``: what the mirror has to hold still of tables that were proved then.
    """

    plan: Plan
    tables: tuple[CopiedTable, ...]
    moved: tuple[Moved, ...]
    large_objects: tuple[LargeObject, ...]
    settled: frozenset[Relation]
    touched: tuple[Relation, ...]
    locale_note: str = ""
    notes: tuple[str, ...] = ()
    schema: Archive | None = None
    carried: bool = False
    rests: Mapping[Relation, Rest] = field(default_factory=dict)
    stale: bool = True
    stirred: Mapping[Relation, int] = field(default_factory=dict)


class Arrivals:
    """Told of each load that is in: tells progress, and has the tables' indexes built."""

    def __init__(self, workshop: Workshop, builds: Builds, total: int) -> None:
        self._builds = builds
        self._told = workshop.counter(total)

    def done(self, _: Load, copied: Iterable[CopiedTable]) -> None:
        """Take a load that is in. Raises what ended the builders, if anything did."""
        copied = tuple(copied)
        self._builds.arrived([one.table for one in copied])
        for one in copied:
            self._told(one.table.label, one.bytes)


def in_order(tables: Sequence[Relation], copied: Iterable[CopiedTable]) -> tuple[CopiedTable, ...]:
    """Return the copied tables in the plan's order."""
    by_table = {one.table: one for one in copied}
    return tuple(by_table[table] for table in tables)


def pages_of(source: Source, table: Relation, scans: int = 1) -> int:
    """Return about how many pages of the primary so many readings of a table touched."""
    return source.inventory.relations[table.oid].pages * scans
