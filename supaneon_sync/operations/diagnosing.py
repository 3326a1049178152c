"""How many rows differ where a fingerprint did not agree, counted row by row.

This is diagnosis and nothing else: what did not agree stays so, whatever the diagnosis meets. It takes a
bounded time and looks at a bounded number of tables.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

from supaneon_sync.errors import SupaneonError
from supaneon_sync.operations.drill_areas import Ground
from supaneon_sync.operations.workshop import Workshop
from supaneon_sync.policy.divergence import rows_differ
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres import divergence
from supaneon_sync.postgres.copying import CopiedTable
from supaneon_sync.postgres.divergence import Rows, TableChange
from supaneon_sync.postgres.fingerprint import Fingerprint, Method, Seed, as_written, fingerprint
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.snapshot import export, joined, reading
from supaneon_sync.report.manifest import canonical
from supaneon_sync.run import Run

LIMIT = timedelta(minutes=2)
"""How long all the counting may take."""
TABLES = 20
"""In how many tables rows are counted."""
_LOCK_WAIT = timedelta(seconds=5)
_NAMED = 10
_MOMENT = "ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_OF_THE_COPY = {"added": "extra", "changed": "changed", "removed": "missing"}


class _NoReference(Exception):
    """There is nothing to compare the copy with."""


@dataclass(frozen=True)
class Counted:
    """What the counting gave: words for each table, and a sentence where there was no counting at all."""

    words: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    def of(self, label: str) -> str:
        """Return what to add to a sentence about this table."""
        return f" ({self.words[label]})" if label in self.words else ""


@dataclass(frozen=True)
class _Comparison:
    """What the copy is compared with, and how.

    ``seed`` is that of the recorded fingerprints. ``held`` opens the transaction in which one table of the
    reference is read. ``live``: the reference is the primary, which goes on changing, and whose stored
    generated columns are its own affair; else one that is not as recorded is none.
    """

    run: Run
    reference: Rows
    copy: Rows
    seed: Seed
    held: Callable[[Relation], AbstractContextManager[object]]
    live: bool
    naming: bool

    def words(self, label: str, recorded: Fingerprint) -> str:
        """Count the rows of one table that differ, and say so."""
        table = self.reference.tables.get(label)
        if table is None:
            return "rows not counted: the table is no longer there to compare with"
        with self.held(table), self.copy.session.transaction(_MOMENT):
            same = self._is_as_recorded(table, recorded)
            if not same and not self.live:
                return "rows not counted: on the mirror they are not as recorded either"
            change, named = self._compare(label)
        told = [_in_words(change), *named]
        if not same:
            told.append("this includes what has changed on the primary since the backup's snapshot")
        return "; ".join(told)

    def _is_as_recorded(self, table: Relation, recorded: Fingerprint) -> bool:
        if recorded.method is not Method.STREAM and not table.trusted:
            return False  # by now no query over it may be planned
        return fingerprint(self.reference.session, table, self.seed, recorded.method) == recorded

    def _compare(self, label: str) -> tuple[TableChange, list[str]]:
        named: list[str] = []

        def told(what: str, key: str) -> None:
            if self.naming and len(named) < _NAMED:
                named.append(f"{_OF_THE_COPY[what]}: {key}")

        sides = (self.reference, self.copy)
        before, after = map(_without_generated, sides) if self.live else sides
        seed = Seed.from_bytes(self.run.token(16))
        return divergence.compare(before, after, label, seed, told), named


def _in_words(change: TableChange) -> str:
    if change.counts is None:
        return "rows not counted: too many of them differ"
    words = rows_differ(change.counts)
    if change.how == "rows":
        words += "; without a primary key a changed row counts as missing and as extra"
    return f"{words}; {change.note}" if change.note else words


def _without_generated(rows: Rows) -> Rows:
    return replace(rows, tables={label: as_written(table) for label, table in rows.tables.items()})


def against_the_primary(workshop: Workshop, seed: Seed, differing: Sequence[CopiedTable]) -> Counted:
    """Count the rows in which the mirror differs from the primary as it is now. Never raises.

    The snapshot that the fingerprints were taken in, with ``seed``, is closed by now.
    """

    def begin(stack: ExitStack) -> _Comparison:
        holder, reader = (stack.enter_context(workshop.on_primary("diagnosis")) for _ in range(2))
        copy = stack.enter_context(workshop.on_mirror("diagnosis"))
        stack.enter_context(_limited(workshop.run, holder, reader, copy))
        snapshot, wait = export(holder), min(workshop.settings.lock_wait, _LOCK_WAIT)
        return _Comparison(
            workshop.run,
            reference=replace(divergence.rows(holder), session=reader),
            copy=_rows(copy),
            seed=seed,
            held=lambda table: reading(reader, snapshot, [table], wait),
            live=True,
            naming=workshop.settings.show_row_values,
        )

    return _count(workshop.run, {one.table.label: one.source for one in differing}, begin)


def against_the_mirror(ground: Ground, differing: Mapping[str, Fingerprint]) -> Counted:
    """Count the rows in which a drill's branch differs from the mirror, while that holds the same backup.

    ``differing`` are the recorded fingerprints by the tables' labels. Never raises.
    """
    standby = ground.standby

    def begin(stack: ExitStack) -> _Comparison:
        mirror = standby.mirror()
        if mirror is None:
            raise _NoReference("there is no mirror to compare them with")
        door = standby.doors(mirror).direct
        holder, reader = (stack.enter_context(standby.connect(door, "diagnosis")) for _ in range(2))
        copy = stack.enter_context(ground.connect())
        stack.enter_context(_limited(standby.run, holder, reader, copy))
        snapshot = export(holder)
        with standby.house(door, "diagnosis") as house:  # whose manifest goes before anything is changed
            stored = house.manifest()
        if stored is None or stored[1] != canonical(ground.manifest):
            raise _NoReference("the mirror has moved on, so there is nothing to compare them with any more")
        return _Comparison(
            standby.run,
            reference=replace(divergence.rows(holder), session=reader),
            copy=_rows(copy),
            seed=Seed(*ground.manifest["seed"]),
            held=lambda _: joined(reader, snapshot),
            live=False,
            naming=standby.settings.show_row_values,
        )

    return _count(standby.run, differing, begin)


def _rows(session: Session) -> Rows:
    with session.transaction(_MOMENT):
        return divergence.rows(session)


def _count(
    run: Run, differing: Mapping[str, Fingerprint], begin: Callable[[ExitStack], _Comparison]
) -> Counted:
    if not differing:
        return Counted()
    counting = list(differing)[:TABLES]
    run.progress.step(f"Count the rows that differ ({len(counting)} tables)")
    words: dict[str, str] = {}
    deadline = run.monotonic() + LIMIT.total_seconds()
    try:
        with ExitStack() as stack:
            comparison = begin(stack)
            for label in counting:
                run.stop.check()
                try:
                    words[label] = comparison.words(label, differing[label])
                except SupaneonError as error:
                    if run.monotonic() >= deadline:
                        break
                    words[label] = f"rows not counted: {error.message.rstrip('.')}"
    except Exception as error:  # noqa: BLE001 whatever else goes wrong, what differs must be told
        return Counted(words, f"Rows that differ were not counted: {_why(error)}")
    late = dict.fromkeys(counting, f"rows not counted within {LIMIT.total_seconds():.0f} s")
    beyond = dict.fromkeys(differing, f"rows not counted: that is done for {TABLES} tables at most")
    return Counted(beyond | late | words)


def _why(error: Exception) -> str:
    if isinstance(error, SupaneonError):
        return error.message.rstrip(".")
    return str(error) if isinstance(error, _NoReference) else f"{type(error).__name__} was not foreseen"


@contextmanager
def _limited(run: Run, *sessions: Session) -> Iterator[None]:
    """Have the servers end what these sessions do once the time is over, or a stop is asked for."""
    over = threading.Event()

    def cancel() -> None:
        for session in sessions:
            session.cancel()

    def watch() -> None:
        if not over.wait(LIMIT.total_seconds()):
            cancel()
            while not over.wait(0.5):  # a server may have missed it
                cancel()

    watcher = threading.Thread(target=watch, name="diagnosis", daemon=True)
    watcher.start()
    try:
        with run.stop.calling(cancel):
            yield
    finally:
        over.set()
        watcher.join()
