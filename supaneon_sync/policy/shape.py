"""The shape of a database: what stands in its catalogs beside the rows, and how two shapes differ.

Both sides of a comparison are read by the same queries on servers of the same major version, so equal
objects have equal facts. Definitions are told by digest: a manifest must not carry what people write
into functions and triggers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Facts = Mapping[str, object]
Objects = Mapping[str, Facts]


@dataclass(frozen=True)
class Shape:
    """Facts by kind of object (``index``, ``policy``, …) and name. JSON as it is."""

    kinds: Mapping[str, Objects]

    def only(self, kinds: Iterable[str]) -> Shape:
        """Return the shape with these kinds alone."""
        return Shape({kind: self.kinds.get(kind, {}) for kind in kinds})

    def count(self, kind: str) -> int:
        """Return how many objects of a kind there are."""
        return len(self.kinds.get(kind, {}))


def differences(recorded: Shape, found: Shape) -> tuple[str, ...]:
    """Return a sentence for each object that is missing, too many, or not as it was recorded."""
    told: list[str] = []
    for kind in sorted(recorded.kinds.keys() | found.kinds.keys()):
        before, now = recorded.kinds.get(kind, {}), found.kinds.get(kind, {})
        for name in sorted(before.keys() | now.keys()):
            if name not in now:
                told.append(f"{kind} {name} is missing")
            elif name not in before:
                told.append(f"{kind} {name} is there and was not recorded")
            else:
                told += [f"{kind} {name}: {change}" for change in _changes(before[name], now[name])]
    return tuple(told)


def _changes(before: Facts, now: Facts) -> list[str]:
    return [
        "is defined differently"
        if fact == "definition"
        else f"{fact} is {_written(now.get(fact))}, recorded {_written(before.get(fact))}"
        for fact in sorted(before.keys() | now.keys())
        if before.get(fact) != now.get(fact)
    ]


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "nothing" if value in (None, "") else f"{value}"
