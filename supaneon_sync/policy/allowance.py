"""How many branches a retention policy can come to need, against what the plan of Neon allows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from supaneon_sync.policy.backups import Policy
from supaneon_sync.policy.periods import PERIODS, in_words

FREE_BRANCHES = 10
"""Branches of a project on Neon's free plan, the default branch among them (plans page, 2026-11)."""

_BESIDE = (
    ("the project's default branch", 1),
    ("the mirror", 1),
    ("a failed backup, kept as evidence", 1),
    ("the drill that failed on it, kept for diagnosis", 1),
    ("the next backup", 1),
    ("the drill of the next backup", 1),
)


@dataclass(frozen=True)
class Fit:
    """The worst case of a policy. ``branches`` is None where it has no bound that is known.

    ``parts`` adds up to ``branches``; ``fits`` says whether the allowance covers it; ``sentence``
    is for people.
    """

    branches: int | None
    parts: tuple[tuple[str, int], ...]
    fits: bool
    sentence: str


def fits(policy: Policy, allowance: int, every: timedelta | None = None) -> Fit:
    """Given a policy and the number of branches allowed, return its worst case.

    ``every`` is the time between two backups, needed for ``keep_within`` alone. The worst case holds
    for any schedule and any drills when prune runs after each backup; pins, failover branches
    and branches of others come on top.
    """
    parts = _parts(policy, every)
    if parts is None:
        within = in_words(policy.keep_within or timedelta(0))
        return Fit(None, (), False, f"keep-within {within} has no bound while the schedule is not known.")
    branches = sum(count for _, count in parts)
    need = f"In the worst case this policy needs {branches} branches, and the project may have {allowance}"
    if branches <= allowance:
        return Fit(branches, parts, True, f"{need}: it fits.")
    remedy = "keep fewer, or move to a plan with more branches"
    return Fit(branches, parts, False, f"{need}: {branches - allowance} too many; {remedy}.")


def _parts(policy: Policy, every: timedelta | None) -> tuple[tuple[str, int], ...] | None:
    newest = {"floor (minimum)": policy.minimum, "keep-last": policy.keep_last}
    if policy.keep_within is not None:
        if not every:
            return None
        newest["keep-within"] = math.ceil(policy.keep_within / every)
    # These three keep the newest ones, so the largest covers the others; each calendar rule shares
    # the newest backup with them and can add all its other periods.
    largest = max(newest, key=lambda name: newest[name])
    parts = [(largest, newest[largest])]
    for word in PERIODS:
        count = getattr(policy, f"keep_{word}")
        parts += [(f"keep-{word}, beside the newest", count - 1)] if count > 1 else []
    return (*parts, *_BESIDE)
