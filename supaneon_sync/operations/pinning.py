"""Pins: a backup that the retention policy keeps until somebody takes the pin off again."""

from __future__ import annotations

from supaneon_sync.errors import ConfigError, NeonError, QuotaError
from supaneon_sync.operations.census import pinned
from supaneon_sync.operations.prune import pruning
from supaneon_sync.operations.retaining import policy_of
from supaneon_sync.operations.standby import Standby, opened
from supaneon_sync.operations.standing import StandingBackup
from supaneon_sync.report import ledger
from supaneon_sync.report.ledger import LedgerRow
from supaneon_sync.report.outcome import Outcome
from supaneon_sync.run import Run
from supaneon_sync.settings import Settings

_BY_US = "protected_by_pin"


def pin(settings: Settings, run: Run) -> Outcome:
    """Keep the named backup (or the newest healthy one) whatever the policy says.

    The pin is a row of the ledger, and Neon's own protection where the plan has one left: then the
    branch cannot be deleted by hand either. Raises Refused where there is no such backup or no
    ledger, Locked while a prune is at work.
    """
    with opened(settings, run) as standby, pruning(standby, policy_of(settings)) as work:
        one = standby.choose(settings.backup)
        protected, note = _protect(standby, one)
        work.record(LedgerRow(run.clock(), ledger.PIN, one.name, "pinned", {_BY_US: protected}))
    notes = (note,) if note else ()
    return _outcome("pin", one, f"{one.name} is pinned: prune keeps it.", notes)


def unpin(settings: Settings, run: Run) -> Outcome:
    """Take the pin off the named backup; lift Neon's protection where pinning had set it.

    Raises ConfigError where no backup is named, Refused where there is none of that name.
    """
    if settings.backup in (None, "latest"):
        raise ConfigError("unpin needs the name of a backup.", remedy="Say --backup backup-20260131T020000Z.")
    with opened(settings, run) as standby, pruning(standby, policy_of(settings)) as work:
        one = standby.choose(settings.backup)
        rows = work.ledger()
        was = one.name in pinned(rows)
        newest = next(
            (row for row in reversed(rows) if row.kind == ledger.PIN and row.subject == one.name), None
        )
        notes: tuple[str, ...] = ()
        if was and newest is not None and newest.details.get(_BY_US) and one.branch.protected:
            standby.client.set_protected(standby.project.id, one.branch.id, False)
        elif one.branch.protected:
            notes = ("Neon's protection of the branch was not set by a pin and stays.",)
        if was:
            work.record(LedgerRow(run.clock(), ledger.UNPIN, one.name, "unpinned"))
    told = f"{one.name} is no longer pinned." if was else f"{one.name} was not pinned."
    return _outcome("unpin", one, told, notes)


def _protect(standby: Standby, one: StandingBackup) -> tuple[bool, str]:
    """Return whether this pin protected the branch on Neon, and what there is to say about it."""
    if one.branch.protected:
        return False, "Neon protects the branch already."
    try:
        standby.client.set_protected(standby.project.id, one.branch.id, True)
    except (QuotaError, NeonError) as error:
        return False, f"Neon does not protect the branch as well: {error.message}"
    return True, "Neon protects the branch as well: it cannot be deleted by hand either."


def _outcome(operation: str, one: StandingBackup, headline: str, notes: tuple[str, ...]) -> Outcome:
    return Outcome(
        operation=operation,
        verdict="ok",
        headline=headline,
        facts=(("Backup", one.name), ("Branch", one.branch.id)),
        notes=notes,
        outputs={"branch-name": one.name, "branch-id": one.branch.id},
        report={"backup": one.name, "branch": one.branch.id},
    )
