"""The primary's fingerprints of small tables, taken while the mirror is made ready for rows.

In that time the primary would have nothing to do. What is taken is of the same snapshot as the rows, of
tables locked and proved unchanged then as they are when the rows are read; large tables are left, since
they would be read from the primary's disk twice.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from supaneon_sync.errors import SupaneonError
from supaneon_sync.operations.workshop import Workshop
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres.copying import SMALL, Load, loads
from supaneon_sync.postgres.fingerprint import (
    Fingerprint,
    Method,
    fingerprints,
    generated_columns,
    method_for,
)
from supaneon_sync.postgres.sending import Reader
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.snapshot import reading

_LOCK_WAIT = timedelta(seconds=1)


@contextmanager
def fingerprinting(workshop: Workshop, tables: Sequence[Relation], reader: Reader) -> Iterator[Reader]:
    """Take fingerprints until the block is left; gives a reader that learns of them.

    Whatever stands in the way ends this and nothing else: what is not taken here is taken with the rows,
    where every error is told.
    """
    small = [table for table in tables if table.pages <= SMALL and _is_plain(table)]
    worker = _Ahead(workshop, loads(small), reader)
    worker.start()
    try:
        yield replace(reader, known=worker.known)
    finally:
        worker.enough.set()
        worker.join()


def _is_plain(table: Relation) -> bool:
    """Say whether one query gives all that is wanted of the table."""
    return method_for(table) is not Method.STREAM and not generated_columns(table)


class _Ahead(threading.Thread):
    def __init__(self, workshop: Workshop, todo: Sequence[Load], reader: Reader) -> None:
        super().__init__(name="fingerprints ahead", daemon=True)
        self.known: dict[Relation, tuple[Fingerprint, Fingerprint | None]] = {}
        self.enough = threading.Event()
        self._workshop = workshop
        self._todo = todo
        self._reader = reader

    def run(self) -> None:
        """Take one load's fingerprints after the other, until it is enough."""
        if not self._todo:
            return
        try:
            with self._workshop.on_primary("rows") as source, self._workshop.run.stop.calling(source.cancel):
                for load in self._todo:
                    if self.enough.is_set():
                        return
                    self._take(source, load)
        except SupaneonError:
            return

    def _take(self, source: Session, load: Load) -> None:
        with reading(source, self._reader.snapshot, load, _LOCK_WAIT) as sizes:
            wanted = [(table, method_for(table)) for table in load if sizes[table]]
            found = fingerprints(source, wanted, self._reader.seed)
        self.known.update((table, (taken, None)) for (table, _), taken in zip(wanted, found, strict=True))
