"""Rows from the primary to the mirror: streamed, never on disk, several tables at a time.

One worker is a session on each side. For each table it takes the lock and the proof that the table is
what the snapshot shows, streams COPY into COPY, and takes the primary's fingerprint in the same
transaction, so that what is proved is what was read.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import BinaryIO

from psycopg2 import sql

from supaneon_sync.errors import SupaneonError
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres.fingerprint import (
    Fingerprint,
    Method,
    Seed,
    StreamDigest,
    copy_out,
    fingerprint,
    method_for,
    written_columns,
)
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.snapshot import Snapshot, reading

_PIPE = 1024 * 1024
_CHUNK = 256 * 1024
_BIG_PAGES = 128
"""From a mebibyte on, a table is loaded frozen, which costs a TRUNCATE and saves its first vacuum."""


@dataclass(frozen=True)
class CopiedTable:
    """One table's journey: the primary's fingerprint, bytes that crossed, seconds taken."""

    table: Relation
    source: Fingerprint
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Reader:
    """How a worker reads the primary."""

    snapshot: Snapshot
    seed: Seed
    lock_wait: timedelta


def transfer(source: Session, target: Session, table: Relation, reader: Reader) -> CopiedTable:
    """Copy one table's own rows. Raises SnapshotLost, PrimaryError, NeonError or QuotaError."""
    began = time.monotonic()
    digest = StreamDigest(reader.seed) if method_for(table) is Method.STREAM else None
    with reading(source, reader.snapshot, table, reader.lock_wait):
        with target.transaction():
            frozen = table.pages >= _BIG_PAGES
            if frozen:
                target.execute(sql.SQL("TRUNCATE ONLY {}").format(sql.Identifier(table.schema, table.name)))
            volume = _stream(source, target, table, frozen=frozen, digest=digest)
        proof = fingerprint(source, table, reader.seed) if digest is None else digest.fingerprint()
    return CopiedTable(table, proof, volume, time.monotonic() - began)


def _copy_in(table: Relation, *, frozen: bool) -> sql.Composable:
    name = sql.Identifier(table.schema, table.name)
    ending = sql.SQL(" (FREEZE)" if frozen else "")
    return sql.SQL("COPY {}{} FROM STDIN{}").format(name, written_columns(table), ending)


class _Pump(threading.Thread):
    """Reads the source's COPY into a pipe, counts the bytes, and remembers how it ended."""

    def __init__(self, source: Session, table: Relation, pipe: BinaryIO, digest: StreamDigest | None) -> None:
        super().__init__(name="copy out", daemon=True)
        self._source = source
        self._statement = copy_out(table)
        self._pipe = pipe
        self._digest = digest
        self.volume = 0
        self.failure: BaseException | None = None

    def write(self, chunk: bytes) -> int:
        """Take what the source sends (called by the driver)."""
        self.volume += len(chunk)
        if self._digest is not None:
            self._digest.write(chunk)
        return self._pipe.write(chunk)

    def run(self) -> None:
        """Read to the end. A reader that went away ends the source's session, which cannot go on."""
        try:
            with self._pipe:
                self._source.copy_out(self._statement, self)
        except BrokenPipeError:
            self._source.close()
        except Exception as error:  # noqa: BLE001 -- handed to the thread that waits
            self.failure = error


class _Inlet:
    """What the target's COPY reads: the pipe, whose end is only an end if the source ended well."""

    def __init__(self, pipe: BinaryIO, pump: _Pump) -> None:
        self._pipe = pipe
        self._pump = pump

    def readline(self, size: int = -1) -> bytes:
        """Return a line; the driver asks for this method and never calls it."""
        return self._pipe.readline(size)

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes (called by the driver); an error here makes the server drop the rows."""
        chunk = self._pipe.read(size)
        if not chunk:
            self._pump.join()
            if self._pump.failure is not None:
                raise self._pump.failure
        return chunk


def _stream(
    source: Session, target: Session, table: Relation, *, frozen: bool, digest: StreamDigest | None
) -> int:
    read_end, write_end = os.pipe()
    _widen(write_end)
    pump = _Pump(source, table, os.fdopen(write_end, "wb", buffering=_CHUNK), digest)
    pump.start()
    try:
        with (
            os.fdopen(read_end, "rb", buffering=_CHUNK) as pipe,
            target.errors(),
            target.connection.cursor() as cursor,
        ):
            cursor.copy_expert(_copy_in(table, frozen=frozen), _Inlet(pipe, pump), size=_CHUNK)
    except SupaneonError:
        pump.join()
        if pump.failure is not None:
            raise pump.failure from None
        raise
    pump.join()
    return pump.volume


def _widen(pipe: int) -> None:
    """Make the pipe hold more than a page or two, where the system can."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
