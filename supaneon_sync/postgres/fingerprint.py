"""A table's fingerprint: a digest of its rows, whatever their order.

In the server: each row is written out by its types' own output functions, inside an anonymous record,
so that no cast that a table's owner may have defined is ever run; the text is hashed twice with seeds
that are drawn at random and told in the manifest, and the hashes are added up. ``hash_any_extended`` under
"C" gives the same value on every supported major (hash partitioning depends on it).

In binary: the same with the types' send functions, for tables whose columns are all of types that mean
the same everywhere (`portable`); it takes about two thirds of the time, a third for wide rows.

From the stream: planning any query over a table runs what its owner wrote into its indexes' expressions
(calls with constant arguments are folded), and COPY of a table plans nothing. So for a table whose
owner is not to be trusted, the runner digests the lines of COPY itself, on both sides alike.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from psycopg2 import sql

from supaneon_sync.policy.baseline import Content
from supaneon_sync.policy.facts import Column, Relation
from supaneon_sync.postgres.session import Session

_WORD = 2**64


class Method(StrEnum):
    """Where a fingerprint is computed. Fingerprints of different methods cannot be compared."""

    SERVER = "server"
    STREAM = "stream"
    BINARY = "binary"


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


def remembered(content: Content) -> Fingerprint:
    """Return the fingerprint of what is remembered of a table."""
    return Fingerprint(content.rows, content.digest, Method(content.method))


class StreamDigest:
    """The fingerprint of what COPY sends in text format: lines, each hashed, the hashes added up."""

    def __init__(self, seed: Seed) -> None:
        self._key = seed.first.to_bytes(8, signed=True) + seed.second.to_bytes(8, signed=True)
        self._rows = 0
        self._sum = 0
        self._rest = b""
        self.volume = 0

    def write(self, chunk: bytes) -> int:
        """Take the next bytes; a line break ends a row, since COPY escapes all others."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            digest = hashlib.blake2b(line, digest_size=16, key=self._key).digest()
            self._sum += int.from_bytes(digest, "big")
        self._rows += len(lines)
        self.volume += len(chunk)
        return len(chunk)

    def fingerprint(self) -> Fingerprint:
        """Return the fingerprint of all that was written."""
        return Fingerprint(self._rows, f"{self._sum % _WORD**2:032x}", Method.STREAM)


_PORTABLE = frozenset(
    (
        *("boolean", "smallint", "integer", "bigint", "oid", "real", "double precision", "numeric"),
        *("text", "character varying", "character", "name", '"char"', "bytea", "uuid", "json", "jsonb"),
        *("date", "time without time zone", "time with time zone", "interval"),
        *("timestamp without time zone", "timestamp with time zone"),
        *("inet", "cidr", "macaddr", "macaddr8", "bit", "bit varying", "tsvector", "pg_lsn"),
        *("int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange"),
    )
)
"""Types whose binary form means the same in every database and every supported major. Names of types in
pg_catalog are shown bare (our search_path), those of any other schema are not."""

_MODIFIER = re.compile(r"\(\d+(?:,-?\d+)?\)")


def portable(table: Relation) -> bool:
    """Say whether the table's rows mean the same everywhere in binary, and there is a column at all."""
    return bool(written(table)) and all(map(is_portable, table.columns))


def is_portable(column: Column) -> bool:
    """Say whether the column's values mean the same everywhere in binary."""
    return _MODIFIER.sub("", column.type).removesuffix("[]") in _PORTABLE


def method_for(table: Relation) -> Method:
    """Return how a table of the primary may be fingerprinted."""
    if not table.trusted:
        return Method.STREAM
    return Method.BINARY if portable(table) else Method.SERVER


def generated_columns(table: Relation) -> tuple[str, ...]:
    """Return the columns whose values are stored and that each side computes by itself."""
    return tuple(column.name for column in table.columns if column.generated == "s")


def as_written(table: Relation) -> Relation:
    """Return the table as it is written: without what is generated."""
    return replace(table, columns=tuple(column for column in table.columns if not column.generated))


def hashed_columns(table: Relation) -> tuple[str, ...]:
    """Return the columns that count: all but virtual ones, whose reading would run the owner's code."""
    return tuple(column.name for column in table.columns if column.generated != "v")


# What of a row is hashed, and how, by method. A function for the hash of bytes can only be reached through a
# record that holds them.
_LINES = {
    Method.SERVER: 'textin(record_out(ROW({row}))) COLLATE "C"',
    Method.BINARY: "record_send(ROW({row}))",
}
_HASHES = {
    Method.SERVER: "hashtextextended(t.line, {seed})",
    Method.BINARY: "hash_record_extended(ROW(t.line), {seed})",
}
_SUMS = """
SELECT count(*), coalesce(sum({one}), 0)::text, coalesce(sum({two}), 0)::text
FROM (SELECT {line} AS line FROM ONLY {table} OFFSET 0) AS t
"""
_SUMS_OF_SOME = """
SELECT count(*), count(t.line), coalesce(sum({one}) FILTER (WHERE t.line IS NOT NULL), 0)::text,
       coalesce(sum({two}) FILTER (WHERE t.line IS NOT NULL), 0)::text
FROM (SELECT CASE WHEN {where} THEN {line} END AS line FROM ONLY {table} AS rows OFFSET 0) AS t
"""
_ROWS = """(
SELECT t.*, {one} AS one, {two} AS two
FROM (SELECT {line} AS line, {beside} FROM ONLY {table} AS rows WHERE {where} OFFSET 0) AS t) AS hashed"""


def statement(table: Relation, seed: Seed, method: Method = Method.SERVER) -> sql.Composed:
    """Return the query whose one row is the count and the two sums."""
    return sql.SQL(_SUMS).format(**_pieces(table, seed, method))


def statement_of_some(table: Relation, seed: Seed, where: sql.Composable, method: Method) -> sql.Composed:
    """Return the query whose one row is the count of all rows, and count and sums of those that are meant.

    The rows are called ``rows`` in the condition; the others are counted, and nothing of them is read.
    """
    return sql.SQL(_SUMS_OF_SOME).format(**_pieces(table, seed, method), where=where)


def hashed_rows(
    table: Relation,
    seed: Seed,
    beside: sql.Composable,
    where: sql.Composable,
) -> sql.Composed:
    """Return an item for FROM: the table's rows as the two hashes that its fingerprint adds up.

    They are called ``one`` and ``two``; ``beside`` are further columns, each with a name, and ``where``
    limits the rows before anything of them is hashed.
    """
    return sql.SQL(_ROWS).format(**_pieces(table, seed, method_for(table)), beside=beside, where=where)


def _pieces(table: Relation, seed: Seed, method: Method) -> dict[str, sql.Composable]:
    form = Method.BINARY if method is Method.BINARY else Method.SERVER
    one, two = (
        sql.SQL(_HASHES[form]).format(seed=sql.Literal(number)) for number in (seed.first, seed.second)
    )
    row = sql.SQL(", ").join(map(sql.Identifier, hashed_columns(table)))
    return {
        "one": one,
        "two": two,
        "line": sql.SQL(_LINES[form]).format(row=row),
        "table": sql.Identifier(table.schema, table.name),
    }


@dataclass(frozen=True)
class Tally:
    """Some rows: how many, and the sums of their two hashes."""

    rows: int
    one: int
    two: int

    @classmethod
    def read(cls, rows: int, one: str, two: str) -> Tally:
        """Return what a query has told."""
        return cls(rows, int(one), int(two))

    @classmethod
    def of(cls, found: Fingerprint) -> Tally:
        """Return what a fingerprint was made of, as far as it keeps that."""
        return cls(found.rows, int(found.digest[:16], 16), int(found.digest[16:], 16))

    def fingerprint(self, method: Method) -> Fingerprint:
        """Return the fingerprint of these rows."""
        return Fingerprint(self.rows, f"{self.one % _WORD:016x}{self.two % _WORD:016x}", method)

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.rows + other.rows, self.one + other.one, self.two + other.two)

    def __sub__(self, other: Tally) -> Tally:
        return Tally(self.rows - other.rows, self.one - other.one, self.two - other.two)


NOTHING = Tally(0, 0, 0)


def copy_out(table: Relation, *, binary: bool = False) -> sql.Composed:
    """Return the statement that sends a table's own rows, generated columns left to the other side."""
    return sql.SQL("COPY {}{} TO STDOUT{}").format(
        sql.Identifier(table.schema, table.name),
        written_columns(table),
        sql.SQL(" (FORMAT binary)" if binary else ""),
    )


def written(table: Relation) -> tuple[str, ...]:
    """Return the columns that COPY takes: all but generated ones."""
    return tuple(column.name for column in table.columns if not column.generated)


def written_columns(table: Relation) -> sql.Composable:
    """Return the parenthesised list of the columns that COPY takes, or nothing where there are none."""
    plain = [sql.Identifier(name) for name in written(table)]
    return sql.SQL(" ({})").format(sql.SQL(", ").join(plain)) if plain else sql.SQL("")


def fingerprint(session: Session, table: Relation, seed: Seed, method: Method = Method.SERVER) -> Fingerprint:
    """Return the fingerprint of a table's own rows (not its children's) in the session's transaction."""
    return fingerprints(session, [(table, method)], seed)[0]


def fingerprints(
    session: Session, wanted: Sequence[tuple[Relation, Method]], seed: Seed
) -> tuple[Fingerprint, ...]:
    """Return the fingerprints of several tables, in the order given, in one round trip where it can be."""
    asked = [(table, method) for table, method in wanted if method is not Method.STREAM]
    rows = iter(session.ones([statement(table, seed, method) for table, method in asked]))
    return tuple(
        _digested(session, table, seed)
        if method is Method.STREAM
        else Tally.read(*next(rows)).fingerprint(method)
        for table, method in wanted
    )


def _digested(session: Session, table: Relation, seed: Seed) -> Fingerprint:
    digest = StreamDigest(seed)
    session.copy_out(copy_out(table), digest)
    return digest.fingerprint()
