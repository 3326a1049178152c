"""What has been written on a failover branch since it was cut: its parent, the backup, is that moment."""

from __future__ import annotations

from supaneon_sync.errors import Refused
from supaneon_sync.neon_client import Branch
from supaneon_sync.operations import failover_state
from supaneon_sync.operations.failover_making import prove
from supaneon_sync.operations.standby import Standby
from supaneon_sync.policy import failover as policy
from supaneon_sync.policy.shape import differences
from supaneon_sync.postgres import divergence
from supaneon_sync.postgres.divergence import Side, TableChange
from supaneon_sync.postgres.fingerprint import Seed
from supaneon_sync.report.outcome import Outcome, Table

_SHOWN = 20
_MOMENT = "ISOLATION LEVEL REPEATABLE READ, READ ONLY"


def diff(standby: Standby) -> Outcome:
    """Tell, table by table, how many rows the failover branch has added, changed and removed.

    The failover in force, else the one that was ended last. Both sides are read at one moment each, and
    nothing is written. Raises Refused where there never was a failover.
    """
    run = standby.run
    branches = standby.branches()
    branch = _subject(branches)
    source = failover_state.parent_of(standby, branch, branches)
    run.progress.step(f"Compare {branch.name} with {source.name}")
    old, new = standby.doors(source.branch).direct, standby.doors(branch).direct
    standby.prove_identity(source, old)
    prove(standby, source, branch, new)
    seed = Seed.from_bytes(run.token(16))
    with (
        standby.connect(old, "diff") as before,
        standby.connect(new, "diff") as after,
        run.stop.calling(before.cancel),
        run.stop.calling(after.cancel),
        before.transaction(_MOMENT),
        after.transaction(_MOMENT),
    ):
        first, second = divergence.read(before), divergence.read(after)
        labels = sorted(first.tables.keys() | second.tables.keys())
        changes = []
        for number, label in enumerate(labels, 1):
            run.stop.check()
            changes.append(divergence.compare(first, second, label, seed))
            run.progress.advance(label, number, len(labels))
    return _outcome(source.name, branch, changes, (first, second))


def _subject(branches: list[Branch]) -> Branch:
    found = (*policy.in_force(branches), *policy.ended(branches))
    if not found:
        raise Refused("There is no failover branch to compare.", remedy="See supaneon-sync list.")
    return found[0]


def _outcome(source: str, branch: Branch, changes: list[TableChange], sides: tuple[Side, Side]) -> Outcome:
    differing = [one for one in changes if one.counts is None or one.counts.any or one.note]
    counted = [one.counts for one in changes if one.counts is not None]
    added, changed, removed = (
        sum(getattr(one, name) for one in counted) for name in ("added", "changed", "removed")
    )
    schema = differences(sides[0].shape, sides[1].shape)
    moved = divergence.moved_sequences(*sides)
    return Outcome(
        operation="failover",
        verdict="ok",
        headline=f"{branch.name} against {source}: {added} rows added, {changed} changed, {removed} removed, "
        f"in {len(differing)} of {len(changes)} tables.",
        facts=(
            ("Failover branch", branch.name),
            ("Compared with", source),
            ("Tables compared", str(len(changes))),
            ("Sequences that moved", str(len(moved))),
            ("Changes of the schema", str(len(schema))),
        ),
        tables=(_table(differing),) if differing else (),
        notes=(
            *_by_rows_note(differing),
            *(f"Schema: {text}." for text in schema[:_SHOWN]),
            *([f"Schema: {len(schema) - _SHOWN} more changes."] if len(schema) > _SHOWN else []),
        ),
        outputs={
            "branch-name": branch.name,
            "branch-id": branch.id,
            "backup-name": source,
            "rows-added": str(added),
            "rows-changed": str(changed),
            "rows-removed": str(removed),
        },
        report={
            "branch": branch.name,
            "backup": source,
            "tables": [_document(one) for one in changes],
            "sequences": list(moved),
            "schema": list(schema),
        },
    )


def _table(changes: list[TableChange]) -> Table:
    rows = tuple((one.label, *_numbers(one), one.how, one.note) for one in changes)
    columns = ("table", "added", "changed", "removed", "compared by", "note")
    return Table("What differs", columns, rows, frozenset(("added", "changed", "removed")))


def _numbers(one: TableChange) -> tuple[str, str, str]:
    if one.counts is None:
        return "?", "?", "?"
    changed = "-" if one.how == "rows" else str(one.counts.changed)
    return str(one.counts.added), changed, str(one.counts.removed)


def _by_rows_note(changes: list[TableChange]) -> tuple[str, ...]:
    notes = []
    if any(one.how == "rows" for one in changes):
        notes.append("Compared by rows: without a primary key a changed row counts as removed and added.")
    if any(one.how == "whole" for one in changes):
        notes.append(
            "Compared as a whole: the table's owner could make a query run code, so its rows are compared as"
            " they are streamed, and too many of them differ to be counted so."
        )
    return tuple(notes)


def _document(one: TableChange) -> dict[str, object]:
    found: dict[str, object] = {"table": one.label, "compared_by": one.how, "note": one.note}
    if one.counts is not None:
        found |= vars(one.counts)
    return found
