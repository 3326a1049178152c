"""The end of a failover, once the team has decided: declared, nothing deleted."""

from __future__ import annotations

from supaneon_sync.neon_client import Branch
from supaneon_sync.operations import failover_state
from supaneon_sync.operations.failover_state import Ledger
from supaneon_sync.operations.standby import Standby
from supaneon_sync.policy import failover as policy
from supaneon_sync.policy import names
from supaneon_sync.report import ledger
from supaneon_sync.report.outcome import Outcome


def end(standby: Standby, *, only_plan: bool) -> Outcome:
    """Declare every failover that is in force to be over.

    The branch's new name says so, since Neon's API can change a name and no annotation: whoever sees
    the API alone knows. Branch, compute, passwords and protection stay, so an application that still
    works there is not cut off. Where none is in force, nothing is done.
    """
    found = policy.in_force(standby.branches())
    if not found:
        return Outcome("failover", "ok", "No failover is in force: there is nothing to end.")
    shown = ", ".join(branch.name for branch in found)
    if only_plan:
        return Outcome(
            operation="failover",
            verdict="planned",
            headline=f"Nothing was changed. {shown} would be declared over; nothing would be deleted.",
            notes=(*_consequences(found[0].name), "To do it: the same command with --yes."),
        )
    standby.run.progress.step("Declare the failover over")
    over = [_end_one(standby, branch) for branch in found]
    book = Ledger(standby)
    for before, branch in zip(found, over, strict=True):
        book.record(ledger.FAILOVER, before.name, "ended", {"branch": branch.id, "name": branch.name})
    renamed = ", ".join(branch.name for branch in over)
    return Outcome(
        operation="failover",
        verdict="ok",
        headline=f"The failover is over. Its branch stands as {renamed}, with all its rows.",
        notes=(*_consequences(over[0].name), *_protected(over), *book.note),
        outputs={"branch-name": over[0].name, "branch-id": over[0].id},
        report={"ended": [branch.name for branch in over]},
    )


def _end_one(standby: Standby, branch: Branch) -> Branch:
    moment = names.failover_moment(branch.name)
    name = branch.name
    if moment is None:
        source = failover_state.parent_of(standby, branch, standby.branches())
        name = policy.final_name(branch, source.backup.moment)
    return standby.client.rename_branch(standby.project.id, branch.id, names.ended_failover(name))


def _consequences(name: str) -> tuple[str, ...]:
    return (
        "From here on backup copies the primary again. Make sure that the application writes there.",
        f"Rows written on {name} alone are nowhere else: supaneon-sync failover --diff tells which tables.",
        "If the primary was made read-only: ALTER DATABASE … RESET default_transaction_read_only; there.",
    )


def _protected(over: list[Branch]) -> tuple[str, ...]:
    return tuple(
        f"{branch.name} is still protected on Neon; lift that in the console before you delete it."
        for branch in over
        if branch.protected
    )
