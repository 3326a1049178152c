"""How two states of one table differ, counted from two ordered streams: memory stays flat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

Hash = tuple[int, int]
Key = TypeVar("Key", str, Hash)
Value = TypeVar("Value", Hash, int)
Told = Callable[[str, str], None]
"""Who is told of each row that differs: what it is (added, changed or removed), and its key."""


@dataclass(frozen=True)
class Counts:
    """Rows that came, that have other contents, and that went, between two states."""

    added: int = 0
    changed: int = 0
    removed: int = 0

    @property
    def total(self) -> int:
        """How many rows differ."""
        return self.added + self.changed + self.removed

    @property
    def any(self) -> bool:
        """Whether the two states differ."""
        return bool(self.total)


def rows_differ(counts: Counts) -> str:
    """Return in words how a copy (the later state) differs from what it is a copy of."""
    parts = (("missing", counts.removed), ("changed", counts.changed), ("extra", counts.added))
    total = sum(count for _, count in parts)
    if not total:
        return "no row differs"
    shown = ", ".join(f"{count} {what}" for what, count in parts if count)
    return f"{total} {'row differs' if total == 1 else 'rows differ'}: {shown}"


def by_key(
    before: Iterable[tuple[str, Hash]], after: Iterable[tuple[str, Hash]], told: Told = lambda *_: None
) -> Counts:
    """Compare two streams of (key, hash of the row), both in the same order, each key once."""
    found = {"added": 0, "changed": 0, "removed": 0}
    for key, old, new in _pairs(before, after):
        if old != new:
            what = "added" if old is None else "removed" if new is None else "changed"
            found[what] += 1
            told(what, key)
    return Counts(**found)


def by_row(before: Iterable[tuple[Hash, int]], after: Iterable[tuple[Hash, int]]) -> Counts:
    """Compare two streams of (hash of a row, how often it is there), both in the same order.

    Without a key nobody can say which row became which: a changed row is one that went and one that came.
    """
    added = removed = 0
    for _, old, new in _pairs(before, after):
        added += max(0, (new or 0) - (old or 0))
        removed += max(0, (old or 0) - (new or 0))
    return Counts(added, 0, removed)


def _pairs(
    before: Iterable[tuple[Key, Value]], after: Iterable[tuple[Key, Value]]
) -> Iterator[tuple[Key, Value | None, Value | None]]:
    """Yield each key with what it has on either side, in the order of the keys."""
    olds, news = iter(before), iter(after)
    old, new = next(olds, None), next(news, None)
    while old is not None or new is not None:
        if old is not None and (new is None or old[0] < new[0]):
            yield old[0], old[1], None
            old = next(olds, None)
        elif new is not None and (old is None or new[0] < old[0]):
            yield new[0], None, new[1]
            new = next(news, None)
        elif old is not None and new is not None:
            yield old[0], old[1], new[1]
            old, new = next(olds, None), next(news, None)
