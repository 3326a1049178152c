"""What becomes of a whole standby project: its backups, its drills, its half-made backups.

A drill that failed is kept without an expiry. It stands and falls with its backup: while that is
evidence, both stay; when that goes, the drill goes first, being its child. So a failed backup never
stands without the drill that tells so, and a month of failing drills does not fill the project.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from supaneon_sync.policy.backups import Backup, Hold, Policy
from supaneon_sync.policy.periods import in_words
from supaneon_sync.policy.retention import Plan, plan

RESERVE = 2
"""Branches that must stay free: the next backup and its drill."""

ABANDONED = timedelta(days=1)
"""No run lasts this long: a half-made backup of this age belongs to none."""


@dataclass(frozen=True)
class Leftover:
    """A drill, or a half-made backup (``backup`` is "").

    ``backup`` is the name of the backup that a drill was cut from, ``at`` the time of the drill or of
    the half-made backup's snapshot. ``expires_at`` is None on a drill that was kept for diagnosis.
    """

    name: str
    at: datetime
    backup: str = ""
    expires_at: datetime | None = None


@dataclass(frozen=True)
class Swept:
    """One leftover, whether it is removed, and why."""

    leftover: Leftover
    remove: bool
    reason: str


@dataclass(frozen=True)
class Settlement:
    """The decisions about backups and leftovers. Leftovers go first: drills are children."""

    backups: Plan
    leftovers: tuple[Swept, ...]


def settle(
    backups: Sequence[Backup],
    leftovers: Iterable[Leftover],
    policy: Policy,
    now: datetime,
    free: int | None = None,
) -> Settlement:
    """Given a project's backups and leftovers, decide about each.

    ``free`` is the number of branches that the project has for backups and leftovers together, the
    reserve not included; None where there is no limit. `Hold.CHILDREN` in ``backups`` stands for
    children other than these leftovers.
    """
    ordered = sorted(leftovers, key=lambda leftover: leftover.name, reverse=True)
    failed = {backup.name for backup in backups if backup.failed}
    bound = [leftover for leftover in ordered if leftover.backup in failed and leftover.expires_at is None]
    loose = [_loose(leftover, policy, now) for leftover in ordered if leftover not in bound]
    staying = [row.leftover for row in loose if not row.remove]
    known = [_with_children(backup, bound, staying) for backup in backups]
    decided = plan(known, policy, now, None if free is None else max(0, free - len(staying)))
    gone = {backup.name for backup in decided.remove}
    rows = [*loose, *(_bound(leftover, leftover.backup in gone) for leftover in bound)]
    return Settlement(decided, tuple(sorted(rows, key=lambda row: row.leftover.name, reverse=True)))


def _with_children(backup: Backup, bound: Iterable[Leftover], staying: Iterable[Leftover]) -> Backup:
    kept = sum(leftover.backup == backup.name for leftover in bound)
    others = {
        Hold.CHILDREN if leftover.expires_at is None else Hold.DRILLING
        for leftover in staying
        if leftover.backup == backup.name
    }
    return dataclasses.replace(backup, holds=backup.holds | others, branches=1 + kept)


def _bound(leftover: Leftover, backup_goes: bool) -> Swept:
    if backup_goes:
        return Swept(leftover, True, f"goes with {leftover.backup}")
    return Swept(leftover, False, f"kept for diagnosis, as long as {leftover.backup} stays")


def _loose(leftover: Leftover, policy: Policy, now: datetime) -> Swept:
    """Decide about what hangs on no failed backup: half-made, running, killed and outdated ones."""
    if leftover.expires_at is not None and leftover.expires_at <= now:
        return Swept(leftover, True, "expired")
    if not leftover.backup:
        if now - leftover.at >= ABANDONED:
            return Swept(leftover, True, "half-made, and its run ended long ago")
        return Swept(leftover, False, "half-made: a run may still be working on it")
    if leftover.expires_at is not None:
        return Swept(
            leftover, False, f"a drill may still be running; expires {leftover.expires_at:%Y-%m-%d %H:%M} UTC"
        )
    if now - leftover.at < policy.keep_failed:
        return Swept(leftover, False, f"kept for diagnosis, younger than {in_words(policy.keep_failed)}")
    return Swept(leftover, True, f"its backup has passed since; older than {in_words(policy.keep_failed)}")
