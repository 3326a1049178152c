"""The nouns of retention: a backup and what is known of it, and the policy that says what to keep."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum

DAY = timedelta(days=1)


class Drill(StrEnum):
    """What the last drill of a backup said about its data."""

    PASSED = "passed"
    FAILED = "failed"


class Hold(StrEnum):
    """A state of a branch that forbids its removal. The value is the reason that people read."""

    PINNED = "pinned"
    SERVING = "takes the application's traffic"
    USED = "its compute was in use in the last day"
    CHILDREN = "has child branches"
    PROTECTED = "protected on Neon"
    DEFAULT = "the project's default branch"
    DRILLING = "being drilled now"
    DOUBT = "in doubt"


@dataclass(frozen=True)
class Backup:
    """What is known of one backup. ``moment`` is the primary's snapshot time.

    ``drill`` is the verdict of the last drill that reached one, ``drilled_at`` its time; ``anomaly``
    says how far it fell behind the backup before it, '' where that was normal; ``branches`` is the
    number of branches that stand and fall with it: itself, and the drills kept on it.
    """

    name: str
    moment: datetime
    complete: bool = True
    drill: Drill | None = None
    drilled_at: datetime | None = None
    anomaly: str = ""
    holds: frozenset[Hold] = frozenset()
    branches: int = 1

    @property
    def healthy(self) -> bool:
        """Complete, and its last drill, if any, did not fail."""
        return self.complete and self.drill is not Drill.FAILED

    @property
    def failed(self) -> bool:
        """Complete, and its last drill failed."""
        return self.complete and self.drill is Drill.FAILED

    @property
    def passed(self) -> bool:
        """Complete, and its last drill passed."""
        return self.complete and self.drill is Drill.PASSED


@dataclass(frozen=True)
class Policy:
    """How much to keep. A count of 0 or a duration of None switches a rule off.

    ``minimum`` is the floor of the newest healthy backups, ``max_deletes`` the most backups that one
    run removes (None: no limit), ``zone`` the time zone of the calendar. Raises ValueError that
    begins with the setting's name for values that are negative, contradictory, or keep nothing.
    """

    keep_last: int = 0
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    keep_within: timedelta | None = None
    keep_failed: timedelta = 3 * DAY
    minimum: int = 3
    max_deletes: int | None = 100
    freeze: bool = True
    zone: tzinfo = field(default=UTC)

    def __post_init__(self) -> None:
        for name in _COUNTS:
            if getattr(self, name) < 0:
                raise ValueError(f"{_row(name)} cannot be negative")
        if self.keep_within is not None and self.keep_within <= timedelta(0):
            raise ValueError("keep-within must be longer than nothing")
        if self.keep_failed < timedelta(0):
            raise ValueError("keep-failed cannot be negative")
        if self.minimum < 1:
            raise ValueError("minimum must be at least 1: the last good copy is never removed")
        if self.max_deletes is not None and self.max_deletes < 1:
            raise ValueError("max-deletes must be at least 1; to change nothing, use dry-run")
        if self.keep_within is None and not any(getattr(self, name) for name in _COUNTS):
            rules = ", ".join(_row(name) for name in (*_COUNTS, "keep_within"))
            raise ValueError(f"keep-last: a policy without any rule keeps nothing; give one of {rules}")


def _row(field_name: str) -> str:
    return field_name.replace("_", "-")


_COUNTS = ("keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly")

DEFAULT = Policy(keep_last=3, keep_weekly=2)
"""The policy of whoever sets none: it never needs more than the ten branches of Neon's free plan.

Four backups: the last three, and the newest of the week before. The other six of the ten are the
project's default branch, the mirror, a failed backup kept as evidence, the drill that failed on it,
the next backup, and the drill of that (`policy.allowance` does this sum for any policy).
"""
