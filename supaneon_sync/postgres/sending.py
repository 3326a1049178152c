"""The primary's side of a copy: rows sent through a pipe, and their fingerprints.

It runs in a thread of its own, in the transaction in which the tables are locked: it sends one table while
the mirror takes in the one before, and computes fingerprints while the mirror commits and builds indexes.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from queue import Empty, Queue
from typing import BinaryIO

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
)
from supaneon_sync.postgres.pace import Pace
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.snapshot import Snapshot

_PIPE = 1024 * 1024
CHUNK = 256 * 1024
LARGE = 1024 * 1024
"""Bytes from which on a table is loaded frozen, which costs a TRUNCATE and saves its first vacuum."""
_LIMITS = ("memory alloc", "enlarge string buffer", "string buffer exceeds")
_TOO_LARGE = (
    "A row of this table is larger than PostgreSQL can send in one piece: 1 GiB, and as text a bytea"
    " counts twice. Split the value, or keep it outside the database."
)
_AHEAD = 2
"""How many tables the primary may be ahead of the mirror."""


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


class Proofs:
    """The primary's fingerprints of some tables, and those without generated columns where there are such."""

    def __init__(self, tables: Sequence[Relation], reader: Reader) -> None:
        known = {table: reader.known[table] for table in tables if table in reader.known}
        self.whole = {table: whole for table, (whole, _) in known.items()}
        self.written = {table: bare for table, (_, bare) in known.items() if bare is not None}
        self._tables = tables
        self._seed = reader.seed

    def complete(self, source: Session) -> None:
        """Take those that are not known yet, in a transaction that has the tables locked in the snapshot."""
        wanted = [(table, method_for(table)) for table in self._tables if table not in self.whole]
        bare = [(table, as_written(table)) for table, _ in wanted if generated_columns(table)]
        asked = [*wanted, *((one, method_for(one)) for _, one in bare)]
        try:
            found = fingerprints(source, asked, self._seed)
        except SupaneonError as error:  # a row that can be sent may still be too large for this
            raise (naming(self._tables[0], error) if len(self._tables) == 1 else error) from None
        self.whole.update(zip((table for table, _ in wanted), found, strict=False))
        self.written.update(zip((table for table, _ in bare), found[len(wanted) :], strict=True))


def in_binary(table: Relation) -> bool:
    """Say whether the rows travel in binary: not where the lines of the stream are digested."""
    return method_for(table) is Method.BINARY


class Inlet:
    """What a COPY on the mirror reads: counted, at the pace that is allowed.

    The end of the stream is only an end if the source ended well: ``arrived`` says that it has ended, and
    ``failure`` how if not well.
    """

    def __init__(self, stream: BinaryIO, reader: Reader) -> None:
        self.stream = stream
        self.arrived = threading.Event()
        self.failure: BaseException | None = None
        self.volume = 0
        self._reader = reader

    def readline(self, size: int = -1) -> bytes:
        """Return a line; the driver asks for this method and never calls it."""
        return self.stream.readline(size)

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes (called by the driver); an error here makes the server drop the rows."""
        chunk = self.stream.read(size)
        if chunk:
            self.volume += len(chunk)
            self._reader.pace.spend(len(chunk))
            self._reader.moved(len(chunk))
            return chunk
        self.arrived.wait()
        if self.failure is not None:
            raise self.failure
        return b""


class Parcel(Inlet):
    """One table's rows on their way; ``frozen``: they are to be loaded so."""

    def __init__(self, table: Relation, stream: BinaryIO, reader: Reader, *, frozen: bool) -> None:
        super().__init__(stream, reader)
        self.table = table
        self.frozen = frozen


class Sender(threading.Thread):
    """The primary's side: sends one table after the other, then computes their fingerprints."""

    def __init__(
        self, source: Session, tables: Sequence[Relation], sizes: dict[Relation, int], reader: Reader
    ) -> None:
        super().__init__(name="copy out", daemon=True)
        self._source = source
        self._tables = tables
        self._sizes = sizes
        self._reader = reader
        self._parcels: Queue[Parcel | BaseException | None] = Queue(_AHEAD)
        self._given_up = threading.Event()
        self._failure: BaseException | None = None
        self._proofs = Proofs(tables, reader)

    def next(self) -> Parcel | None:
        """Return the next table's parcel, None after the last. Raises what went wrong with sending it."""
        parcel = self._parcels.get()
        if isinstance(parcel, BaseException):
            raise parcel
        return parcel

    def proofs(self) -> Proofs:
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
                    if isinstance(parcel, Parcel):
                        parcel.stream.close()
            self._source.cancel()
            self.join(0.05)

    def run(self) -> None:
        """Send everything, then take the fingerprints, for which the mirror's side does not wait."""
        try:
            self._send_all()
            if not self._given_up.is_set():
                self._proofs.complete(self._source)
        except BaseException as error:  # noqa: BLE001 -- handed to the thread that waits
            self._failure = error

    def _send_all(self) -> None:
        ending: BaseException | None = None
        try:
            for table in self._tables:
                if self._given_up.is_set():
                    return
                self._send(table)
        except BaseException as error:
            ending = error
            raise
        finally:
            self._parcels.put(ending)

    def _send(self, table: Relation) -> None:
        """Send one table through a pipe, which holds all of a small one: so this side runs ahead."""
        unread = method_for(table) is Method.STREAM and table not in self._proofs.whole
        digest = StreamDigest(self._reader.seed) if unread else None
        read_end, write_end = os.pipe()
        _widen(write_end)
        stream = os.fdopen(read_end, "rb", buffering=CHUNK)
        parcel = Parcel(table, stream, self._reader, frozen=self._sizes[table] > LARGE)
        self._parcels.put(parcel)
        try:
            with os.fdopen(write_end, "wb", buffering=CHUNK) as pipe:
                sink = pipe if digest is None else _Tee(digest, pipe)
                self._source.copy_out(copy_out(table, binary=in_binary(table)), sink)
        except BrokenPipeError:
            self._source.close()
            raise
        except SupaneonError as error:
            parcel.failure = naming(table, error)
            raise parcel.failure from None
        except BaseException as error:
            parcel.failure = error
            raise
        finally:
            parcel.arrived.set()
        if digest is not None:
            self._proofs.whole[table] = digest.fingerprint()


class _Tee:
    """Digests what the driver writes, and passes it on."""

    def __init__(self, digest: StreamDigest, sink: BinaryIO) -> None:
        self._digest = digest
        self._sink = sink

    def write(self, chunk: bytes) -> int:
        """Take the next bytes (called by the driver)."""
        self._digest.write(chunk)
        return self._sink.write(chunk)


def naming(table: Relation, error: SupaneonError) -> SupaneonError:
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
