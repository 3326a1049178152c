"""Which branches are backups: what their names say, held against what was written on them at their birth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from supaneon_sync.neon_client import Branch
from supaneon_sync.policy import marks, names
from supaneon_sync.policy.backups import Backup, Drill, Hold
from supaneon_sync.policy.marks import Mark
from supaneon_sync.report.ledger import LedgerRow


@dataclass(frozen=True)
class StandingBackup:
    """A backup and the branch that holds it. ``mark`` is what was written on it at its birth."""

    backup: Backup
    branch: Branch
    mark: Mark

    @property
    def name(self) -> str:
        """The branch's name."""
        return self.branch.name

    def age(self, now: datetime) -> float:
        """Return the seconds since the primary's snapshot: what is lost by switching to it now."""
        return max(0.0, (now - self.backup.moment).total_seconds())

    def judged_by(self, row: LedgerRow | None) -> StandingBackup:
        """Return the same with what its last drill says of the data, as the ledger tells it."""
        if row is None:
            return self
        verdict = Drill.FAILED if row.verdict in ("fail-data", "fail-checks") else Drill.PASSED
        return replace(self, backup=replace(self.backup, drill=verdict, drilled_at=row.at))


def standing(branches: Sequence[Branch]) -> tuple[StandingBackup, ...]:
    """Return the backups among the branches, newest first, with the failures that kept drills tell of."""
    parents = {branch.parent_id for branch in branches}
    failed = {branch.parent_id for branch in branches if _is_failed_drill(branch)}
    found = []
    for branch in branches:
        moment = names.backup_moment(branch.name)
        said = marks.read(branch.annotations)
        if moment is None or said is None or why_not(branch):
            continue
        holds = {
            Hold.CHILDREN: branch.id in parents,
            Hold.PROTECTED: branch.protected,
            Hold.DEFAULT: branch.default,
        }
        backup = Backup(
            branch.name,
            moment,
            drill=Drill.FAILED if branch.id in failed else None,
            anomaly=said.anomaly,
            holds=frozenset(hold for hold, applies in holds.items() if applies),
        )
        found.append(StandingBackup(backup, branch, said))
    return tuple(sorted(found, key=lambda one: one.backup.moment, reverse=True))


def impostors(branches: Iterable[Branch]) -> tuple[tuple[str, str], ...]:
    """Return the branches that have a backup's name and are none, each with the reason."""
    return tuple(
        (branch.name, why_not(branch))
        for branch in branches
        if names.backup_moment(branch.name) is not None and why_not(branch)
    )


def why_not(branch: Branch) -> str:
    """Return why a branch with a backup's name is not to be believed, '' where it is."""
    said = marks.read(branch.annotations)
    if said is None or said.kind != marks.BACKUP or not said.manifest:
        return "it was not made by this tool"
    if said.snapshot != names.backup_moment(branch.name):
        return "its name is not that of its snapshot: somebody renamed it"
    return ""


def _is_failed_drill(branch: Branch) -> bool:
    """Say whether a branch is a drill of ours that was kept because it failed: without an expiry."""
    ours = marks.kind_of(branch.annotations) == marks.DRILL
    return ours and names.drill_moment(branch.name) is not None and branch.expires_at is None
