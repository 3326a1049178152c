"""Rows of two tables compared as COPY sends them: for tables of which nothing else may be asked.

The lines are hashed here: first a sum for each part of either table, then, of the parts that differ,
the lines themselves. What is kept in memory is bounded; where more would have to be, nothing is counted.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from supaneon_sync.policy import divergence
from supaneon_sync.policy.divergence import Counts, Hash, Told
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres.fingerprint import Seed, copy_out, written
from supaneon_sync.postgres.session import Session

PARTS = 4096
"""Into how many parts a table's lines are divided by their keys. A power of two."""
MOST_LINES = 200_000
"""How many lines of either table are kept in memory at most."""

Compared = tuple[tuple[Session, Relation], tuple[Session, Relation]]
"""The earlier and the later state of one table, each through a session of its own."""
Answer = TypeVar("Answer")
Line = tuple[str, Hash]
"""A line's key ('' where there is none), and its hash."""
Sum = tuple[int, int, int]
"""How many lines, and the sums of their hashes' two halves."""


def both(sides: Compared, work: Callable[[Session, Relation], Answer]) -> tuple[Answer, Answer]:
    """Do the same on both sides at the same time."""
    with ThreadPoolExecutor(2) as crew:
        before, after = (crew.submit(work, session, table) for session, table in sides)
        return before.result(), after.result()


def count(sides: Compared, key: Sequence[str], seed: Seed, told: Told) -> tuple[Counts | None, str]:
    """Return how many rows differ; None, and how many rows there are, where too many lines differ to say.

    With a ``key`` (columns that COPY sends) ``told`` hears of each row; without one a changed row is one
    that went and one that came.
    """
    before, after = both(sides, lambda session, table: _sums(session, table, key, seed))
    differing = {part for part in before.keys() | after.keys() if before.get(part) != after.get(part)}
    if not differing:
        return Counts(), ""
    old, new = both(sides, lambda session, table: _lines(session, table, (key, seed), differing))
    if old is None or new is None:
        return None, f"{_rows(before)} rows before, {_rows(after)} now"
    if key:
        return divergence.by_key(sorted(old), sorted(new), told), ""
    return divergence.by_row(_counted(old), _counted(new)), ""


def _counted(lines: Sequence[Line]) -> list[tuple[Hash, int]]:
    return sorted(Counter(digest for _, digest in lines).items())


def _rows(sums: Mapping[int, Sum]) -> int:
    return sum(rows for rows, _, _ in sums.values())


def _sums(session: Session, table: Relation, key: Sequence[str], seed: Seed) -> dict[int, Sum]:
    """Return the sums of the lines' hashes, by part."""
    found: dict[int, Sum] = {}

    def take(part: int, line: Line) -> None:
        rows, first, second = found.get(part, (0, 0, 0))
        found[part] = rows + 1, first + line[1][0], second + line[1][1]

    session.copy_out(copy_out(table), _Reader(table, key, seed, take))
    return found


def _lines(
    session: Session, table: Relation, how: tuple[Sequence[str], Seed], parts: set[int]
) -> list[Line] | None:
    """Return the lines of these parts, None where there are too many."""
    found: list[Line] = []

    def take(part: int, line: Line) -> None:
        if part in parts and len(found) <= MOST_LINES:
            found.append(line)

    session.copy_out(copy_out(table), _Reader(table, *how, take))
    return None if len(found) > MOST_LINES else found


class _Reader:
    """Takes what COPY sends in text format, and gives each line's part, key and hash to ``take``."""

    def __init__(
        self, table: Relation, key: Sequence[str], seed: Seed, take: Callable[[int, Line], None]
    ) -> None:
        self._places = [written(table).index(name) for name in key]
        self._salt = seed.first.to_bytes(8, signed=True) + seed.second.to_bytes(8, signed=True)
        self._take = take
        self._rest = b""

    def write(self, chunk: bytes) -> int:
        """Take the next bytes; a line break ends a row, since COPY escapes all others."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            fields = line.split(b"\t")
            key = b",".join(fields[place] for place in self._places) if self._places else line
            part = self._digest(key)[0] & (PARTS - 1)
            self._take(part, (f"({key.decode()})" if self._places else "", self._digest(line)))
        return len(chunk)

    def _digest(self, text: bytes) -> Hash:
        whole = hashlib.blake2b(text, digest_size=16, key=self._salt).digest()
        return int.from_bytes(whole[:8]), int.from_bytes(whole[8:])
