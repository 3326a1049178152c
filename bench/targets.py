"""What we want the engine to cost: each limit, stated here alone, and whether it was reached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from bench import compare, markdown, second
from bench.lines import Result, find, ratio
from bench.telling import FLOOR

MANY_TABLES = 0.85
"""Of the fastest peer's time, without proof."""
_PROVED = 1.05
"""Of the fastest peer's time, with proof."""
_FLOOR = 1.25
"""Of what nobody can be under, without proof."""


@dataclass(frozen=True)
class Seen:
    """A figure, the most that it may be, and how it is shown: a label, so many decimals, a unit."""

    figure: float
    limit: float
    label: str = ""
    decimals: int = 2
    unit: str = ""

    @property
    def shown(self) -> str:
        """The figure as the page shows it."""
        return f"{self.label} {self.figure:.{self.decimals}f}{self.unit}".strip()

    @property
    def reached(self) -> bool:
        """Whether the figure, as it is shown, is within the limit."""
        return round(self.figure, self.decimals) <= self.limit


@dataclass(frozen=True)
class Target:
    """What is wanted, with a ``{}`` for each figure's limit, and what is told beside the verdict."""

    wanted: str
    seen: Sequence[Seen]
    beside: str = ""

    @property
    def row(self) -> tuple[str, str]:
        """What is wanted, and what was seen."""
        return self.wanted.format(*(f"{one.limit:g}" for one in self.seen)), "; ".join(self._told())

    def _told(self) -> Iterator[str]:
        for reached, alike in groupby(self.seen, key=lambda one: one.reached):
            yield f"{', '.join(one.shown for one in alike)}: {'reached' if reached else '**missed**'}"
        if self.beside:
            yield self.beside


def table(targets: Sequence[Target]) -> str:
    """Return the targets as a table in Markdown."""
    return markdown.table(("what we want", "seen"), (target.row for target in targets), figures=False)


def of_copies(results: Sequence[Result]) -> list[Target]:
    """Return the targets of first copies."""
    many, large = find(results, "many-tables"), find(results, "toast")
    indexes, far = find(results, "index-heavy"), find(results, "many-tables", delay=0.01)
    of_peer = "of the fastest peer"
    bare, proved = f"without proof, loopback, at most {{}} {of_peer}", f"with proof, at most {{}} {of_peer}"
    names = ("large values", "many indexes", "many tables over 10 ms", "many tables")
    floors = dict(zip(names, (large, indexes, far, many), strict=True))

    def seen(result: Result, limit: float, name: str = compare.OURS, whole: bool = False) -> list[Seen]:
        return [Seen(ratio(result, name, compare.WHOLE if whole else compare.PEERS), limit)]

    return [
        Target(f"{bare}: large values", seen(large, 0.85)),
        Target(f"{bare}: many indexes", seen(indexes, 0.92)),
        Target(f"{bare}: many tables", seen(many, MANY_TABLES)),
        Target(f"{bare} that leaves statistics too: many tables", seen(many, MANY_TABLES, whole=True)),
        Target(
            f"without proof, 10 ms each way, at most {{}} {of_peer}: many tables",
            seen(far, 0.6),
            beside=f"with proof {ratio(far, compare.OURS_PROVED, compare.PEERS):.2f}",
        ),
        Target(f"{proved}: large values", seen(large, _PROVED, compare.OURS_PROVED)),
        Target(f"{proved}: many indexes", seen(indexes, _PROVED, compare.OURS_PROVED)),
        Target(f"{proved}: many tables", seen(many, _PROVED, compare.OURS_PROVED)),
        Target(
            f"{proved} that leaves statistics too: many tables",
            seen(many, _PROVED, compare.OURS_PROVED, whole=True),
        ),
        Target(
            "without proof, at most {} of the floor",
            [Seen(ratio(one, compare.OURS, [FLOOR]), _FLOOR, label) for label, one in floors.items()],
        ),
        _footprint(results),
    ]


def _footprint(results: Sequence[Result]) -> Target:
    ours = [
        one["contenders"][name]
        for one in results
        for name in (compare.OURS, compare.OURS_PROVED, compare.OURS_BARE)
    ]
    return Target(
        "at most {} MB of memory, {} MB on disk",
        [
            Seen(max(one["memory"] for one in ours) / 1e6, 150, "memory", decimals=0, unit=" MB"),
            Seen(max(one["disk"] for one in ours) / 1e6, 50, "disk", decimals=0, unit=" MB"),
        ],
        beside=f"of databases up to {max(one['size'] for one in results) / 1e9:.0f} GB",
    )


def of_second_backups(results: Sequence[Result]) -> list[Target]:
    """Return the targets of second backups, seen with integer keys and no delay."""
    result = find(results, "integer keys")
    found = result["contenders"]
    full, spread = found[second.FULL], found["1 % updated all over"]

    def to_peer(name: str, limit: float) -> Seen:
        return Seen(ratio(result, name, compare.PEERS), limit)

    def sent(name: str, limit: float) -> Seen:
        return Seen(100 * found[name]["sent"] / full["sent"], limit, "bytes", decimals=1, unit=" %")

    return [
        Target(
            "nothing changed: at most {} of the fastest peer, {} % of the bytes of a full copy",
            [to_peer("nothing changed", 0.2), sent("nothing changed", 1)],
            beside=f"with every row hashed {ratio(result, second.HASHED_AGAIN, compare.PEERS):.2f}",
        ),
        Target("1 % appended: at most {}", [to_peer("1 % appended", 0.25)]),
        Target(
            "1 % all over, integer keys: at most {}, {} % of the bytes",
            [to_peer("1 % updated all over", 0.5), sent("1 % updated all over", 6)],
        ),
        Target(
            "WAL at most {} times the bytes of the changed rows and their index entries",
            [Seen(spread["wal"] / spread["sent"], 5, decimals=1, unit=" times the bytes sent")],
        ),
        Target(
            "never slower than {} of our own full copy",
            [Seen(found["everything updated"]["seconds"] / full["seconds"], 1.3, "everything updated")],
        ),
    ]


def of_tiny_backups(results: dict[str, Any]) -> list[Target]:
    """Return the target of backups of next to nothing."""
    return [
        Target(
            "at most {} s beyond the API's operations",
            [Seen(one["rest"], 4, f"{name} backup", unit=" s") for name, one in results.items()],
        )
    ]
