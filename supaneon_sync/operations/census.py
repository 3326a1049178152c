"""Everything that stands in the standby project at one moment, and what each branch is to us."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from supaneon_sync.neon_client import Branch, Endpoint
from supaneon_sync.operations.standby import Standby
from supaneon_sync.operations.standing import StandingBackup
from supaneon_sync.policy import marks, names
from supaneon_sync.policy.backups import Backup, Hold
from supaneon_sync.policy.marks import Mark
from supaneon_sync.policy.settling import Leftover
from supaneon_sync.report import ledger
from supaneon_sync.report.ledger import LedgerRow

SETTLING_DOWN = timedelta(hours=1)
"""Use of a compute that soon after its branch was made is this tool's own."""
LATELY = timedelta(days=1)
"""Somebody who used a backup's compute within this may still need it."""
ENDED = "ended"
"""The verdict of a failover row that says that the traffic has left again."""


@dataclass(frozen=True)
class Census:
    """Every branch of the project, sorted: backups, leftovers, and what is never touched, with why."""

    backups: tuple[StandingBackup, ...]
    leftovers: tuple[Leftover, ...]
    untouched: tuple[tuple[Branch, str], ...]
    branches: Mapping[str, Branch]

    @property
    def known(self) -> tuple[Backup, ...]:
        """What the policy decides about."""
        return tuple(one.backup for one in self.backups)

    @property
    def size(self) -> int:
        """Bytes of all branches' data as their databases see them; what Neon bills is less."""
        return sum(branch.logical_size or 0 for branch in self.branches.values())


def take(standby: Standby, mirror: Branch, rows: tuple[LedgerRow, ...], now: datetime) -> Census:
    """List the project and say what each branch is. Raises NeonError.

    A backup is only what has the name, was marked by this tool when it was made, hangs on this very
    mirror and has lost its expiry. Whatever else has such a name is in doubt, and stays.
    """
    branches = standby.branches()
    used = _in_use(standby.client.endpoints(standby.project.id), branches, now)
    judged = standby.judged(rows, branches)
    backups = {one.branch.id: one for one in judged if not _doubt(one.branch, one.mark, mirror)}
    leftovers = {b.id: found for b in branches if (found := _leftover(b, mirror, backups)) is not None}
    parents = {b.parent_id for b in branches if b.id not in leftovers}
    serving = {b.parent_id for b in branches if _is_failover(b) and not names.is_ended_failover(b.name)}
    told = _told_by(rows)
    for key, one in backups.items():
        holds = set(one.backup.holds - {Hold.CHILDREN}) | told.get(one.name, set())
        holds |= {Hold.CHILDREN} if key in parents else set()
        holds |= {Hold.SERVING} if key in serving else set()
        holds |= {Hold.USED} if key in used else set()
        anomaly = one.backup.anomaly or _anomaly(one.name, rows)
        known = replace(one.backup, holds=frozenset(holds), complete=one.branch.ready, anomaly=anomaly)
        backups[key] = replace(one, backup=known)
    rest = [branch for branch in branches if branch.id not in backups and branch.id not in leftovers]
    return Census(
        tuple(backups.values()),
        tuple(leftovers.values()),
        tuple((branch, _why_untouched(branch, mirror)) for branch in rest),
        {branch.name: branch for branch in branches},
    )


def _doubt(branch: Branch, said: Mark | None, mirror: Branch) -> str:
    """Return why a branch with a backup's name cannot be trusted to be one, '' if it can."""
    if said is None or said.kind != marks.BACKUP or not said.manifest:
        return "not made by this tool"
    if branch.parent_id != mirror.id:
        return "not cut from this mirror"
    if said.snapshot != names.backup_moment(branch.name):
        return "its name is not that of its snapshot"
    return "it has an expiry" if branch.expires_at is not None else ""


def _leftover(branch: Branch, mirror: Branch, backups: Mapping[str, StandingBackup]) -> Leftover | None:
    if branch.default or branch.protected:
        return None
    staged = names.staging_moment(branch.name)
    if (
        staged is not None
        and marks.kind_of(branch.annotations) == marks.BACKUP
        and branch.parent_id == mirror.id
    ):
        return Leftover(branch.name, staged, "", branch.expires_at)
    parent = backups.get(branch.parent_id or "")
    if parent is None or marks.kind_of(branch.annotations) != marks.DRILL:
        return None
    if names.drill_moment(branch.name) != parent.backup.moment:
        return None
    return Leftover(branch.name, branch.created_at, parent.name, branch.expires_at)


def _is_failover(branch: Branch) -> bool:
    return (
        names.failover_moment(branch.name) is not None or marks.kind_of(branch.annotations) == marks.FAILOVER
    )


def _why_untouched(branch: Branch, mirror: Branch) -> str:
    if branch.default:
        return "the project's default branch"
    if branch.id == mirror.id:
        return "the mirror"
    if _is_failover(branch):
        return "a failover branch"
    if names.backup_moment(branch.name) is not None:
        return f"in doubt: {_doubt(branch, marks.read(branch.annotations), mirror)}"
    if names.drill_moment(branch.name) is not None or names.staging_moment(branch.name) is not None:
        return "in doubt: not known to be this tool's, or protected"
    return (
        "made by another operation of this tool"
        if marks.kind_of(branch.annotations)
        else "not made by this tool"
    )


def _in_use(endpoints: Sequence[Endpoint], branches: Sequence[Branch], now: datetime) -> set[str]:
    born = {branch.id: branch.created_at for branch in branches}
    return {
        one.branch_id
        for one in endpoints
        if one.last_active is not None
        and one.branch_id in born
        and one.last_active > born[one.branch_id] + SETTLING_DOWN
        and one.last_active > now - LATELY
    }


def pinned(rows: Sequence[LedgerRow]) -> set[str]:
    """Return the names of the backups that are pinned."""
    return {name for name, holds in _told_by(rows).items() if Hold.PINNED in holds}


def _told_by(rows: Sequence[LedgerRow]) -> dict[str, set[Hold]]:
    """Return what the ledger says holds each backup: its newest row of a kind counts."""
    holds: dict[str, set[Hold]] = {}
    for row in rows:
        there = holds.setdefault(row.subject, set())
        if row.kind == ledger.PIN:
            there.add(Hold.PINNED)
        elif row.kind == ledger.UNPIN:
            there.discard(Hold.PINNED)
        elif row.kind == ledger.FAILOVER and row.verdict != ENDED:
            there.add(Hold.SERVING)
        elif row.kind == ledger.FAILOVER:
            there.discard(Hold.SERVING)
    return holds


def _anomaly(name: str, rows: Sequence[LedgerRow]) -> str:
    """Return what the ledger says of a backup's fall, '' where it says none: its branch says the same."""
    told = [row.details.get("anomaly") for row in rows if row.kind == ledger.BACKUP and row.subject == name]
    return next((str(text) for text in told if text), "")
