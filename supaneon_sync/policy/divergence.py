"""How two states of one table differ, counted from two ordered streams: memory stays flat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

Hash = tuple[int, int]
Key = TypeVar("Key", str, Hash)
Value = TypeVar("Value", Hash, int)


@dataclass(frozen=True)
class Counts:
    """Rows that came, that have other contents, and that went, between two states."""

    added: int = 0
    changed: int = 0
    removed: int = 0

    @property
    def any(self) -> bool:
        """Whether the two states differ."""
        return bool(self.added or self.changed or self.removed)


def by_key(before: Iterable[tuple[str, Hash]], after: Iterable[tuple[str, Hash]]) -> Counts:
    """Compare two streams of (key, hash of the row), both in the same order, each key once."""
    added = changed = removed = 0
    for old, new in _pairs(before, after):
        if old is None:
            added += 1
        elif new is None:
            removed += 1
        elif old != new:
            changed += 1
    return Counts(added, changed, removed)


def by_row(before: Iterable[tuple[Hash, int]], after: Iterable[tuple[Hash, int]]) -> Counts:
    """Compare two streams of (hash of a row, how often it is there), both in the same order.

    Without a key nobody can say which row became which: a changed row is one that went and one that came.
    """
    added = removed = 0
    for old, new in _pairs(before, after):
        added += max(0, (new or 0) - (old or 0))
        removed += max(0, (old or 0) - (new or 0))
    return Counts(added, 0, removed)


def _pairs(
    before: Iterable[tuple[Key, Value]], after: Iterable[tuple[Key, Value]]
) -> Iterator[tuple[Value | None, Value | None]]:
    """Yield what each key has on either side, in the order of the keys."""
    olds, news = iter(before), iter(after)
    old, new = next(olds, None), next(news, None)
    while old is not None and new is not None:
        if old[0] < new[0]:
            yield old[1], None
            old = next(olds, None)
        elif new[0] < old[0]:
            yield None, new[1]
            new = next(news, None)
        else:
            yield old[1], new[1]
            old, new = next(olds, None), next(news, None)
    while old is not None:
        yield old[1], None
        old = next(olds, None)
    while new is not None:
        yield None, new[1]
        new = next(news, None)
