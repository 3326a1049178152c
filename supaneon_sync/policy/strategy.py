"""Go on from what stands on the mirror, or make it from nothing?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from supaneon_sync.policy.baseline import Baseline
from supaneon_sync.policy.moved import Strategy

AUTO, DELTA, REBUILD = "auto", "delta", "rebuild"


@dataclass(frozen=True)
class Circumstances:
    """What the choice hangs on; ``filled`` says whether anything stands on the mirror."""

    now: datetime
    client: str
    locale: str
    filled: bool


def choose(asked: str, baseline: Baseline | None, rebuild_every: timedelta, here: Circumstances) -> Strategy:
    """Return how the mirror is to be made equal, and why so."""
    why = "strategy is rebuild" if asked == REBUILD else _why_not(baseline, here)
    if not why and asked == AUTO and baseline is not None and here.now - baseline.rebuilt_at >= rebuild_every:
        day = baseline.rebuilt_at.date().isoformat()
        why = f"it was last made from nothing on {day} (rebuild-every)"
    return Strategy(REBUILD, why) if why else Strategy(DELTA, "only what differs is moved")


def _why_not(baseline: Baseline | None, here: Circumstances) -> str:
    if not here.filled:
        return "it holds nothing yet"
    if baseline is None:
        return "nothing is remembered of how it was made"
    if baseline.client.split(".")[0] != here.client.split(".")[0]:
        return f"its schema was read by pg_dump {baseline.client}, now by {here.client}"
    return "" if baseline.locale == here.locale else "the primary's locale is another one"
