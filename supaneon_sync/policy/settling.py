"""What becomes of a whole standby project: its backups, its drills, its half-made backups.

A drill that failed stays for diagnosis until it expires, and keeps its backup from being removed.
That is only undone where the project is full: then the drill of the newest failed backup stays, and
the others give way, so that a month of failing drills cannot stop the backups.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from supaneon_sync.policy.backups import Backup, Hold, Policy
from supaneon_sync.policy.retention import Plan, plan

RESERVE = 2
"""Branches that must stay free: the next backup and its drill."""


@dataclass(frozen=True)
class Leftover:
    """A drill or a half-made backup. ``backup`` is the name of the backup that a drill hangs on.

    ``busy`` says that a run may still be working on it.
    """

    name: str
    backup: str = ""
    expires_at: datetime | None = None
    busy: bool = False


@dataclass(frozen=True)
class Swept:
    """One leftover, whether it is removed, and why."""

    leftover: Leftover
    remove: bool
    reason: str


@dataclass(frozen=True)
class Settlement:
    """The decisions about backups and leftovers. Leftovers go first: they are the children."""

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

    ``free`` is the number of branches that the project allows for backups and leftovers together,
    the reserve not included; None where there is no limit. `Hold.CHILDREN` in ``backups`` stands for
    children other than the leftovers given here.
    """
    ordered = sorted(leftovers, key=lambda leftover: leftover.name, reverse=True)
    gentle = _settle(backups, [_usual(leftover, now) for leftover in ordered], policy, now, free)
    if not gentle.backups.lacking:
        return gentle
    failed = [backup for backup in backups if backup.failed and backup.moment <= now]
    spared = max(failed, key=lambda backup: backup.moment).name if failed else ""
    pressed = [_pressed(row, spared) for row in gentle.leftovers]
    return _settle(backups, pressed, policy, now, free)


def _pressed(row: Swept, spared: str) -> Swept:
    drill = row.leftover
    if row.remove or drill.busy or drill.expires_at is None or drill.backup == spared:
        return row
    return Swept(drill, True, "gives way in a full project: not the drill of the newest failure")


def _settle(
    backups: Iterable[Backup], rows: Sequence[Swept], policy: Policy, now: datetime, free: int | None
) -> Settlement:
    staying = [row.leftover for row in rows if not row.remove]
    parents = {leftover.backup for leftover in staying}
    known = [
        dataclasses.replace(backup, holds=backup.holds | {Hold.CHILDREN})
        if backup.name in parents
        else backup
        for backup in backups
    ]
    room = None if free is None else max(0, free - len(staying))
    return Settlement(plan(known, policy, now, room), tuple(rows))


def _usual(leftover: Leftover, now: datetime) -> Swept:
    if leftover.busy:
        return Swept(leftover, False, "a run may still be working on it")
    if not leftover.backup:
        return Swept(leftover, True, "half-made: its run ended early")
    if leftover.expires_at is None:
        return Swept(leftover, False, "in doubt: a drill without an expiry, so somebody keeps it")
    if leftover.expires_at > now:
        return Swept(leftover, False, f"kept for diagnosis until {leftover.expires_at:%Y-%m-%d %H:%M} UTC")
    return Swept(leftover, True, "a drill that has expired")
