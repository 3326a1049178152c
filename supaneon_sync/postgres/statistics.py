"""What a busy server wants of a table that was just filled: what the planner is to know of its rows.

ANALYZE needs nothing but the rows, so it runs while they are in the server's cache. That pages are marked
visible needs a vacuum that comes when nobody has a snapshot from before the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from psycopg2 import sql

from supaneon_sync.errors import NeonError
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres import deferring
from supaneon_sync.postgres.crew import tolerated
from supaneon_sync.postgres.session import Session

_LACKING = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND (
  c.relhassubclass OR EXISTS (SELECT FROM pg_statistic_ext s WHERE s.stxrelid = c.oid)
  OR c.relhasindex AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indexprs IS NOT NULL))
"""

_COUNTED = """
SELECT n.nspname, c.relname, c.reltuples FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p')
"""
_LOCKED = "55P03"
"""An expression writes to a table that this run holds still: a log of its own, say."""
ALONE = 18
"""The first major whose VACUUM and ANALYZE know ONLY, and take heirs along where it is not said."""
_OFF = 0.05
"""How far the server's count of a table's rows may be off, as a part of them."""


def analyse(session: Session, tables: Sequence[Relation], search_path: str) -> bool:
    """Take the tables' statistics in one round trip; False where the rows or expressions of one refuse it.

    Statistics on expressions run the application's functions, which may rely on its search_path.
    """
    path = sql.SQL("SELECT set_config('search_path', {}, true); ").format(sql.Literal(search_path))
    try:
        session.execute(path + sql.SQL("ANALYZE ") + _names(session, tables))
    except NeonError as error:
        if not _failed(error):
            raise
        return False
    return True


def lacking(session: Session, tables: Iterable[Relation]) -> set[Relation]:
    """Return the tables whose statistics are more than what was known when their rows had just arrived.

    A parent's are also on its children's rows, and some are on what is made later than the table:
    indexes on expressions, extended statistics.
    """
    found = {(schema, name) for schema, name in session.query(_LACKING)}
    return {table for table in tables if (table.schema, table.name) in found}


def unready(session: Session, rows: Mapping[Relation, int]) -> set[Relation]:
    """Return the tables of which the server knows other numbers of rows than these, or none at all."""
    known = {(schema, name): count for schema, name, count in session.query(_COUNTED)}
    return {
        table
        for table, count in rows.items()
        if abs(known.get((table.schema, table.name), -1) - count) > _OFF * count
    }


def vacuum(session: Session, tables: Sequence[Relation]) -> None:
    """Have the tables' pages marked visible, and those of what they keep out of line."""
    if tables:
        session.execute(sql.SQL("VACUUM {}").format(_names(session, tables)))


def renew(session: Session, tables: Sequence[Relation], search_path: str) -> tuple[Relation, ...]:
    """Leave the tables as a busy server would want them: statistics taken, pages marked visible.

    Statistics on expressions run the application's functions, which may rely on its search_path. Returns
    the tables that the server cannot analyse: an expression fails on a row, or a range reaches beyond what
    a float holds (`range_typanalyze`). They are vacuumed all the same.
    """
    if not tables:
        return ()
    failed = _refused(session, tables, search_path, sql.SQL("VACUUM (ANALYZE) {tables}"))
    vacuum(session, failed)
    return failed


def analyse_whole(
    session: Session, roots: Sequence[Relation], search_path: str, *, held: bool
) -> tuple[Relation, ...]:
    """Take the statistics of partitioned tables, each over all its rows; return those that refuse it.

    Servers before 18 take those of every partition too, unless they are told to pass over what others have
    locked, as partitions are while another session holds them still (``held``). The tables themselves are
    locked here first: those must not be passed over.
    """
    if not held or session.connection.server_version >= ALONE * 10000:
        words = sql.SQL("ANALYZE {tables}")
    else:
        words = sql.SQL("LOCK TABLE {alone} IN SHARE UPDATE EXCLUSIVE MODE; ANALYZE (SKIP_LOCKED) {tables}")
    return _refused(session, roots, search_path, words)


def _refused(
    session: Session, tables: Sequence[Relation], search_path: str, words: sql.SQL
) -> tuple[Relation, ...]:
    """Run statements on the tables, one by one where they fail on all together; return those they fail on."""
    session.query("SELECT set_config('search_path', %s, false)", (search_path,))
    try:
        session.execute(words.format(tables=_names(session, tables), alone=_alone(tables)))
    except NeonError as error:
        if not _failed(error):
            raise
        if len(tables) > 1:
            return tuple(one for table in tables for one in _refused(session, (table,), search_path, words))
        return tuple(tables)
    return ()


def _failed(error: NeonError) -> bool:
    """Say whether ANALYZE failed for what the application's own rows and expressions are and do."""
    return deferring.failed_by_itself(error) or tolerated(error, _LOCKED)


def _names(session: Session, tables: Sequence[Relation]) -> sql.Composable:
    """Return the tables' names as VACUUM and ANALYZE are to have them: heirs are not taken along unasked.

    An heir may be held still by this run itself, so that it would be waited for in vain.
    """
    if session.connection.server_version >= ALONE * 10000:
        return _alone(tables)
    return sql.SQL(", ").join(sql.Identifier(table.schema, table.name) for table in tables)


def _alone(tables: Sequence[Relation]) -> sql.Composable:
    return sql.SQL(", ").join(sql.SQL("ONLY ") + sql.Identifier(table.schema, table.name) for table in tables)
