"""One exported snapshot of the primary, held open while several sessions read it.

Three things escape a snapshot: TRUNCATE and table rewrites (other readers of the same snapshot then
see no rows), columns that were dropped and made again, and sequences. `reading` takes a table's lock
and then asks what it is *now*; sequences are read once, apart.

Every transaction that reads is asked first whether it has what the session has set: behind a
transaction pooler it may run in another backend, which renders and hides rows as it likes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg2 import sql

from supaneon_sync.errors import NeonError, PrimaryError, SnapshotLost, SupaneonError
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres.failures import Side, lost
from supaneon_sync.postgres.session import Session

_BEGIN = "ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_PINNED = """
(current_setting('search_path') = 'pg_catalog' AND current_setting('row_security') = 'off'
 AND current_setting('extra_float_digits') = '3' AND current_setting('transaction_read_only') = 'on')
"""
_EXPORT = f"""
SELECT {_PINNED}, pg_export_snapshot(),
       CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_xact_replay_timestamp(), statement_timestamp())
            ELSE statement_timestamp() END,
       (SELECT reset_val FROM pg_settings WHERE name = 'TimeZone'),
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text
"""
_JOIN = f"SET TRANSACTION SNAPSHOT %s; SELECT {_PINNED}"

# Functions look the catalogs up as they are now, plain SELECTs as the snapshot saw them.
_STILL = """
SELECT {position}, coalesce(pg_relation_filenode({oid}::oid), 0) = {file}
   AND coalesce(bool_and(
         (pg_identify_object_as_address('pg_class'::regclass, {oid}::oid, a.number)).object_names
         = ARRAY[{schema}, {name}, a.name]), true)
   AND (pg_identify_object_as_address('pg_class'::regclass, {oid}::oid, 0)).object_names
       = ARRAY[{schema}, {name}],
       coalesce(pg_table_size({oid}::oid), 0),
       coalesce(pg_relation_size({oid}::oid), 0)
FROM unnest({numbers}::int[], {names}::text[]) AS a (number, name)
"""
_WORTH_A_LOOK = ("55P03", "42P01", "3F000", "42809", "22023", "42704", "XX000")
"""Locked, gone, replaced, or the snapshot itself: asked step by step, it is known which."""
_FIRST_TRY = timedelta(seconds=2)
"""How long several tables' locks are waited for at once, before each is waited for by itself."""


@dataclass(frozen=True)
class Snapshot:
    """The exported snapshot: its name, the moment it shows, and the primary's LSN then.

    ``time_zone`` is the one in which the primary shows times to who sets none, as pg_dump.
    """

    name: str
    time: datetime
    lsn: str
    time_zone: str


def export(holder: Session) -> Snapshot:
    """Open a transaction in ``holder`` and export its snapshot; it lives as long as the transaction.

    Raises PrimaryError where the transaction has lost the session's settings.
    """
    pinned, name, time, time_zone, lsn = holder.one(f"BEGIN {_BEGIN}; {_EXPORT}")
    _demand_settings(pinned)
    return Snapshot(name, time, lsn, time_zone)


@contextmanager
def joined(session: Session, snapshot: Snapshot) -> Iterator[None]:
    """Run the block in a transaction that sees the snapshot.

    Raises SnapshotLost where that is gone, PrimaryError where the session's settings are.
    """
    with session.transaction(_BEGIN):
        try:
            pinned = session.value(_JOIN, (snapshot.name,))
        except PrimaryError as error:
            if lost(error):
                raise
            gone = SnapshotLost(f"The primary's snapshot is gone: {error.message}")
            raise gone.with_evidence(error.evidence) from None
        _demand_settings(pinned)
        yield


@contextmanager
def reading(
    session: Session, snapshot: Snapshot, tables: Sequence[Relation], lock_wait: timedelta
) -> Iterator[dict[Relation, int]]:
    """Run the block in the snapshot with ``tables`` locked against change, and proved unchanged.

    Gives the bytes of each (TOAST included, indexes not; 0: it has no rows). The locks are released at
    the block's end. Raises SnapshotLost when a table was truncated, rewritten, replaced, renamed or
    dropped since the snapshot, PrimaryError when it stays locked.
    """
    sizes = _at_once(session, snapshot, tables, min(lock_wait, _FIRST_TRY))
    if sizes is not None:
        with session.finishing():
            yield sizes
        return
    with joined(session, snapshot):
        for table in tables:
            _lock(session, table, lock_wait)
        yield _unchanged(session.query(_examination(tables)), tables)


def _at_once(
    session: Session, snapshot: Snapshot, tables: Sequence[Relation], lock_wait: timedelta
) -> dict[Relation, int] | None:
    """Begin, lock and examine in one round trip. None where the server refused anything of it."""
    begin = sql.SQL("BEGIN " + _BEGIN + "; SET TRANSACTION SNAPSHOT {}; ").format(sql.Literal(snapshot.name))
    locks = _locking(tables, lock_wait)
    try:
        rows = session.query(begin + locks + sql.SQL("; ") + _examination(tables))
        return _unchanged(rows, tables)
    except PrimaryError as error:
        session.abandon()
        if error.evidence.get("sqlstate") in _WORTH_A_LOOK:
            return None
        raise
    except BaseException:
        session.abandon()
        raise


def _examination(tables: Sequence[Relation]) -> sql.Composable:
    asked = [
        sql.SQL(_STILL).format(
            position=sql.Literal(position),
            oid=sql.Literal(table.oid),
            file=sql.Literal(table.file),
            schema=sql.Literal(table.schema),
            name=sql.Literal(table.name),
            numbers=sql.Literal([column.number for column in table.columns]),
            names=sql.Literal([column.name for column in table.columns]),
        )
        for position, table in enumerate(tables)
    ]
    return sql.SQL(" UNION ALL ").join([sql.SQL(f"SELECT -1, {_PINNED}, 0::bigint, 0::bigint"), *asked])


def _unchanged(rows: Sequence[tuple[int, bool, int, int]], tables: Sequence[Relation]) -> dict[Relation, int]:
    sizes: dict[Relation, int] = {}
    for position, sound, size, main in rows:
        if position < 0:
            _demand_settings(sound)
        elif sound:
            sizes[tables[position]] = size if main else 0
        else:
            raise SnapshotLost(
                f"{tables[position].label} was truncated, rewritten or altered on the primary"
                " after the snapshot."
            )
    return sizes


def _demand_settings(pinned: bool) -> None:
    """Go on only where the transaction has the settings that were pinned when its session was opened."""
    if not pinned:
        raise PrimaryError(
            "The primary forgets settings between transactions, as a transaction pooler does.",
            remedy="Use the direct connection or the session pooler (port 5432).",
        )


def _locking(tables: Sequence[Relation], lock_wait: timedelta) -> sql.Composable:
    milliseconds = max(1, int(lock_wait.total_seconds() * 1000))
    return sql.SQL("SET LOCAL lock_timeout = {}; LOCK TABLE {} IN ACCESS SHARE MODE").format(
        sql.Literal(milliseconds),
        sql.SQL(", ").join(sql.SQL("ONLY ") + sql.Identifier(one.schema, one.name) for one in tables),
    )


def _lock(session: Session, table: Relation, lock_wait: timedelta) -> None:
    try:
        session.execute(_locking([table], lock_wait))
    except PrimaryError as error:
        code = error.evidence.get("sqlstate")
        if code == "55P03":
            raise PrimaryError(
                f"{table.label} on the primary stayed locked for {lock_wait}; a migration holds it.",
                remedy="Run it again when that is over, or raise --lock-wait.",
                **error.evidence,
            ) from None
        if code in ("42P01", "3F000", "42809"):
            gone = SnapshotLost(f"{table.label} was dropped or replaced on the primary.")
            raise gone.with_evidence(error.evidence) from None
        raise


class Keeper:
    """Keeps idle sessions alive by asking them something now and then; remembers the first loss.

    Neon suspends idle computes, and platforms end idle transactions.
    """

    def __init__(self, interval: timedelta = timedelta(seconds=20)) -> None:
        self._sessions: list[Session] = []
        self._interval = interval.total_seconds()
        self._done = threading.Event()
        self._failures: dict[Session, SupaneonError] = {}
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def add(self, session: Session) -> None:
        """Keep this session alive too."""
        self._sessions.append(session)

    def drop(self, session: Session) -> None:
        """Leave this session alone from now on."""
        if session in self._sessions:
            self._sessions.remove(session)
        self._failures.pop(session, None)

    def check(self) -> None:
        """Raise the error of the first session that was lost, if any was."""
        for failure in list(self._failures.values()):
            raise failure

    def _keep(self) -> None:
        while not self._done.wait(self._interval):
            for session in list(self._sessions):
                try:
                    session.ping()
                except SupaneonError as error:
                    if session in self._sessions:
                        self._failures.setdefault(session, _loss(session, error))

    def __enter__(self) -> Keeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(timeout=5)


def _loss(session: Session, error: SupaneonError) -> SupaneonError:
    """Return what losing a kept session means: a new snapshot, or, on the mirror, the end of the run."""
    if session.side is Side.PRIMARY:
        return SnapshotLost(f"The session that held the primary's snapshot was lost: {error.message}")
    return NeonError(
        f"The session that held the mirror's lock was lost: {error.message}", remedy="Run it again."
    )
