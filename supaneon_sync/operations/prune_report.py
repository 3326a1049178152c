"""What prune tells: a table with a reason for every branch, counts, and the same for machines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from supaneon_sync.errors import NeonError
from supaneon_sync.operations import retaining
from supaneon_sync.operations.census import Census
from supaneon_sync.policy.backups import Policy
from supaneon_sync.policy.settling import Settlement
from supaneon_sync.report.outcome import Outcome, Table
from supaneon_sync.report.text import size_text


@dataclass(frozen=True)
class Removal:
    """What became of one branch that was due to go, and why.

    ``result`` is removed, gone (somebody else was quicker), stays, failed or untried.
    """

    name: str
    result: str
    why: str = ""


@dataclass(frozen=True)
class Asked:
    """What was asked for: the policy, whether to carry it out, whether only a rule lacks for that."""

    policy: Policy
    acting: bool
    lacks_a_rule: bool = False


@dataclass(frozen=True)
class _Row:
    """One branch in the table and in the plan for machines."""

    branch: str
    decision: str
    drill: str
    bytes: int | None
    reasons: tuple[str, ...]


def outcome(census: Census, settlement: Settlement, done: tuple[Removal, ...], asked: Asked) -> Outcome:
    """Return what a run of prune hands to its door."""
    rows = _rows(census, settlement, {one.name: one for one in done})
    ends = Counter(one.result for one in done)
    failed = ends["failed"] + ends["untried"]
    plan = settlement.backups
    due = len(plan.remove)
    backups = {one.name for one in census.backups}
    went = sum(one.name in backups and one.result in ("removed", "gone") for one in done)
    left = len(backups) - went
    removed = went if asked.acting else due
    document = [row.__dict__ | {"reasons": list(row.reasons)} for row in rows]
    return Outcome(
        operation="prune",
        verdict="incomplete" if failed else "ok" if asked.acting or not _any_due(settlement) else "planned",
        headline=_headline(asked, len(backups), removed, failed),
        facts=_facts(census, rows, asked, ends, left),
        tables=(
            Table("Plan", ("branch", "decision", "drill", "size", "why"), _cells(rows), frozenset(("size",))),
        ),
        notes=tuple(_notes(settlement, done, asked)),
        outputs={
            "backups": str(left),
            "kept": str(len(backups) - removed),
            "removed": str(removed),
            "plan": json.dumps(document, separators=(",", ":")),
        },
        report={
            "policy": retaining.in_words(asked.policy),
            "carried_out": asked.acting,
            "frozen": plan.frozen,
            "lacking": plan.lacking,
            "plan": document,
            "removals": [one.__dict__ for one in done],
            "branches_before": len(census.branches),
            "branches_after": len(census.branches) - ends["removed"] - ends["gone"],
        },
        exit_code=NeonError.exit_code if failed else 0,
        failure_kind=NeonError.failure_kind if failed else "",
    )


def _any_due(settlement: Settlement) -> bool:
    return bool(settlement.backups.remove) or any(row.remove for row in settlement.leftovers)


def _rows(census: Census, settlement: Settlement, done: dict[str, Removal]) -> tuple[_Row, ...]:
    def row(name: str, decision: str, drill: str, reasons: tuple[str, ...]) -> _Row:
        end = done.get(name)
        if end is not None:
            decision = end.result
            reasons = reasons if end.result == "removed" else (end.why,)
        return _Row(name, decision, drill, census.branches[name].logical_size, reasons)

    return (
        *(
            row(item.backup.name, item.decision.value, str(item.backup.drill or "never"), item.reasons)
            for item in settlement.backups.items
        ),
        *(
            row(one.leftover.name, "remove" if one.remove else "keep", "", (one.reason,))
            for one in settlement.leftovers
        ),
        *(row(branch.name, "untouched", "", (why,)) for branch, why in census.untouched),
    )


def _cells(rows: Iterable[_Row]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (row.branch, row.decision, row.drill, size_text(row.bytes), "; ".join(row.reasons)) for row in rows
    )


def _headline(asked: Asked, before: int, removed: int, failed: int) -> str:
    counted = f"{removed} of {before} backup{'' if before == 1 else 's'}"
    if failed:
        return (
            f"Removed {counted}; {failed} that should have gone {'is' if failed == 1 else 'are'} still there."
        )
    if asked.acting:
        return f"Removed {counted}; {before - removed} stay." if removed else f"All {before} backups stay."
    if not removed:
        return f"All {before} backups would stay: nothing was changed."
    return f"Would remove {counted}, {before - removed} would stay: nothing was changed."


def _facts(
    census: Census, rows: Iterable[_Row], asked: Asked, ends: Counter[str], left: int
) -> tuple[tuple[str, str], ...]:
    gone = sum(row.bytes or 0 for row in rows if row.decision in ("remove", "removed"))
    branches = len(census.branches)
    counts = f"{branches} branches, {len(census.backups)} of them backups"
    after = f"{branches - ends['removed'] - ends['gone']} branches, {left} of them backups"
    facts = [("Policy", retaining.in_words(asked.policy)), ("Before", counts)]
    facts += [("After", after)] if asked.acting else []
    told = f"{size_text(gone)} of {size_text(census.size)}; Neon bills less, as branches share what is equal"
    facts.append(("Logical size of what goes", told))
    return tuple(facts)


def _notes(settlement: Settlement, done: Iterable[Removal], asked: Asked) -> Iterable[str]:
    plan = settlement.backups
    if asked.lacks_a_rule:
        yield (
            "Nothing was removed, as no rule is set; this is what the default policy would do. "
            "To have it done, set keep-last: 3 and keep-weekly: 2, or rules of your own."
        )
    elif not asked.acting and _any_due(settlement):
        yield "This is the plan. Add --yes to carry it out."
    if plan.frozen:
        yield f"Frozen: {plan.frozen}."
    if plan.lacking:
        yield (
            f"What must stay needs {plan.lacking} more branches than the project has, the next backup and "
            "its drill counted: keep fewer, or raise the plan."
        )
    for one in done:
        if one.result not in ("removed", "gone"):
            yield f"{one.name} {_ENDS[one.result]}: {one.why.rstrip('.')}."


_ENDS = {"stays": "stays", "failed": "could not be removed", "untried": "was not tried"}
