"""Rows from the primary to the mirror: streamed, never on disk, several tables at a time.

One worker is a session on each side. It takes a load of small tables, or one large one: locks them, has
it proved that they are what the snapshot shows, streams COPY into COPY, and takes the primary's
fingerprints in the same transaction, so that what is proved is what was read. While the mirror takes in
one table, the primary already sends the next and then computes its fingerprints.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from queue import Empty, Queue
from typing import BinaryIO

from psycopg2 import sql

from supaneon_sync.errors import SupaneonError
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres.failures import lost
from supaneon_sync.postgres.fingerprint import (
    Fingerprint,
    Method,
    Seed,
    StreamDigest,
    as_written,
    copy_out,
    fingerprints,
    generated_columns,
    method_for,
    written_columns,
)
from supaneon_sync.postgres.pace import Pace
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.snapshot import Snapshot, reading

_PIPE = 1024 * 1024
_CHUNK = 256 * 1024
_LARGE = 1024 * 1024
"""Bytes from which on a table is loaded frozen, which costs a TRUNCATE and saves its first vacuum."""
SMALL, _LOAD_TABLES = 512, 32
"""Pages of 8 KiB, and tables, that one load may hold: small enough that no lock is held for long."""
_LIMITS = ("memory alloc", "enlarge string buffer", "string buffer exceeds")
_TOO_LARGE = (
    "A row of this table is larger than PostgreSQL can send in one piece: 1 GiB, and as text a bytea"
    " counts twice. Split the value, or keep it outside the database."
)
_AHEAD = 2
"""How many tables the primary may be ahead of the mirror."""

Load = tuple[Relation, ...]
"""Tables that travel together, in one transaction on each side."""


@dataclass(frozen=True)
class CopiedTable:
    """One table's journey: the primary's fingerprint, bytes that crossed, seconds taken.

    ``written`` is the fingerprint without stored generated columns, where there are such: each side
    computes those by itself, and what the primary stored may be older than their expressions.
    """

    table: Relation
    source: Fingerprint
    bytes: int
    seconds: float
    written: Fingerprint | None = None


@dataclass(frozen=True)
class Reader:
    """How a worker reads the primary: at what pace, and whom it tells of bytes that crossed.

    ``known`` are fingerprints that were taken in this snapshot already, each with the one without
    generated columns where there are such; they are not taken again.
    """

    snapshot: Snapshot
    seed: Seed
    lock_wait: timedelta
    pace: Pace = field(default_factory=Pace)
    moved: Callable[[int], None] = lambda _: None
    known: Mapping[Relation, tuple[Fingerprint, Fingerprint | None]] = field(default_factory=dict)


def loads(tables: Sequence[Relation]) -> list[Load]:
    """Return the tables in loads, the largest first: a large one by itself, small ones together."""
    found: list[Load] = []
    load: list[Relation] = []
    pages = 0
    for table in sorted(tables, key=lambda one: -one.pages):
        size = max(table.pages, 1)
        if load and (pages + size > SMALL or len(load) == _LOAD_TABLES):
            found.append(tuple(load))
            load, pages = [], 0
        load.append(table)
        pages += size
    return [*found, tuple(load)] if load else found


def transfer(source: Session, target: Session, load: Load, reader: Reader) -> tuple[CopiedTable, ...]:
    """Copy the tables' own rows, in one transaction on each side.

    Raises SnapshotLost, PrimaryError, NeonError or QuotaError.
    """
    with reading(source, reader.snapshot, load, reader.lock_wait) as sizes:
        sender = _Sender(source, [table for table in load if sizes[table]], sizes, reader)
        sender.start()
        try:
            with target.finishing():
                target.execute(_beginning(table for table in load if sizes[table] > _LARGE))
                taken = _take_in(target, sender, reader)
        except BaseException:
            sender.give_up()
            raise
        proofs = sender.proofs()
    nothing = (0, 0.0)
    return tuple(
        CopiedTable(
            table,
            proofs.get(table) or Fingerprint(0, "0" * 32, method_for(table)),
            *taken.get(table, nothing),
            sender.written.get(table),
        )
        for table in load
    )


def forget(target: Session, load: Load) -> None:
    """Take away whatever a broken attempt may have left of these tables."""
    target.execute(sql.SQL("TRUNCATE {}").format(_only(load)))


def _only(tables: Iterable[Relation]) -> sql.Composable:
    return sql.SQL(", ").join(sql.SQL("ONLY ") + sql.Identifier(one.schema, one.name) for one in tables)


def _beginning(large: Iterable[Relation]) -> sql.Composable:
    tables = list(large)
    return sql.SQL("BEGIN; TRUNCATE {}").format(_only(tables)) if tables else sql.SQL("BEGIN")


def _in_binary(table: Relation) -> bool:
    """Say whether the rows travel in binary: not where the lines of the stream are digested."""
    return method_for(table) is Method.BINARY


def _copy_in(table: Relation, *, frozen: bool) -> sql.Composable:
    words = [word for word, wanted in (("FORMAT binary", _in_binary(table)), ("FREEZE", frozen)) if wanted]
    ending = sql.SQL(f" ({', '.join(words)})" if words else "")
    name = sql.Identifier(table.schema, table.name)
    return sql.SQL("COPY {}{} FROM STDIN{}").format(name, written_columns(table), ending)


class _Parcel:
    """One table's rows on their way. The end of the stream is only an end if the source ended well."""

    def __init__(self, table: Relation, stream: BinaryIO, *, frozen: bool) -> None:
        self.table = table
        self.stream = stream
        self.frozen = frozen
        self.arrived = threading.Event()
        self.failure: BaseException | None = None


class _Sender(threading.Thread):
    """The primary's side: sends one table after the other, then computes their fingerprints."""

    def __init__(
        self, source: Session, tables: Sequence[Relation], sizes: dict[Relation, int], reader: Reader
    ) -> None:
        super().__init__(name="copy out", daemon=True)
        self._source = source
        self._tables = tables
        self._sizes = sizes
        self._reader = reader
        self._parcels: Queue[_Parcel | None] = Queue(_AHEAD)
        self._given_up = threading.Event()
        self._failure: BaseException | None = None
        known = {table: reader.known[table] for table in tables if table in reader.known}
        self._proofs = {table: whole for table, (whole, _) in known.items()}
        self.written = {table: bare for table, (_, bare) in known.items() if bare is not None}

    def next(self) -> _Parcel | None:
        """Return the next table's parcel, None after the last. Raises what went wrong on this side."""
        parcel = self._parcels.get()
        if parcel is None and self._failure is not None:
            raise self._failure
        return parcel

    def proofs(self) -> dict[Relation, Fingerprint]:
        """Return the fingerprints of the tables that were sent. Raises what went wrong on this side."""
        self.join()
        if self._failure is not None:
            raise self._failure
        return self._proofs

    def give_up(self) -> None:
        """End this side, whatever it is doing, and wait for that."""
        self._given_up.set()
        while self.is_alive():
            with suppress(Empty):
                while True:
                    parcel = self._parcels.get_nowait()
                    if parcel is not None:
                        parcel.stream.close()
            self._source.cancel()
            self.join(0.05)

    def run(self) -> None:
        """Send everything, then take the fingerprints."""
        try:
            for table in self._tables:
                if self._given_up.is_set():
                    return
                self._send(table)
            wanted = [(table, method_for(table)) for table in self._tables if table not in self._proofs]
            bare = [(table, as_written(table)) for table, _ in wanted if generated_columns(table)]
            asked = [*wanted, *((one, method_for(one)) for _, one in bare)]
            found = self._digested(asked)
            self._proofs.update(zip((table for table, _ in wanted), found, strict=False))
            self.written.update(zip((table for table, _ in bare), found[len(wanted) :], strict=True))
        except BaseException as error:  # noqa: BLE001 -- handed to the thread that waits
            self._failure = error
        finally:
            self._parcels.put(None)

    def _digested(self, asked: Sequence[tuple[Relation, Method]]) -> tuple[Fingerprint, ...]:
        """Take fingerprints; a row that can be sent may still be too large for this, in a table by itself."""
        try:
            return fingerprints(self._source, asked, self._reader.seed)
        except SupaneonError as error:
            raise (_naming(self._tables[0], error) if len(self._tables) == 1 else error) from None

    def _send(self, table: Relation) -> None:
        """Send one table through a pipe, which holds all of a small one: so this side runs ahead."""
        unread = method_for(table) is Method.STREAM and table not in self._proofs
        digest = StreamDigest(self._reader.seed) if unread else None
        read_end, write_end = os.pipe()
        _widen(write_end)
        large = self._sizes[table] > _LARGE
        parcel = _Parcel(table, os.fdopen(read_end, "rb", buffering=_CHUNK), frozen=large)
        self._parcels.put(parcel)
        try:
            with os.fdopen(write_end, "wb", buffering=_CHUNK) as pipe:
                sink = pipe if digest is None else _Tee(digest, pipe)
                self._source.copy_out(copy_out(table, binary=_in_binary(table)), sink)
        except BrokenPipeError:
            self._source.close()
            raise
        except SupaneonError as error:
            parcel.failure = _naming(table, error)
            raise parcel.failure from None
        except BaseException as error:
            parcel.failure = error
            raise
        finally:
            parcel.arrived.set()
        if digest is not None:
            self._proofs[table] = digest.fingerprint()


class _Tee:
    """Digests what the driver writes, and passes it on."""

    def __init__(self, digest: StreamDigest, sink: BinaryIO) -> None:
        self._digest = digest
        self._sink = sink

    def write(self, chunk: bytes) -> int:
        """Take the next bytes (called by the driver)."""
        self._digest.write(chunk)
        return self._sink.write(chunk)


class _Inlet:
    """What the mirror's COPY reads: counted, at the pace that is allowed."""

    def __init__(self, parcel: _Parcel, reader: Reader) -> None:
        self._parcel = parcel
        self._reader = reader
        self.volume = 0

    def readline(self, size: int = -1) -> bytes:
        """Return a line; the driver asks for this method and never calls it."""
        return self._parcel.stream.readline(size)

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes (called by the driver); an error here makes the server drop the rows."""
        chunk = self._parcel.stream.read(size)
        if chunk:
            self.volume += len(chunk)
            self._reader.pace.spend(len(chunk))
            self._reader.moved(len(chunk))
            return chunk
        self._parcel.arrived.wait()
        if self._parcel.failure is not None:
            raise self._parcel.failure
        return b""


def _take_in(target: Session, sender: _Sender, reader: Reader) -> dict[Relation, tuple[int, float]]:
    """Load every parcel; return bytes and seconds of each table."""
    taken: dict[Relation, tuple[int, float]] = {}
    while (parcel := sender.next()) is not None:
        began = time.monotonic()
        inlet = _Inlet(parcel, reader)
        try:
            with parcel.stream, target.errors(), target.connection.cursor() as cursor:
                cursor.copy_expert(_copy_in(parcel.table, frozen=parcel.frozen), inlet, size=_CHUNK)
        except SupaneonError as error:
            if parcel.failure is not None:
                raise parcel.failure from None
            raise _naming(parcel.table, error) from None
        taken[parcel.table] = (inlet.volume, time.monotonic() - began)
    return taken


def _naming(table: Relation, error: SupaneonError) -> SupaneonError:
    """Put the table's name before a server's refusal, and say which limit it was, if it was one."""
    if table.label in error.message or lost(error):
        return error
    limit = error.evidence.get("sqlstate") == "54000" or any(word in error.message for word in _LIMITS)
    remedy = _TOO_LARGE if limit else error.remedy
    return type(error)(f"{table.label}: {error.message}", remedy=remedy).with_evidence(error.evidence)


def _widen(pipe: int) -> None:
    """Make the pipe hold more than a page or two, where the system can."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
