"""A table's fingerprint: a digest of its rows, whatever their order, computed inside the server.

Each row is written out by its types' own output functions, inside an anonymous record, so that no
cast that a table's owner may have defined is ever run; the text is hashed twice with seeds that are
drawn for each backup, and the hashes are added up. ``hash_any_extended`` under "C" gives the same
value on every supported major (hash partitioning depends on it).
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg2 import sql

from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres.session import Session

_WORD = 2**64


@dataclass(frozen=True)
class Seed:
    """Two 64-bit numbers, drawn at random for each backup and told in its manifest."""

    first: int
    second: int

    @classmethod
    def from_bytes(cls, chance: bytes) -> Seed:
        """Return the seed that 16 random bytes make."""
        return cls(int.from_bytes(chance[:8], signed=True), int.from_bytes(chance[8:16], signed=True))


@dataclass(frozen=True)
class Fingerprint:
    """How many rows a table has, and their digest of 128 bits (32 hexadecimal digits)."""

    rows: int
    digest: str


def hashed_columns(table: Relation) -> tuple[str, ...]:
    """Return the columns that count: all but virtual ones, whose reading would run the owner's code."""
    return tuple(column.name for column in table.columns if column.generated != "v")


def statement(table: Relation, seed: Seed) -> sql.Composed:
    """Return the query whose one row is the count and the two sums."""
    row = sql.SQL(", ").join(map(sql.Identifier, hashed_columns(table)))
    return sql.SQL(
        "SELECT count(*), coalesce(sum(hashtextextended(t.line, {first})), 0)::text,"
        " coalesce(sum(hashtextextended(t.line, {second})), 0)::text"
        ' FROM (SELECT textin(record_out(ROW({row}))) COLLATE "C" AS line FROM ONLY {table} OFFSET 0) AS t'
    ).format(
        first=sql.Literal(seed.first),
        second=sql.Literal(seed.second),
        row=row,
        table=sql.Identifier(table.schema, table.name),
    )


def fingerprint(session: Session, table: Relation, seed: Seed) -> Fingerprint:
    """Return the fingerprint of a table's own rows (not its children's) in the session's transaction."""
    rows, first, second = session.one(statement(table, seed))
    return Fingerprint(rows, f"{int(first) % _WORD:016x}{int(second) % _WORD:016x}")
