"""What changed since the last backup: its tables, its rows, its schema; for people and for machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from supaneon_sync.policy.holdings import Holding
from supaneon_sync.policy.moved import Moved
from supaneon_sync.report.outcome import Table
from supaneon_sync.report.text import size_text

SHOWN = 30
"""Rows of a table for people; the report has them all."""


class State(StrEnum):
    """What became of a table since the last backup."""

    UNCHANGED = "unchanged"
    ROWS = "rows changed"
    REWRITTEN = "rewritten"
    NEW = "new"
    DROPPED = "dropped"


@dataclass(frozen=True)
class TableChange:
    """One table since the last backup. ``before`` and ``now`` are its rows, ``moved`` the bytes sent for it.

    ``added``, ``changed`` and ``removed`` count rows; None where nobody counted them, as in a table that
    was rewritten as a whole.
    """

    label: str
    state: State
    before: int | None = None
    now: int | None = None
    added: int | None = None
    changed: int | None = None
    removed: int | None = None
    moved: int = 0

    @property
    def counts(self) -> tuple[int, int, int] | None:
        """Rows added, changed, removed; None where that is not known."""
        if self.state is State.UNCHANGED:
            return (0, 0, 0)
        if self.state is State.NEW:
            return (self.now or 0, 0, 0)
        if self.state is State.DROPPED:
            return (0, 0, self.before or 0)
        if self.added is None or self.changed is None or self.removed is None:
            return None
        return (self.added, self.changed, self.removed)

    @property
    def growth(self) -> int:
        """By how many rows it is larger now."""
        return (self.now or 0) - (self.before or 0)

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to tell: unchanged, or rewritten with as many rows as before."""
        rewritten = self.state is State.REWRITTEN and self.counts is None
        return self.state is State.UNCHANGED or (rewritten and self.before == self.now)

    @property
    def weight(self) -> tuple[int, int]:
        """What the biggest movers are found by: rows, then bytes."""
        return (abs(self.growth) if self.counts is None else sum(self.counts), self.moved)


@dataclass(frozen=True)
class SchemaChange:
    """The objects that were added, changed and removed, each by kind and name."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[tuple[str, str], ...]:
        """What happened and to what, for a table."""
        return tuple((word, one) for word, names in self._lists for one in names)

    @property
    def headline(self) -> str:
        """The numbers in words."""
        told = [f"{len(names)} {word}" for word, names in self._lists if names]
        return ", ".join(told) if told else "as it was"

    @property
    def _lists(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return (("removed", self.removed), ("changed", self.changed), ("added", self.added))


@dataclass(frozen=True)
class Changes:
    """Everything since the backup ``since`` ('': none is known, then there is nothing else).

    ``schema`` is None where the definitions could not be compared.
    """

    since: str
    tables: tuple[TableChange, ...] = ()
    schema: SchemaChange | None = None

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """The two lines for the head of a summary."""
        if not self.since:
            return (("Since the last backup", "no earlier backup's numbers are known"),)
        schema = self.schema.headline if self.schema else "not compared: it was written by another version"
        return ((f"Since {self.since}", self.headline), ("Schema since then", schema))

    @property
    def headline(self) -> str:
        """What moved, in one line."""
        loud = [one for one in self.tables if not one.quiet]
        if not loud:
            rewritten = any(one.state is State.REWRITTEN for one in self.tables)
            return (
                f"{'no other number of rows' if rewritten else 'nothing changed'} in {_number(self.tables)}"
            )
        counted = [one.counts for one in loud if one.counts is not None]
        whole = [one.growth for one in loud if one.counts is None]
        told = []
        if counted:
            added, changed, removed = (sum(column) for column in zip(*counted, strict=True))
            told.append(f"+{added} rows, {changed} changed, {removed} removed")
        if whole:
            more, fewer = sum(n for n in whole if n > 0), -sum(n for n in whole if n < 0)
            told.append(f"{len(whole)} copied whole: +{more} rows, -{fewer} rows")
        return f"{len(loud)} of {_number(self.tables)} changed: {'; '.join(told)}"

    def shown(self) -> tuple[Table, ...]:
        """Return the tables for people: the biggest movers first, what is quiet in one line."""
        if not self.since:
            return ()
        schema = _objects_table(self.schema) if self.schema and self.schema.rows else ()
        return (_rows_table(self), *schema)

    def document(self) -> dict[str, object]:
        """Return the document for machines; unchanged tables are counted, not listed."""
        listed = [one for one in self.tables if one.state is not State.UNCHANGED]
        schema = self.schema
        return {
            "since": self.since,
            "tables": [_document(one) for one in sorted(listed, key=lambda one: one.label)],
            "unchanged_tables": len(self.tables) - len(listed),
            "schema": None if schema is None else {k: list(names) for k, names in vars(schema).items()},
        }


def of_moved(one: Moved) -> TableChange:
    """Return what the engine found of one table, which it compared with the mirror."""
    counts = one.counts
    return TableChange(
        label=one.label,
        state=State(one.state),
        before=one.rows_before,
        now=one.rows,
        added=None if counts is None else counts.added,
        changed=None if counts is None else counts.changed,
        removed=None if counts is None else counts.removed,
        moved=one.bytes,
    )


def of_rebuild(last: Holding | None, present: Holding, moved: Mapping[str, int]) -> Changes:
    """Return what is known of the changes where everything was copied anew: rows before and now.

    ``moved`` are the bytes that were sent for each table of ``present``.
    """
    if last is None:
        return Changes("")
    labels = sorted(last.tables.keys() | present.tables.keys())
    tables = tuple(_rebuilt(label, last, present, moved.get(label, 0)) for label in labels)
    return Changes(last.backup, tables, schema(last, present))


def _rebuilt(label: str, last: Holding, present: Holding, moved: int) -> TableChange:
    before, now = last.tables.get(label), present.tables.get(label)
    state = State.REWRITTEN if before and now else State.NEW if now else State.DROPPED
    rows_before, rows_now = (None if one is None else one.rows for one in (before, now))
    return TableChange(label, state, rows_before, rows_now, moved=moved)


def schema(last: Holding, present: Holding) -> SchemaChange | None:
    """Return which objects differ, None where other programs wrote the definitions."""
    if last.dumper != present.dumper:
        return None
    old, new = last.objects, present.objects
    return SchemaChange(
        added=tuple(sorted(new.keys() - old.keys())),
        changed=tuple(sorted(one for one in new.keys() & old.keys() if new[one] != old[one])),
        removed=tuple(sorted(old.keys() - new.keys())),
    )


def _rows_table(changes: Changes) -> Table:
    columns = ("table", "what", "rows before", "rows now", "added", "changed", "removed", "moved")
    loud = [one for one in changes.tables if not one.quiet]
    loud.sort(key=lambda one: one.label)
    loud.sort(key=lambda one: one.weight, reverse=True)
    rows = [_cells(one) for one in loud[:SHOWN]]
    lines = [_more(loud)] if len(loud) > SHOWN else []
    for state, told in ((State.UNCHANGED, "unchanged"), (State.REWRITTEN, "copied whole, as many rows")):
        quiet = [one for one in changes.tables if one.quiet and one.state is state]
        lines += [(_number(quiet), told, quiet)] if quiet else []
    rows += [_summed(*line) for line in lines]
    return Table(f"What changed since {changes.since}", columns, tuple(rows), frozenset(columns[2:]))


def _number(tables: Sequence[TableChange]) -> str:
    return f"{len(tables)} table{'' if len(tables) == 1 else 's'}"


def _more(loud: Sequence[TableChange]) -> tuple[str, str, Sequence[TableChange]]:
    return (f"and {len(loud) - SHOWN} more", "in the report", loud[SHOWN:])


def _summed(name: str, what: str, tables: Sequence[TableChange]) -> tuple[str, ...]:
    before, now = (sum(getattr(one, field) or 0 for one in tables) for field in ("before", "now"))
    return (name, what, str(before), str(now), "", "", "", size_text(sum(one.moved for one in tables)))


def _cells(one: TableChange) -> tuple[str, ...]:
    counts = ("?", "?", "?") if one.counts is None else tuple(map(str, one.counts))
    rows = ("-" if number is None else str(number) for number in (one.before, one.now))
    return (one.label, one.state.value, *rows, *counts, size_text(one.moved))


def _objects_table(change: SchemaChange) -> tuple[Table, ...]:
    rows = change.rows
    more = [("", f"and {len(rows) - SHOWN} more, in the report")] if len(rows) > SHOWN else []
    return (Table("Schema objects that changed", ("what", "object"), (*rows[:SHOWN], *more)),)


def _document(one: TableChange) -> dict[str, object]:
    added, changed, removed = one.counts or (None, None, None)
    return {
        "table": one.label,
        "state": one.state.value,
        "rows_before": one.before,
        "rows_now": one.now,
        "added": added,
        "changed": changed,
        "removed": removed,
        "bytes": one.moved,
    }


def moved_by_label(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return the bytes by table, those of partitions added up under their table's label."""
    found: dict[str, int] = {}
    for label, count in pairs:
        found[label] = found.get(label, 0) + count
    return found
