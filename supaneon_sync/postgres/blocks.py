"""Blocks of a table added up in the servers: one row comes back, with a digest of each block in it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from psycopg2 import sql

from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres.fingerprint import Fingerprint, Method, Tally
from supaneon_sync.postgres.keys import Key
from supaneon_sync.postgres.session import Session

Answer = TypeVar("Answer")
Pair = tuple[Session, Session]
"""A session on the primary and one on the mirror."""


def both(sessions: Pair, work: Callable[[Session], Answer]) -> tuple[Answer, Answer]:
    """Do the same on the primary and on the mirror at the same time."""
    with ThreadPoolExecutor(1) as helper:
        there = helper.submit(work, sessions[1])
        try:
            here = work(sessions[0])
        except BaseException:
            sessions[1].cancel()
            raise
        return here, there.result()


# The digest of a block is a sum without carry: a key is there once, so that no two rows cancel out.
_SUMS = """
COPY (
  SELECT coalesce(sum(g.rows), 0)::int8, coalesce(sum(g.first), 0)::text, coalesce(sum(g.second), 0)::text,
         coalesce(string_agg(int4send(g.block) || int8send(g.digest), ''), ''::bytea)
  FROM (SELECT block, count(*) AS rows, sum(one) AS first, sum(two) AS second, bit_xor(one) AS digest
        FROM {rows} GROUP BY block) AS g
) TO STDOUT (FORMAT binary)
"""


def span(sessions: Pair, table: Relation, key: Key) -> tuple[int, int] | None:
    """Return the least and the greatest key on either side; None where the mirror has no row."""
    name = sql.Identifier(table.schema, table.name)
    asked = sql.SQL("SELECT min({key}), max({key}) FROM ONLY {table}").format(key=key.names, table=name)
    here, there = both(sessions, lambda session: session.one(asked))
    numbers = [number for number in (*here, *there) if number is not None]
    return None if there[0] is None else (min(numbers), max(numbers))


def statement(rows: sql.Composable) -> sql.Composed:
    """Return the COPY that sends the sums over hashed rows, and the digest of each ``block`` of them."""
    return sql.SQL(_SUMS).format(rows=rows)


def read(session: Session, asked: sql.Composable, method: Method) -> Sums:
    """Run what `statement` made and return what it says."""
    sink = _Kept()
    session.copy_out(asked, sink)
    return Sums.parse(sink.content(), method)


@dataclass(frozen=True)
class Sums:
    """A table's fingerprint, and the list of its blocks with a digest each."""

    fingerprint: Fingerprint
    blocks: bytes
    volume: int

    @classmethod
    def parse(cls, content: bytes, method: Method) -> Sums:
        """Return what one row of COPY in binary format says."""
        position = 11 + 4 + 4 + 2  # signature, flags, length of the extension, number of fields
        fields = []
        for _ in range(4):
            (length,) = struct.unpack_from("!i", content, position)
            position += 4
            fields.append(content[position : position + length])
            position += length
        rows, first, second, blocks = fields
        found = Tally(int.from_bytes(rows, "big"), int(first), int(second)).fingerprint(method)
        return cls(found, blocks, len(content))


class _Kept:
    """Keeps all that comes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, chunk: bytes, /) -> int:
        """Take the next bytes (called by the driver)."""
        self._parts.append(chunk)
        return len(chunk)

    def content(self) -> bytes:
        """Return everything."""
        return b"".join(self._parts)
