"""Removing what the retention policy no longer keeps: first a plan, then each removal looked at anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from supaneon_sync.errors import Cancelled, Locked, NeonError, QuotaError, Refused, SupaneonError
from supaneon_sync.neon_client import Branch
from supaneon_sync.operations import census, failover_state, prune_report, retaining
from supaneon_sync.operations.census import Census
from supaneon_sync.operations.prune_report import Asked, Removal
from supaneon_sync.operations.standby import Standby, opened
from supaneon_sync.policy import marks, names
from supaneon_sync.policy.backups import Policy
from supaneon_sync.policy.retention import Decision
from supaneon_sync.policy.settling import RESERVE, Settlement, settle
from supaneon_sync.postgres.house import House
from supaneon_sync.postgres.snapshot import Keeper
from supaneon_sync.report import ledger
from supaneon_sync.report.ledger import LedgerRow
from supaneon_sync.report.outcome import Outcome
from supaneon_sync.run import Run
from supaneon_sync.settings import Settings

GIVE_UP_AFTER = 3
"""Removals that fail one after another before the rest is left for the next run."""


@dataclass(frozen=True)
class Look:
    """What stands at one moment, and what the policy makes of it."""

    census: Census
    settlement: Settlement


@dataclass(frozen=True)
class Unit:
    """What goes together: a backup after the drills kept on it, or one leftover alone."""

    names: tuple[str, ...]
    reason: str


def prune(settings: Settings, run: Run) -> Outcome:
    """Plan what goes under the policy, and do it when asked to.

    Raises Refused where the ledger cannot be read (it says what is pinned and what serves), and when it
    is to act while a failover is in force; Locked while another prune is at work; ConfigError for a
    policy that keeps nothing. Removals that fail are in the outcome: the others go on.
    """
    policy = retaining.policy_of(settings)
    run.progress.step("Read the ledger, look at every branch, apply the policy")
    with opened(settings, run) as standby, pruning(standby, policy) as work:
        planned = work.look()
        # In a workflow nobody has seen a plan: there, a rule must have been chosen.
        acting = settings.yes and not settings.dry_run and (run.attended or retaining.is_chosen(settings))
        if acting:
            failover_state.refuse_while_in_force(standby)
        done = work.carry_out(planned) if acting else ()
    asked = Asked(policy, acting, settings.yes and not settings.dry_run and not acting)
    return prune_report.outcome(planned.census, planned.settlement, done, asked)


@contextmanager
def pruning(standby: Standby, policy: Policy) -> Iterator[Pruning]:
    """Open the ledger and take prune's lock. Raises Refused or Locked."""
    mirror = standby.mirror()
    said = marks.read(mirror.annotations) if mirror else None
    if mirror is None or said is None or said.kind != marks.MIRROR:
        raise Refused(
            f"Project {standby.project.id} has no {names.MIRROR} that this tool made, so there is no ledger.",
            remedy="Nothing was removed. Check NEON_PROJECT_ID; a first backup makes the mirror.",
        )
    with ExitStack() as stack:
        try:
            house = stack.enter_context(standby.house(standby.mirror_doors(mirror).direct, "prune"))
        except (NeonError, QuotaError) as error:
            raise Refused(
                f"The ledger on {names.MIRROR} cannot be reached: {error.message}",
                remedy="Nothing was removed: the ledger says what is pinned and what serves. Run it again.",
            ) from error
        house.lock_pruning()
        stack.enter_context(Keeper()).add(house.session)
        yield Pruning(standby, mirror, house, policy)


class Pruning:
    """One prune at work: it has the lock, and every look it takes is a fresh one."""

    def __init__(self, standby: Standby, mirror: Branch, house: House, policy: Policy) -> None:
        self._standby = standby
        self._mirror = mirror
        self._house = house
        self._policy = policy
        self._read = 0
        self._rows: tuple[LedgerRow, ...] = ()

    def look(self, *, limit: int | None = None, policy: Policy | None = None) -> Look:
        """List everything anew and decide. Raises NeonError; Refused where the ledger is lost.

        ``limit`` is the number of branches that the project may have, asked of Neon by default.
        """
        now = self._standby.run.clock()
        rows = self.ledger()
        seen = census.take(self._standby, self._mirror, rows, now)
        allowed = limit or self._standby.project.branches_limit
        free = None
        if allowed and allowed > 0 and len(seen.branches) <= allowed:
            free = allowed - len(seen.untouched) - RESERVE
        return Look(seen, settle(seen.known, seen.leftovers, policy or self._policy, now, free))

    def ledger(self) -> tuple[LedgerRow, ...]:
        """Return the whole ledger as it stands now. Raises Refused where it cannot be read."""
        try:
            self._read, new = self._house.ledger_after(self._read)
        except NeonError as error:
            raise Refused(
                f"The ledger on {names.MIRROR} cannot be read: {error.message}",
                remedy="What is due stays until the next run.",
            ) from error
        self._rows += new
        return self._rows

    def record(self, row: LedgerRow) -> None:
        """Append a row to the ledger. Raises NeonError."""
        self._house.record(row)

    def carry_out(self, planned: Look, *, enough: int | None = None) -> tuple[Removal, ...]:
        """Remove what is due, each after a fresh look at everything; return what became of each.

        ``enough`` stops after so many branches. Raises Cancelled.
        """
        run = self._standby.run
        run.progress.step("Remove what is due")
        due = units(planned.settlement)
        total = sum(len(unit.names) for unit in due)
        done: list[Removal] = []
        failures = 0
        stopped = ""
        for unit in due:
            if enough is not None and _freed(done) >= enough:
                stopped = stopped or "no more room is needed"
            if stopped:
                done += [Removal(name, "untried", stopped) for name in unit.names]
                continue
            try:
                results = self._remove(unit)
            except Refused as error:
                stopped = error.message
                results = [Removal(name, "untried", stopped) for name in unit.names]
            failures = failures + 1 if any(one.result == "failed" for one in results) else 0
            if failures >= GIVE_UP_AFTER:
                stopped = f"{failures} removals failed one after another"
            done += results
            run.progress.advance(unit.names[-1], len(done), total)
        return tuple(done)

    def _remove(self, unit: Unit) -> list[Removal]:
        """Look at everything anew, then remove the branches of one unit if they are still due."""
        self._standby.run.stop.check()
        try:
            fresh = self.look(policy=replace(self._policy, max_deletes=None))
        except NeonError as error:
            return [Removal(name, "failed", error.message) for name in unit.names]
        objection = objections(fresh, unit)
        if objection:
            return [objection[name] for name in unit.names]
        results: list[Removal] = []
        for name in unit.names:
            if any(one.result == "failed" for one in results):
                results.append(Removal(name, "untried", "what hangs on it could not be removed"))
                continue
            results.append(self._delete(fresh.census.branches.get(name), name, unit.reason))
        return results

    def _delete(self, branch: Branch | None, name: str, reason: str) -> Removal:
        if branch is None:
            return Removal(name, "gone", "it was gone already")
        standby = self._standby
        try:
            existed = standby.client.delete_branch(standby.project.id, branch.id)
        except Cancelled:
            raise
        except SupaneonError as error:
            standby.run.stop.check()
            return Removal(name, "failed", error.message)
        result = Removal(name, "removed" if existed else "gone", reason if existed else "it was gone already")
        details = {"branch": branch.id, "reason": reason, "run": standby.run.url or ""}
        row = LedgerRow(standby.run.clock(), ledger.PRUNE, name, result.result, details)
        try:
            self.record(row)
        except NeonError as error:
            standby.run.progress.warning(
                f"{name} is gone, but the ledger could not be written: {error.message}"
            )
        return result


def _freed(done: list[Removal]) -> int:
    return sum(one.result in ("removed", "gone") for one in done)


def units(settlement: Settlement) -> tuple[Unit, ...]:
    """Return what is due, in order: loose leftovers, then backups, oldest first, each after its drills."""
    going = {backup.name for backup in settlement.backups.remove}
    swept = [row for row in settlement.leftovers if row.remove]
    loose = [Unit((row.leftover.name,), row.reason) for row in swept if row.leftover.backup not in going]
    reasons = {item.backup.name: "; ".join(item.reasons) for item in settlement.backups.items}
    bound = [
        Unit((*(row.leftover.name for row in swept if row.leftover.backup == name), name), reasons[name])
        for name in (backup.name for backup in settlement.backups.remove)
    ]
    return (*loose, *bound)


def objections(fresh: Look, unit: Unit) -> dict[str, Removal]:
    """Return, where a unit is not due any more, what becomes of each of its branches; {} where it is due."""
    items = {item.backup.name: item for item in fresh.settlement.backups.items}
    rows = {row.leftover.name: row for row in fresh.settlement.leftovers}
    why = ""
    for name in unit.names:
        item, row = items.get(name), rows.get(name)
        if item is not None and item.decision is Decision.KEEP:
            why = "; ".join(item.reasons)
        elif row is not None and not row.remove:
            why = row.reason
        elif item is None and row is None and name in fresh.census.branches:
            why = "in doubt: it has changed since it was listed"
    if not why:
        return {}
    there = fresh.census.branches
    return {
        name: Removal(name, "stays", why) if name in there else Removal(name, "gone", "it was gone already")
        for name in unit.names
    }


def make_room(standby: Standby, needed: int = 1) -> tuple[Removal, ...]:
    """In a project that is full, remove what is due anyway, oldest first, until ``needed`` branches are free.

    For a backup that met the branch limit. Never goes below the floor. Returns what became of each
    branch that was tried, () where nothing is due or another prune is at work.
    """
    try:
        with pruning(standby, retaining.policy_of(standby.settings)) as work:
            full = work.look(limit=len(standby.branches()))
            done = work.carry_out(full, enough=needed)
    except Locked:
        return ()
    return tuple(one for one in done if one.result != "untried")
