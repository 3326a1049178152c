"""What is in the way of the rows that change, and how it is got out of there and put back.

Foreign keys that would act on rows, indexes of what is copied whole, checks that look further than their row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from supaneon_sync.errors import NeonError
from supaneon_sync.policy import evolution
from supaneon_sync.policy.entries import Entry
from supaneon_sync.policy.evolution import CannotEvolve, Evolution, Standing
from supaneon_sync.policy.facts import Check, Relation
from supaneon_sync.policy.plan import Plan
from supaneon_sync.postgres import (
    copying,
    deferring,
    evolving,
    quieting,
    ties,
)
from supaneon_sync.postgres.comparing import Compared, Fate, Known
from supaneon_sync.postgres.failures import refused
from supaneon_sync.postgres.session import Session

_BULK = 2048
"""Pages from which on a table that is copied whole is loaded without its indexes, which are then built."""
_TYPE = 1247
"""OID of pg_type, the catalog of domains."""
_ON_ROWS = ("INDEX", "CONSTRAINT", "FK CONSTRAINT", "TRIGGER", "RULE")
"""Kinds that make loading a table slow, or act on it."""


class CannotUpdate(Exception):
    """The mirror cannot be brought along; the text says why. It can still be made from nothing."""


@contextmanager
def refusals_are_reasons() -> Iterator[None]:
    """Run the block; what the mirror refuses in it is a reason to make it from nothing.

    Raises CannotUpdate for it; a connection that is lost, or a full project, stays what it is.
    """
    try:
        yield
    except NeonError as error:
        if not refused(error):
            raise
        raise CannotUpdate(error.message) from None


@dataclass(frozen=True)
class Stand:
    """What is known of the mirror when its rows are looked at."""

    plan: Plan
    standing: Standing
    change: Evolution
    known: Known
    acting: dict[tuple[str, str], tuple[quieting.Acting, ...]]
    ties: tuple[ties.Tie, ...]

    @property
    def tables(self) -> list[Relation]:
        """The tables that stand there already, and can be compared."""
        return [t for t in self.plan.tables if (t.schema, t.name) not in self.change.reloads]


@dataclass(frozen=True)
class Work:
    """What is to be done with the rows: of some tables those that differ, of others all, some in bulk."""

    differing: tuple[Compared, ...]
    loaded: tuple[Relation, ...]
    emptied: tuple[Relation, ...]
    change: Evolution

    @property
    def any(self) -> bool:
        """Whether any row is moved."""
        return bool(self.differing or self.loaded or self.emptied)


def plan_work(stand: Stand, compared: dict[Relation, Compared], filled: Sequence[Relation]) -> Work:
    """Return what is to be done, and what of the schema has to be out of the way of it."""
    differing = [one for one in compared.values() if one.fate is not Fate.UNCHANGED]
    parts = {need for e in stand.standing.entries if e.kind == "INDEX ATTACH" for need in e.needs}
    entries = {(e.schema, e.tag): e for e in stand.standing.entries if e.kind == "TABLE"}
    bulk = [
        one.table
        for one in differing
        if one.fate is Fate.REWRITE
        and one.table.pages >= _BULK
        and entries[one.table.schema, one.table.name].dump_id not in parts
    ]
    fresh = [t for t in stand.plan.tables if (t.schema, t.name) in stand.change.reloads]
    changed = [one.table for one in differing] + list(filled)
    whole = [one.table for one in differing if one.fate is Fate.REWRITE]
    keys = ties.in_the_way(stand.ties, changed, whole)
    gone = {entry.dump_id for entry in stand.change.drops}
    left = replace(stand.standing, entries=tuple(e for e in stand.standing.entries if e.dump_id not in gone))
    ids = {entries[table.schema, table.name].dump_id for table in bulk}
    moved = {entries[one.table.schema, one.table.name].dump_id for one in differing}
    starts = [
        entry.dump_id
        for entry in left.entries
        if entry.identity in keys
        or (entry.kind in _ON_ROWS and entry.needs & ids)
        or (entry.kind == "CHECK CONSTRAINT" and entry.needs & moved)  # one that old rows need not meet
    ]
    try:
        change = evolution.around(stand.plan, left, starts)
    except CannotEvolve as error:
        raise CannotUpdate(str(error)) from None
    return Work(
        differing=tuple(one for one in differing if one.table not in bulk),
        loaded=(*fresh, *bulk),
        emptied=tuple(filled),
        change=change,
    )


def settled(stand: Stand, work: Work, compared: dict[Relation, Compared]) -> list[Relation]:
    """Return the tables that are equal and that nothing of the schema will have to lock any more.

    What is made of a table locks its partitions and heirs too; a partition that is attached gets its share of
    the foreign keys, which locks the tables at their other ends.
    """
    made = stand.change.creates | work.change.creates
    entries = stand.plan.kept()
    tables = {entry.dump_id: entry for entry in entries if entry.kind == "TABLE"}
    involved = set().union(*(entry.needs for entry in entries if entry.dump_id in made)) & tables.keys()
    checked = {(check.schema, check.owner_name) for check in _checks(stand, work)}
    checked |= {(one.owner.schema, one.owner.tag) for one in stand.change.added_checks}
    involved |= {number for number, entry in tables.items() if (entry.schema, entry.tag) in checked}
    roots = {_root(number, tables) for number in involved}
    busy = {(e.schema, e.tag) for number, e in tables.items() if _root(number, tables) in roots}
    if stand.change.late:
        busy |= set().union(*(tie.ends for tie in stand.ties if tie.ends & busy))
    return [
        table
        for table, one in compared.items()
        if one.fate is Fate.UNCHANGED and one.proved and (table.schema, table.name) not in busy
    ]


def _root(number: int, tables: Mapping[int, Entry]) -> int:
    """Return the table at the head of a table's partitioning or inheritance, which may be itself."""
    seen: set[int] = set()
    while number not in seen:
        seen.add(number)
        number = min(tables[number].needs & tables.keys() - seen, default=number)
    return number


def _checks(stand: Stand, work: Work) -> tuple[Check, ...]:
    """Return the CHECKs that look further than their row and have to be out of the way."""
    changed = {one.table.oid for one in work.differing} | {table.oid for table in work.loaded}
    waiting = {entry.identity for entry in stand.standing.entries if entry.kind == "CHECK CONSTRAINT"}
    return tuple(
        check
        for check in stand.plan.checks
        if check.object[1] in changed
        or (check.object[0] == _TYPE and work.any)
        or deferring.entry(check, 0).identity in waiting
    )


def make_way(owner: Session, stand: Stand, work: Work) -> Plan:
    """Take away what is in the rows' way; return the plan of what is to be made when they are there."""
    checks = _checks(stand, work)
    made = stand.change.creates | work.change.creates
    with refusals_are_reasons():
        if work.change.any:
            evolving.before_rows(owner, replace(stand.plan, chosen=work.change.creates), work.change)
            if not stand.change.any:
                deferring.give_path(owner, stand.plan.routines, stand.plan.search_path)
        deferring.take_checks_away(owner, checks)
        bulk = [t for t in work.loaded if (t.schema, t.name) not in stand.change.reloads]
        if bulk or work.emptied:
            copying.forget(owner, (*bulk, *work.emptied))
    routines = stand.plan.routines if stand.change.any or work.change.any else ()
    return replace(
        stand.plan,
        chosen=made,
        checks=(*checks, *evolving.checks(stand.change)),
        routines=routines,
    )
