"""What a run says of how the tables moved, as its report tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from supaneon_sync.report.outcome import Outcome

TOLD = True
"""Whether runs tell how tables moved, and know ``strategy`` and ``rebuild-every``."""

STATES = ("unchanged", "rows changed", "rewritten", "new")


@dataclass(frozen=True)
class Moved:
    """How one table moved: its state, the rows that were added, changed, removed, and the bytes sent."""

    state: str
    added: int | None
    changed: int | None
    removed: int | None
    bytes: int


def moved(outcome: Outcome) -> dict[str, Moved]:
    """Return each copied table's move; every copied table of the manifest has exactly one."""
    lines: list[dict[str, Any]] = list(outcome.report["moved"])  # type: ignore[call-overload]
    manifest: Mapping[str, Any] = outcome.report["manifest"]  # type: ignore[assignment]
    copied = sorted(f"{one['schema']}.{one['name']}" for one in manifest["tables"])
    assert sorted(line["table"] for line in lines) == copied
    found = {line["table"]: Moved(**{key: line[key] for key in Moved.__annotations__}) for line in lines}
    assert {one.state for one in found.values()} <= set(STATES)
    return found


def strategy(outcome: Outcome) -> str:
    """Return whether the run moved differences (``delta``) or made everything anew (``rebuild``)."""
    told: Mapping[str, str] = outcome.report["strategy"]  # type: ignore[assignment]
    assert told["why"]
    assert told["used"] in ("delta", "rebuild")
    return told["used"]
