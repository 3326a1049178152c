"""A table's fingerprint: a digest of its rows, whatever their order.

In the server: each row is written out by its types' own output functions, inside an anonymous record,
so that no cast that a table's owner may have defined is ever run; the text is hashed twice with seeds
that are drawn for each backup, and the hashes are added up. ``hash_any_extended`` under "C" gives the
same value on every supported major (hash partitioning depends on it).

From the stream: planning any query over a table runs what its owner wrote into its indexes' expressions
(calls with constant arguments are folded), and COPY of a table plans nothing. So for a table whose
owner is not to be trusted, the runner digests the lines of COPY itself, on both sides alike.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from psycopg2 import sql

from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres.session import Session

_WORD = 2**64


class Method(StrEnum):
    """Where a fingerprint is computed. Fingerprints of different methods cannot be compared."""

    SERVER = "server"
    STREAM = "stream"


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
    method: Method = Method.SERVER


class StreamDigest:
    """The fingerprint of what COPY sends in text format: lines, each hashed, the hashes added up."""

    def __init__(self, seed: Seed) -> None:
        self._key = seed.first.to_bytes(8, signed=True) + seed.second.to_bytes(8, signed=True)
        self._rows = 0
        self._sum = 0
        self._rest = b""

    def write(self, chunk: bytes) -> int:
        """Take the next bytes; a line break ends a row, since COPY escapes all others."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            digest = hashlib.blake2b(line, digest_size=16, key=self._key).digest()
            self._sum += int.from_bytes(digest, "big")
        self._rows += len(lines)
        return len(chunk)

    def fingerprint(self) -> Fingerprint:
        """Return the fingerprint of all that was written."""
        return Fingerprint(self._rows, f"{self._sum % _WORD**2:032x}", Method.STREAM)


def method_for(table: Relation) -> Method:
    """Return how a table of the primary may be fingerprinted."""
    return Method.SERVER if table.trusted else Method.STREAM


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


def copy_out(table: Relation) -> sql.Composed:
    """Return the statement that sends a table's own rows, generated columns left to the other side."""
    return sql.SQL("COPY {}{} TO STDOUT").format(
        sql.Identifier(table.schema, table.name), written_columns(table)
    )


def written_columns(table: Relation) -> sql.Composable:
    """Return the parenthesised list of the columns that COPY takes, or nothing where there are none."""
    plain = [sql.Identifier(column.name) for column in table.columns if not column.generated]
    return sql.SQL(" ({})").format(sql.SQL(", ").join(plain)) if plain else sql.SQL("")


def fingerprint(session: Session, table: Relation, seed: Seed, method: Method = Method.SERVER) -> Fingerprint:
    """Return the fingerprint of a table's own rows (not its children's) in the session's transaction."""
    if method is Method.STREAM:
        digest = StreamDigest(seed)
        session.copy_out(copy_out(table), digest)
        return digest.fingerprint()
    rows, first, second = session.one(statement(table, seed))
    return Fingerprint(rows, f"{int(first) % _WORD:016x}{int(second) % _WORD:016x}")
