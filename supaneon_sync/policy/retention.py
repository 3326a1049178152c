"""Which backups stay and which go, with every reason, decided without touching anything.

The rules, in one breath: rules are added up, so a backup that one rule keeps stays. Calendar rules
take the newest backup of each of the last N hours, days, ISO weeks, months or years *that have
one*, in the policy's time zone, and the oldest of all while a rule still has room. `keep_within`
counts back from the newest backup and not from now, so a schedule that stopped erodes nothing.

Only **healthy** backups (complete, last drill not failed) take a place under those rules. Beside
the rules stand the promises, which no rule and no number can take back:

- the newest ``minimum`` healthy backups stay (failed ones fill up where there are not enough);
- the newest backup that passed a drill stays;
- after a failed drill or an anomaly nothing that passed a drill goes until a newer backup passes; what
  is an anomaly itself is not kept by that, whatever its drill said;
- the newest failed backup stays as evidence, other failed ones for ``keep_failed``;
- what is pinned, protected, serving, a parent, being drilled, incomplete or dated in the future stays.

Two things give way, and only where a project is full (``room``), because a project without a free
branch can neither back up nor drill, and so could never leave that state: first failed backups that
are kept for their youth alone; then, while the freeze keeps proven backups beyond what the rules
keep, unproven ones, oldest first. Neither the newest nor the minimum ever gives way.

The calendar rules follow the semantics that restic documents for ``forget``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from supaneon_sync.policy.backups import DEFAULT, Backup, Drill, Hold, Policy
from supaneon_sync.policy.periods import in_words
from supaneon_sync.policy.reasons import all_reasons, freeze_cause, give_way

__all__ = ["DEFAULT", "Backup", "Decision", "Drill", "Hold", "Item", "Plan", "Policy", "plan"]


class Decision(StrEnum):
    """What happens to one backup."""

    KEEP = "keep"
    REMOVE = "remove"
    WAIT = "wait"


@dataclass(frozen=True)
class Item:
    """One backup, what is decided about it, and all the reasons why."""

    backup: Backup
    decision: Decision
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """The decision about every backup, newest first.

    ``frozen`` says why nothing that passed a drill may go now ("" when it may). ``lacking`` is the
    number of branches by which what stays exceeds the room that was asked for.
    """

    items: tuple[Item, ...]
    frozen: str = ""
    lacking: int = 0

    @property
    def keep(self) -> tuple[Backup, ...]:
        """The backups that stay, newest first."""
        return tuple(item.backup for item in self.items if item.decision is Decision.KEEP)

    @property
    def remove(self) -> tuple[Backup, ...]:
        """The backups to remove in this run, in the order of removal: oldest first."""
        return tuple(item.backup for item in reversed(self.items) if item.decision is Decision.REMOVE)

    @property
    def wait(self) -> tuple[Backup, ...]:
        """The backups that are due to go but not in this run (`max_deletes`), oldest first."""
        return tuple(item.backup for item in reversed(self.items) if item.decision is Decision.WAIT)


def plan(backups: Iterable[Backup], policy: Policy, now: datetime, room: int | None = None) -> Plan:
    """Given what is known of the backups, decide about each under ``policy`` at ``now``.

    ``room`` is the number of branches that the project has for backups and the drills kept on them
    (`Backup.branches`); None where it is not short. The answer does not depend on the order of
    ``backups``. Raises ValueError for a moment without a time zone and a name that occurs twice.
    """
    ordered = _in_order(backups, now)
    kept = all_reasons(ordered, policy, now)
    gone = {} if room is None else give_way(ordered, kept, policy.minimum, room)
    doomed = [backup.name for backup in reversed(ordered) if backup.name in gone or not kept[backup.name]]
    now_going = set(doomed[: policy.max_deletes])
    items = []
    for backup in ordered:
        if backup.name in gone or not kept[backup.name]:
            why = gone.get(backup.name) or _why_gone(backup, policy)
            items.append(_leaving(backup, why, backup.name in now_going, policy))
        else:
            items.append(Item(backup, Decision.KEEP, tuple(text for _, text in kept[backup.name])))
    needed = sum(item.backup.branches for item in items if item.decision is Decision.KEEP)
    lacking = 0 if room is None else max(0, needed - room)
    return Plan(tuple(items), _frozen_because(ordered, policy, now), lacking)


def _leaving(backup: Backup, why: str, at_once: bool, policy: Policy) -> Item:
    if at_once:
        return Item(backup, Decision.REMOVE, (why,))
    return Item(backup, Decision.WAIT, (why, f"waits: {policy.max_deletes} removals a run, oldest first"))


def _in_order(backups: Iterable[Backup], now: datetime) -> list[Backup]:
    ordered = list(backups)
    if now.tzinfo is None or any(backup.moment.tzinfo is None for backup in ordered):
        raise ValueError("a moment needs a time zone")
    if len({backup.name for backup in ordered}) != len(ordered):
        raise ValueError("a backup's name occurs twice")
    return sorted(ordered, key=lambda backup: (backup.moment, backup.name), reverse=True)


def _why_gone(backup: Backup, policy: Policy) -> str:
    if backup.failed:
        return f"failed its drill, is not the newest that did, older than {in_words(policy.keep_failed)}"
    return "no rule keeps it"


def _frozen_because(ordered: Iterable[Backup], policy: Policy, now: datetime) -> str:
    cause = freeze_cause([backup for backup in ordered if backup.moment <= now]) if policy.freeze else None
    if cause is None:
        return ""
    what = "failed its drill" if cause.failed else f"is an anomaly ({cause.anomaly})"
    return f"{cause.name} {what}: nothing that passed a drill is removed until a newer backup passes one"
