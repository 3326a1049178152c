"""What was measured of one shape of database over one kind of line, and how to find and compare it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Result = dict[str, Any]
"""A line in the JSON: its shape, description, size in bytes, delay in seconds, rounds, contenders."""


def shape(result: Result) -> str:
    """Return the name of the line's shape, without the version of PostgreSQL."""
    return str(result["shape"]).partition(",")[0]


def way(result: Result) -> str:
    """Return what kind of line it was, for people."""
    return f"{result['delay'] * 1000:g} ms each way" if result["delay"] else "loopback"


def find(results: Sequence[Result], name: str, delay: float = 0.0) -> Result:
    """Return the first line of that shape and delay. Raises LookupError where none was measured."""
    for result in results:
        if shape(result) == name and result["delay"] == delay:
            return result
    raise LookupError(f"{name}, {way({'delay': delay})}: not measured yet.")


def ratio(result: Result, name: str, others: Iterable[str]) -> float:
    """Return a contender's seconds, as a part of those of the fastest of the others that are there."""
    found = result["contenders"]
    fastest = min(found[other]["seconds"] for other in others if other in found)
    return float(found[name]["seconds"] / fastest)
