"""Planner statistics carried over from the primary, instead of being taken again from the same rows.

PostgreSQL 18 and newer take them from outside (`pg_restore_attribute_stats`). For small tables ANALYZE costs
the mirror as much as loading them; what the primary has learnt of the same rows costs a round trip on either
side, and makes the copy plan as the primary did. What the primary does not know, or not any more, is taken
anew: the statistics of a column that it never analysed, or of a table that has changed much since.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from psycopg2 import sql

from supaneon_sync.errors import NeonError, PrimaryError
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres import statistics
from supaneon_sync.postgres.session import Session

SINCE = 18
"""The first major version that takes statistics from outside."""

_OF_RANGES = 17
"""The first major version whose `pg_stats` shows what is known of ranges."""

_CHANGED = 0.1
"""What part of a table's rows may have changed since ANALYZE, as for the server's own autovacuum."""

_FIELDS = {
    "null_frac": "real",
    "avg_width": "integer",
    "n_distinct": "real",
    "most_common_vals": "text",
    "most_common_freqs": "real[]",
    "histogram_bounds": "text",
    "correlation": "real",
    "most_common_elems": "text",
    "most_common_elem_freqs": "real[]",
    "elem_count_histogram": "real[]",
}
_FIELDS_OF_RANGES = {
    "range_length_histogram": "text",
    "range_empty_frac": "real",
    "range_bounds_histogram": "text",
}
"""Columns of `pg_stats`, which are arguments of the function, with their types there."""

# The view is a barrier: only what is asked of it in constants is asked of its tables. The name stands twice.
_KNOWN = """
SELECT w.position, s.attname, {fields}
FROM unnest(%(oids)s::oid[], %(schemas)s::name[], %(names)s::name[]) WITH ORDINALITY
     AS w (oid, schema, name, position)
JOIN pg_class c ON c.oid = w.oid
JOIN pg_stats s ON s.schemaname = w.schema AND s.tablename = w.name AND NOT s.inherited
WHERE s.tablename = ANY (%(names)s::name[]) AND c.reltuples > 0
  AND pg_stat_get_mod_since_analyze(c.oid) <= c.reltuples * %(changed)s
  AND NOT EXISTS (SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = c.oid
        AND a.attnum > 0 AND NOT a.attisdropped AND t.typanalyze <> ALL (%(shown)s::regproc[]))
"""
_SHOWN = ("-", "array_typanalyze", "ts_typanalyze")
_SHOWN_OF_RANGES = ("range_typanalyze", "multirange_typanalyze")
"""What a type's own statistics may come from: of any others (those of PostGIS) the view shows nothing."""

Values = dict[str, str]
"""What is known of a column, by the function's arguments, as text; what is not known is left out."""


class Carrier:
    """Gives tables on the mirror the primary's statistics. ``primary`` lends a session there."""

    def __init__(self, primary: Callable[[], AbstractContextManager[Session]]) -> None:
        self._primary = primary
        self._reading = threading.Lock()
        self._refused = False

    def analyse(self, session: Session, tables: Sequence[Relation], search_path: str) -> bool:
        """See to the tables' statistics as `statistics.analyse` does, and return what it returns.

        Nothing that goes wrong with carrying them over is an error: they are taken anew then.
        """
        found = self._known(tables)
        whole = {table: columns for table, columns in found.items() if _is_whole(table, columns)}
        carried = _restore(session, whole) if whole else False
        rest = [table for table in tables if not carried or table not in whole]
        return not rest or statistics.analyse(session, rest, search_path)

    def _known(self, tables: Sequence[Relation]) -> dict[Relation, dict[str, Values]]:
        """Return what the primary knows of the tables' columns. One asks at a time, on one connection."""
        with self._reading:
            if self._refused:
                return {}
            try:
                with self._primary() as source:
                    return known(source, tables)
            except PrimaryError:
                self._refused = True  # the primary has no connection to spare, or is gone
                return {}


def known(source: Session, tables: Sequence[Relation]) -> dict[Relation, dict[str, Values]]:
    """Return what a server knows of the tables' own rows, column by column, in one round trip.

    Left out are tables of which much has changed since they were analysed, or of which more is known than the
    server shows, and columns of which nothing is known.
    """
    fields, shown = [*_FIELDS], [*_SHOWN]
    if source.connection.server_version >= _OF_RANGES * 10_000:
        fields += _FIELDS_OF_RANGES
        shown += _SHOWN_OF_RANGES
    asked = sql.SQL(_KNOWN).format(fields=sql.SQL(", ").join(sql.SQL(f"s.{name}::text") for name in fields))
    names = {
        "oids": [table.oid for table in tables],
        "schemas": [table.schema for table in tables],
        "names": [table.name for table in tables],
        "changed": _CHANGED,
        "shown": shown,
    }
    found: dict[Relation, dict[str, Values]] = {}
    for position, column, *values in source.query(asked, names):
        told = {name: value for name, value in zip(fields, values, strict=True) if value is not None}
        found.setdefault(tables[position - 1], {})[column] = told
    return found


def _is_whole(table: Relation, columns: dict[str, Values]) -> bool:
    """Say whether something is known of every column that can be known of."""
    return all(column.name in columns for column in table.columns if column.generated != "v")


def _restore(session: Session, found: dict[Relation, dict[str, Values]]) -> bool:
    """Give the tables these statistics, in one round trip; False where the server did not take them all."""
    calls = [
        _call(table, column, values) for table, columns in found.items() for column, values in columns.items()
    ]
    taken = sql.SQL("SELECT bool_and(taken) FROM (VALUES {}) AS v (taken)").format(sql.SQL(", ").join(calls))
    try:
        return bool(session.value(taken))
    except NeonError as error:
        if "sqlstate" not in error.evidence:
            raise
        return False


def _call(table: Relation, column: str, values: Values) -> sql.Composable:
    types = _FIELDS | _FIELDS_OF_RANGES
    told = [
        sql.SQL(", {}, {}::" + types[name]).format(sql.Literal(name), sql.Literal(value))
        for name, value in values.items()
    ]
    call = (
        "(pg_restore_attribute_stats('schemaname', {}, 'relname', {}, 'attname', {}, 'inherited', false{}))"
    )
    return sql.SQL(call).format(
        sql.Literal(table.schema), sql.Literal(table.name), sql.Literal(column), sql.Composed(told)
    )
