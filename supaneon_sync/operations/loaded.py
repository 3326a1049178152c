"""What both ways of making the mirror equal end in, and what they share of moving rows."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from supaneon_sync.operations.source import Source
from supaneon_sync.operations.workshop import Workshop
from supaneon_sync.policy.facts import Relation
from supaneon_sync.policy.moved import Moved
from supaneon_sync.policy.plan import Plan
from supaneon_sync.policy.roots import Analysed
from supaneon_sync.postgres import copying
from supaneon_sync.postgres.archive import Archive
from supaneon_sync.postgres.building import Builds
from supaneon_sync.postgres.copying import CopiedTable, Load, Rows
from supaneon_sync.postgres.crew import Sessions
from supaneon_sync.postgres.large_objects import LargeObject
from supaneon_sync.postgres.resting import Rest
from supaneon_sync.postgres.sending import Reader


@dataclass(frozen=True)
class Loaded:
    """The mirror with the snapshot's rows in it, before what comes after rows.

    ``plan`` is limited to what is still to be made. ``settled`` tables were proved equal and are locked
    since; ``touched`` ones are to be vacuumed, and of the others so many rows were ``stirred`` since they
    were; roots in ``lasting``, by label, are not to be analysed again. ``schema`` is the mirror's archive
    where nothing of it was changed. ``locale_note`` says where the copy sorts text otherwise; ``notes`` are
    for the summary. ``stale``: what is derived from rows may be. ``carried``: some fingerprints were carried
    over from the last proof along the primary's history; ``rests``: what the mirror has to hold still of
    tables that were proved then.
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
    lasting: Mapping[str, Analysed] = field(default_factory=dict)

    @property
    def untouched(self) -> bool:
        """Whether no row of the mirror is moved, vacuumed or analysed."""
        return not (self.stale or self.touched or len(self.lasting) < len(self.plan.roots))


class Arrivals:
    """Takes loads in, has the tables' indexes built as soon as their rows are there, and tells progress.

    The primary may still be adding up a table's fingerprint then: of a large one that takes as long as
    sending it. Rows that have arrived stay; where a session is lost after that, nothing is copied again.
    """

    def __init__(self, workshop: Workshop, builds: Builds, total: int) -> None:
        self._builds = builds
        self._told = workshop.counter(total)
        self._rows: dict[Load, Rows] = {}
        self._building = threading.Lock()

    def transfer(self, sessions: Sessions, load: Load, reader: Reader) -> tuple[CopiedTable, ...]:
        """Copy a load. Raises what `copying.transfer` does, and what ended the builders, if anything did."""
        source, target = sessions
        if load in self._rows:
            return copying.prove_arrived(source, load, self._rows[load], reader)

        def arrived(rows: Rows) -> None:
            self._rows[load] = rows
            self.build(load)

        return copying.transfer(source, target, load, reader, arrived)

    def again(self, sessions: Sessions, load: Load) -> None:
        """Take away what a broken attempt has left of a load, unless all of it has arrived."""
        if load not in self._rows:
            copying.forget(sessions[1], load)

    def build(self, tables: Sequence[Relation]) -> None:
        """Have the indexes of tables built whose rows are in. Raises what ended the builders."""
        with self._building:
            self._builds.arrived(tables)

    def done(self, copied: Iterable[CopiedTable]) -> None:
        """Tell that tables are done with."""
        for one in copied:
            self._told(one.table.label, one.bytes)


def in_order(tables: Sequence[Relation], copied: Iterable[CopiedTable]) -> tuple[CopiedTable, ...]:
    """Return the copied tables in the plan's order."""
    by_table = {one.table: one for one in copied}
    return tuple(by_table[table] for table in tables)


def pages_of(source: Source, table: Relation, scans: int = 1) -> int:
    """Return about how many pages of the primary so many readings of a table touched."""
    return source.inventory.relations[table.oid].pages * scans
