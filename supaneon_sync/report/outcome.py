"""What a verb hands back to the doors, for a terminal, a step summary and a machine to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from supaneon_sync.secret import Secret


@dataclass(frozen=True)
class Table:
    """A table for people. ``rows`` hold text, as many cells as ``columns``."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Outcome:
    """The result of one verb.

    ``headline`` is the first line for a human. ``outputs`` are step outputs that may be read by
    anybody; ``secrets`` are step outputs that must be masked before they are written. ``report`` is
    the JSON document; it holds no secret. ``failure`` is set when the verb finished its work and
    the answer is bad news (a stale backup, a failed drill): its exit code becomes the run's.
    ``script`` is text to be copied as it is (SQL); where an outcome has nothing else, a terminal shows
    it alone, fit for a pipe.
    """

    operation: str
    verdict: str
    headline: str
    facts: tuple[tuple[str, str], ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    report: Mapping[str, object] = field(default_factory=dict)
    script: str = ""
    exit_code: int = 0
    failure_kind: str = ""
