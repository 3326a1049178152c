"""An independent way to compare two databases: every table's text rows in order, by superusers."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection

from supaneon_sync.sandbox.testing import Sandbox

_TABLES = """
SELECT n.nspname, c.relname,
  (SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute
   WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema')
  AND NOT EXISTS (
    SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""


def contents(session: connection) -> dict[str, str]:
    """Return each table's rows as COPY writes them, sorted as text."""
    found = {}
    with session.cursor() as cursor:
        # Planning unfolds functions of index predicates, which may rely on the application's path.
        cursor.execute("SET extra_float_digits = 3; SET TimeZone = 'UTC'")
        cursor.execute("SET search_path = public, extensions")
        cursor.execute(_TABLES)
        for schema, table, columns in cursor.fetchall():
            row = sql.SQL(", ").join(map(sql.Identifier, columns or []))
            statement = sql.SQL('COPY (SELECT {} FROM ONLY {} ORDER BY ROW({})::text COLLATE "C") TO STDOUT')
            text = StringIO()
            cursor.copy_expert(
                statement.format(row, sql.Identifier(schema, table), row).as_string(session), text
            )
            found[f"{schema}.{table}"] = text.getvalue()
    return found


def primary_contents(sandbox: Sandbox) -> Mapping[str, str]:
    """Return what the primary holds now."""
    assert sandbox.primary_server is not None
    with sandbox.primary_server.session("postgres") as session:
        return contents(session)


def branch_contents(sandbox: Sandbox, name: str) -> Mapping[str, str]:
    """Return what a branch holds now, read through its own URI as its owner."""
    session = psycopg2.connect(sandbox.uri(name))
    session.autocommit = True
    try:
        return contents(session)
    finally:
        session.close()
