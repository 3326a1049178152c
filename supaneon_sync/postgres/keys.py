"""By what a table's rows are told apart, and how its blocks are asked for in SQL.

A key is any unique index over columns that cannot be null, of types that can be compared under the
application's search_path: the primary key where there is one. The
expressions run on the primary too: of the key's columns they use PostgreSQL's own operators on its own
types, or the types' output functions inside an anonymous record, and no cast or operator of anybody's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg2 import sql

from supaneon_sync.policy.facts import Column, Relation
from supaneon_sync.policy.grid import Grid
from supaneon_sync.postgres.fingerprint import Seed, is_portable
from supaneon_sync.postgres.session import Session

_INTEGERS = ("smallint", "integer", "bigint")
EVERYWHERE = sql.SQL("true")
_FEW = 0.05
"""Share of blocks up to which they are fetched range by range through the key's index."""

_KEYS = """
SELECT DISTINCT ON (i.indrelid) n.nspname, c.relname, k.names
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
  SELECT array_agg(a.attname::text ORDER BY u.position) AS names, bool_and(a.attnotnull) AS sure,
         bool_and(a.attgenerated = '') AS written, count(*) AS count
  FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS u (number, position)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.number
  WHERE u.position <= i.indnkeyatts) AS k
WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND k.sure AND k.written
  AND k.count = i.indnkeyatts AND c.relkind = 'r' AND n.nspname !~ '^pg_' AND NOT EXISTS (
    SELECT FROM unnest(i.indclass::oid[]) AS u (class) JOIN pg_opclass o ON o.oid = u.class
    JOIN pg_namespace s ON s.oid = o.opcnamespace
    WHERE s.nspname NOT IN ('pg_catalog', 'public', 'extensions'))
ORDER BY i.indrelid, i.indisprimary DESC, k.count, i.indexrelid
"""


@dataclass(frozen=True)
class Key:
    """The columns of a table that tell its rows apart."""

    columns: tuple[Column, ...]

    @property
    def integer(self) -> bool:
        """Whether it is one integer, so that blocks are ranges."""
        return len(self.columns) == 1 and self.columns[0].type in _INTEGERS

    @property
    def portable(self) -> bool:
        """Whether its columns are all of types that mean the same on every server in binary."""
        return all(is_portable(column) for column in self.columns)

    @property
    def names(self) -> sql.Composed:
        """The columns' own names, with commas between them."""
        return sql.SQL(", ").join(sql.Identifier(column.name) for column in self.columns)

    @property
    def aliases(self) -> tuple[sql.Identifier, ...]:
        """What the columns are called beside a row's hashes."""
        return tuple(sql.Identifier(f"k{number}") for number in range(1, len(self.columns) + 1))

    @property
    def named(self) -> sql.Composed:
        """The columns under their aliases, for a list of SELECT."""
        pairs = zip(self.columns, self.aliases, strict=True)
        return sql.SQL(", ").join(sql.SQL("{} AS {}").format(sql.Identifier(c.name), a) for c, a in pairs)

    def equal(self, table: str, aliased: str) -> sql.Composed:
        """Return the condition that a row of ``table`` has the key that ``aliased`` holds."""
        pairs = zip(self.columns, self.aliases, strict=True)
        return sql.SQL(" AND ").join(
            sql.SQL("{}.{} = {}.{}").format(
                sql.Identifier(table), sql.Identifier(column.name), sql.Identifier(aliased), alias
            )
            for column, alias in pairs
        )

    @property
    def text(self) -> sql.Composed:
        """The key's text, by its types' own output functions."""
        return sql.SQL('textin(record_out(ROW({}))) COLLATE "C"').format(self.names)


def read(session: Session, tables: Iterable[Relation]) -> dict[Relation, Key]:
    """Return the tables' keys, as the session's database has them; tables without one are left out."""
    names = {(schema, name): columns for schema, name, columns in session.query(_KEYS)}
    found = {}
    for table in tables:
        columns = {column.name: column for column in table.columns}
        key = names.get((table.schema, table.name), ())
        if key and all(name in columns for name in key):
            found[table] = Key(tuple(columns[name] for name in key))
    return found


def block(key: Key, grid: Grid, seed: Seed) -> sql.Composable:
    """Return the expression for the number of a row's block."""
    if grid.count == 1:
        return sql.SQL("0")
    if grid.width:
        return sql.SQL("({}::int8 / {}::int8 - {}::int8)::int4").format(
            key.names, sql.Literal(grid.width), sql.Literal(grid.base)
        )
    return sql.SQL("({} & {})::int4").format(_hash(key, seed), sql.Literal(grid.count - 1))


def _hash(key: Key, seed: Seed) -> sql.Composed:
    number = sql.Literal(seed.second)
    if len(key.columns) == 1 and key.columns[0].type == "uuid":
        return sql.SQL("uuid_hash_extended({}, {})").format(key.names, number)
    if len(key.columns) == 1 and key.columns[0].type in ("text", "character varying"):
        return sql.SQL('hashtextextended({} COLLATE "C", {})').format(key.names, number)
    return sql.SQL("hashtextextended({}, {})").format(key.text, number)


def within(key: Key, grid: Grid, blocks: Iterable[int], seed: Seed) -> sql.Composable:
    """Return the condition that a row is in one of these blocks."""
    chosen = set(blocks)
    if len(chosen) >= grid.count:
        return EVERYWHERE
    ranges = grid.ranges(chosen) if grid.width and len(chosen) <= _FEW * grid.count else []
    if ranges and len(ranges) <= 64:
        return (
            sql.SQL("(")
            + sql.SQL(" OR ").join(
                sql.SQL("{} BETWEEN {} AND {}").format(key.names, sql.Literal(low), sql.Literal(high))
                for low, high in ranges
            )
            + sql.SQL(")")
        )
    return sql.SQL("get_bit({}::bytea, {}) = 1").format(
        sql.Literal(r"\x" + grid.bitmap(chosen).hex()), block(key, grid, seed)
    )
