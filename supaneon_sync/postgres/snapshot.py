"""One exported snapshot of the primary, held open while several sessions read it.

Three things escape a snapshot: TRUNCATE and table rewrites (other readers of the same snapshot then
see no rows), columns that were dropped and made again, and sequences. `reading` takes a table's lock
and then asks what it is *now*; sequences are read once, apart.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg2 import sql

from supaneon_sync.errors import PrimaryError, SnapshotLost, SupaneonError
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres.session import Session

_BEGIN = "ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_EXPORT = """
SELECT pg_export_snapshot(), statement_timestamp(),
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text
"""

# Functions look the catalogs up as they are now, plain SELECTs as the snapshot saw them. The settings are
# asked for in the transaction that will read: behind a transaction pooler it may be another backend's.
_STILL = """
SELECT coalesce(pg_relation_filenode(%(oid)s::oid), 0) = %(file)s
   AND coalesce(bool_and(
         (pg_identify_object_as_address('pg_class'::regclass, %(oid)s::oid, a.number)).object_names
         = ARRAY[%(schema)s, %(name)s, a.name]), true)
   AND (pg_identify_object_as_address('pg_class'::regclass, %(oid)s::oid, 0)).object_names
       = ARRAY[%(schema)s, %(name)s],
       current_setting('search_path') = 'pg_catalog' AND current_setting('row_security') = 'off'
   AND current_setting('extra_float_digits') = '3' AND current_setting('transaction_read_only') = 'on'
FROM unnest(%(numbers)s::int[], %(names)s::text[]) AS a (number, name)
"""


@dataclass(frozen=True)
class Snapshot:
    """The exported snapshot: its name, the moment it shows, and the primary's LSN then."""

    name: str
    time: datetime
    lsn: str


def export(holder: Session) -> Snapshot:
    """Open a transaction in ``holder`` and export its snapshot; it lives as long as the transaction."""
    holder.execute(f"BEGIN {_BEGIN}")
    name, time, lsn = holder.one(_EXPORT)
    return Snapshot(name, time, lsn)


@contextmanager
def joined(session: Session, snapshot: Snapshot) -> Iterator[None]:
    """Run the block in a transaction that sees the snapshot."""
    with session.transaction(_BEGIN):
        try:
            session.execute("SET TRANSACTION SNAPSHOT %s", (snapshot.name,))
        except PrimaryError as error:
            lost = SnapshotLost(f"The primary's snapshot is gone: {error.message}")
            raise lost.with_evidence(error.evidence) from None
        yield


@contextmanager
def reading(session: Session, snapshot: Snapshot, table: Relation, lock_wait: timedelta) -> Iterator[None]:
    """Run the block in the snapshot with ``table`` locked against change, and proved unchanged.

    The lock is released at the block's end. Raises SnapshotLost when the table was truncated,
    rewritten, replaced, renamed or dropped since the snapshot, PrimaryError when it stays locked.
    """
    with joined(session, snapshot):
        _lock(session, table, lock_wait)
        still, pinned = session.one(
            _STILL,
            {
                "oid": table.oid,
                "file": table.file,
                "schema": table.schema,
                "name": table.name,
                "numbers": [column.number for column in table.columns],
                "names": [column.name for column in table.columns],
            },
        )
        if not pinned:
            raise PrimaryError(
                "The primary forgets settings between transactions, as a transaction pooler does.",
                remedy="Use the direct connection or the session pooler (port 5432).",
            )
        if not still:
            raise SnapshotLost(
                f"{table.label} was truncated, rewritten or altered on the primary after the snapshot."
            )
        yield


def _lock(session: Session, table: Relation, lock_wait: timedelta) -> None:
    milliseconds = max(1, int(lock_wait.total_seconds() * 1000))
    try:
        session.execute(
            sql.SQL("SET LOCAL lock_timeout = {}; LOCK TABLE ONLY {} IN ACCESS SHARE MODE").format(
                sql.Literal(milliseconds), sql.Identifier(table.schema, table.name)
            )
        )
    except PrimaryError as error:
        code = error.evidence.get("sqlstate")
        if code == "55P03":
            raise PrimaryError(
                f"{table.label} on the primary stayed locked for {lock_wait}; a migration holds it.",
                remedy="Run it again when that is over, or raise --lock-wait.",
                **error.evidence,
            ) from None
        if code in ("42P01", "3F000", "42809"):
            lost = SnapshotLost(f"{table.label} was dropped or replaced on the primary.")
            raise lost.with_evidence(error.evidence) from None
        raise


class Keeper:
    """Keeps idle sessions alive by asking them something now and then; remembers the first loss.

    Neon suspends idle computes, and platforms end idle transactions.
    """

    def __init__(self, interval: timedelta = timedelta(seconds=20)) -> None:
        self._sessions: list[Session] = []
        self._interval = interval.total_seconds()
        self._done = threading.Event()
        self._failure: SupaneonError | None = None
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def add(self, session: Session) -> None:
        """Keep this session alive too."""
        self._sessions.append(session)

    def drop(self, session: Session) -> None:
        """Leave this session alone from now on."""
        if session in self._sessions:
            self._sessions.remove(session)

    def check(self) -> None:
        """Raise the error of the first session that was lost, if any was."""
        if self._failure is not None:
            raise self._failure

    def _keep(self) -> None:
        while not self._done.wait(self._interval):
            for session in list(self._sessions):
                try:
                    session.ping()
                except SupaneonError as error:
                    if session in self._sessions:
                        self._failure = self._failure or error
                        return

    def __enter__(self) -> Keeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(timeout=5)
