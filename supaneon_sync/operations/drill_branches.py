"""The branches of drills: cut from a backup with an expiry from birth, swept, kept as evidence, removed."""

from __future__ import annotations

from datetime import timedelta

from supaneon_sync import __version__
from supaneon_sync.errors import NeonError, SupaneonError
from supaneon_sync.neon_client import Branch, BranchRequest
from supaneon_sync.operations.drill_areas import PURPOSE
from supaneon_sync.operations.standby import Standby
from supaneon_sync.operations.standing import StandingBackup
from supaneon_sync.policy import marks, names
from supaneon_sync.policy.marks import Mark
from supaneon_sync.postgres import drilling

LIFE = timedelta(hours=24)
"""A drill's branch that nobody removes expires by itself after this."""
_YOUNG = timedelta(minutes=1)
"""A branch that is younger may belong to a drill that has not opened its first session yet."""


def cut(standby: Standby, backup: StandingBackup) -> Branch:
    """Make the drill's branch with a compute of its own. Raises NeonError or QuotaError."""
    run = standby.run
    now = run.clock()
    said = Mark(marks.DRILL, __version__, backup.mark.manifest, backup.backup.moment, run.url or "")
    request = BranchRequest(
        name=names.drill(backup.backup.moment, now),
        parent_id=backup.branch.id,
        expires_at=now + LIFE,
        annotations=said.pairs(),
        with_endpoint=True,
    )
    return standby.client.create_branch(standby.project.id, request).branch


def of_drills(standby: Standby) -> list[Branch]:
    """Return the branches that drills of this tool made, whatever became of the drills."""
    found = []
    for branch in standby.branches():
        said = marks.read(branch.annotations)
        if names.drill_moment(branch.name) and said is not None and said.kind == marks.DRILL:
            found.append(branch)
    return found


def sweep(standby: Standby) -> list[str]:
    """Remove what killed drills left, and return a sentence about each branch that was found.

    A branch without an expiry is kept evidence and stays. One on which a session of a drill is at work
    belongs to another run and stays too.
    """
    told = []
    for branch in of_drills(standby):
        if branch.expires_at is None or branch.protected:
            continue
        try:
            if _at_work(standby, branch):
                told.append(f"{branch.name} was left alone: another drill may be at work on it.")
                continue
            standby.client.delete_branch(standby.project.id, branch.id)
        except NeonError as error:
            told.append(f"{branch.name}, left behind by another drill, could not be removed: {error.message}")
            continue
        told.append(f"Removed {branch.name}, left behind by a drill that did not end.")
    return told


def _at_work(standby: Standby, branch: Branch) -> bool:
    if standby.run.clock() - branch.created_at < _YOUNG:
        return True
    with standby.connect(standby.doors(branch).direct, "sweep") as session:
        return drilling.others_at_work(session, PURPOSE)


def remove(standby: Standby, branch: Branch) -> str:
    """Remove a drill's branch; return what stood in the way, '' if nothing."""
    try:
        standby.client.delete_branch(standby.project.id, branch.id)
    except NeonError as error:
        return f"{branch.name} could not be removed, and expires by itself: {error.message}"
    return ""


def keep(standby: Standby, backup: StandingBackup, branch: Branch) -> list[str]:
    """Keep a failed drill as evidence: without an expiry, and as the only one of its backup.

    A drill's branch without an expiry is how everybody sees, from Neon's API alone, that the backup is
    not healthy. Returns a sentence for whatever did not work.
    """
    told = []
    try:
        standby.client.set_expiry(standby.project.id, branch.id, None)
    except NeonError as error:
        told.append(f"The expiry of {branch.name} could not be taken off: {error.message}")
    for other in _kept(standby, backup):
        if other.id != branch.id:
            told += filter(None, [remove(standby, other)])
    return told


def release(standby: Standby, backup: StandingBackup) -> list[str]:
    """Let earlier failed drills of a backup that passed now expire, so that they no longer condemn it."""
    told = []
    for branch in _kept(standby, backup):
        try:
            standby.client.set_expiry(standby.project.id, branch.id, standby.run.clock() + LIFE)
        except SupaneonError as error:
            told.append(f"{branch.name}, an earlier drill, still condemns the backup: {error.message}")
            continue
        told.append(f"{branch.name}, an earlier drill that failed, no longer counts and expires in a day.")
    return told


def _kept(standby: Standby, backup: StandingBackup) -> list[Branch]:
    return [
        branch
        for branch in of_drills(standby)
        if branch.parent_id == backup.branch.id and branch.expires_at is None
    ]
