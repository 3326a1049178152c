"""What the primary's own row versions say of the time since the last proof: what is new, what went.

PostgreSQL never changes a row in place: every version carries the number of the transaction that wrote it.
So of two snapshots of one unbroken history: rows whose number is older than every transaction that was still
open at the first snapshot were seen by it already, and what is not among them is new. If none is new and as
many rows are there, they are the same rows. This holds within one run of the server alone (after a restore
numbers may be given out again), for tables of PostgreSQL's own heap, in the same file. Numbers come round: a
row of 2**32 transactions ago may be taken for new, which costs its journey; never the other way.

Source: PostgreSQL documentation, "Routine Vacuuming" (transaction ids and wraparound) and "System Columns".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg2 import sql

from supaneon_sync.policy.baseline import Horizon
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres.session import Session

# A crash of one process restarts all but the postmaster, and may give numbers out again that no disk knew of;
# it also makes the server's statistics begin anew.
_RUN = "pg_postmaster_start_time()::text || ' ' || d.oid || ' ' || coalesce(b.stats_reset::text, '')"
OPEN = """
pg_snapshot_xmin(pg_current_snapshot())::text::int8, pg_snapshot_xmax(pg_current_snapshot())::text::int8
"""
"""The oldest transaction that is open, and the first that has not begun."""
_NOW = f"""
SELECT {_RUN}, {OPEN},
       CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_insert_lsn()::text END,
       ARRAY(SELECT oid::int8 FROM pg_class WHERE relam = 2 AND relkind = 'r'), statement_timestamp()
FROM pg_database d, pg_stat_bgwriter b WHERE d.datname = current_database()
"""
_FLUSHED = f"""
SELECT NOT pg_is_in_recovery() AND {_RUN} = %s
   AND (pg_current_wal_flush_lsn() >= %s::pg_lsn
        OR clock_timestamp() > %s + 3 * current_setting('wal_writer_delay')::interval)
FROM pg_database d, pg_stat_bgwriter b WHERE d.datname = current_database()
"""
# What a transaction that only reads has written (it tidies pages up) may wait for the disk for ever, and is
# no commit. A commit waits for three rounds of the WAL writer at most ("Asynchronous Commit").
_COUNTABLE = 2**30
"""How many transactions apart two snapshots may be: numbers come round, and are compared by half."""
_PAGE, _HEADERS = 8192, (24, 40)
"""Bytes of a page of WAL, and of its header: of any page, and of a segment's first."""
NEW, OLD = "<=", ">"


@dataclass(frozen=True)
class Moment:
    """The snapshot's place in the primary's history.

    ``run`` names the unbroken run of the server and the database: it ends with a crash of one process.
    ``oldest`` is the oldest transaction that was open then, ``next`` the first that had not begun,
    ``position`` the end of the WAL ('' on a replica, whose history cannot be followed). ``heaps``: the
    tables that PostgreSQL's own heap keeps. ``at`` is the time by the server's clock.
    """

    run: str
    oldest: int
    next: int
    position: str
    heaps: frozenset[int]
    at: datetime

    def since(self, then: Horizon | None) -> Horizon | None:
        """Return the horizon of an earlier snapshot if this one stands in the same unbroken history."""
        followed = then is not None and self.position and unbroken(then, self.run, self.next)
        return then if followed else None

    @property
    def horizon(self) -> Horizon | None:
        """What a later run needs to know of this moment, None where nothing can be built on it."""
        return Horizon(self.run, self.oldest) if self.position else None


def unbroken(then: Horizon, run: str, following: int) -> bool:
    """Say whether a history in which ``following`` is the next transaction goes on from a horizon."""
    return then.run == run and 0 <= following - then.oldest < _COUNTABLE


def moment(session: Session) -> Moment:
    """Return where the session's transaction stands."""
    run, oldest, following, position, heaps, at = session.one(_NOW)
    written_to = _written(position) if position else ""
    return Moment(run, oldest, following, written_to, frozenset(heaps), at)


def _written(position: str) -> str:
    """Return the end of what has been written, where a page's header is counted ahead of its first record."""
    high, low = (int(part, 16) for part in position.split("/"))
    return f"{high:X}/{low - low % _PAGE:X}" if low % _PAGE in _HEADERS else position


def is_lasting(session: Session, then: Moment) -> bool:
    """Say whether everything that the moment saw is on disk by now: a crash takes back what is not."""
    return bool(then.position) and bool(session.value(_FLUSHED, (then.run, then.position, then.at)))


@dataclass(frozen=True)
class Found:
    """What row versions say of a table: its ``rows``, of which ``new`` are, from place ``first`` to ``last``.

    Places are those of the snapshot that was asked, in the table's file ('': none is new).
    """

    rows: int
    new: int
    first: str = ""
    last: str = ""


def written(horizon: Horizon, when: str) -> sql.Composed:
    """Return the condition that a row is NEW since the horizon, or OLD (the rows are called ``rows``)."""
    return sql.SQL("age(rows.xmin) {} (SELECT age({}::xid))").format(
        sql.SQL(when), sql.Literal(str(horizon.oldest % 2**32))
    )


def between(found: Found) -> sql.Composable:
    """Return the condition that a row lies where the new ones do: as a rule a small part of the table."""
    ends = (sql.Literal(found.first), sql.Literal(found.last))
    return sql.SQL("rows.ctid >= {}::tid AND rows.ctid <= {}::tid").format(*ends)


_NEWS = """
SELECT count(*), count(t.place), coalesce(min(t.place)::text, ''), coalesce(max(t.place)::text, '')
FROM (SELECT CASE WHEN {new} THEN rows.ctid END AS place FROM ONLY {table} AS rows OFFSET 0) AS t
"""


def news(session: Session, tables: Sequence[Relation], horizon: Horizon) -> dict[Relation, Found]:
    """Return of each table how many rows it has, how many are new since the horizon, and where they lie."""
    asked = [
        sql.SQL(_NEWS).format(new=written(horizon, NEW), table=sql.Identifier(table.schema, table.name))
        for table in tables
    ]
    return {table: Found(*row) for table, row in zip(tables, session.ones(asked), strict=True)}
