"""A place for one more branch: asked for before the work, made from what is due to go anyway."""

from __future__ import annotations

from supaneon_sync.errors import QuotaError
from supaneon_sync.neon_client import BranchRequest, CreatedBranch
from supaneon_sync.operations import prune
from supaneon_sync.operations.standby import Standby


def ensure(standby: Standby) -> None:
    """Make sure, as far as Neon tells the limit, that the project has a place for one more branch.

    Raises QuotaError that names what could be pruned, before anything was copied.
    """
    limit = standby.project.branches_limit
    if not limit or limit < 0 or len(standby.branches()) < limit:
        return
    if not _made(standby) or len(standby.branches()) >= limit:
        raise _full(standby, f"The project has {limit} branches, as many as its plan allows.")


def create(standby: Standby, request: BranchRequest) -> CreatedBranch:
    """Create a branch; at the limit make room once and try again. Raises QuotaError."""
    try:
        return standby.client.create_branch(standby.project.id, request)
    except QuotaError as error:
        if not _made(standby):
            raise _full(standby, error.message).with_evidence(error.evidence) from None
        return standby.client.create_branch(standby.project.id, request)


def _made(standby: Standby) -> bool:
    if not standby.settings.make_room:
        return False
    removed = [one for one in prune.make_room(standby) if one.result == "removed"]
    for one in removed:
        standby.run.progress.note(f"Removed {one.name} to make room: {one.why}.")
    return bool(removed)


def _full(standby: Standby, what: str) -> QuotaError:
    oldest = ", ".join(one.name for one in standby.backups()[:-4:-1]) or "none of them is a backup"
    return QuotaError(
        f"{what} No backup was published.",
        remedy=f"Remove branches that nobody needs, lower the keep-* settings (oldest backups: {oldest}),"
        " or raise the plan.",
    )
