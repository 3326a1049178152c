"""The mirror brought along from what stands there: only what differs is moved.

Schema first, in one transaction; then every table is compared, the mirror held still meanwhile; what is in
the way of the rows that change (foreign keys to them, indexes of what is copied whole) is dropped, the rows
are moved, and what was dropped is made again with everything that comes after rows. Whatever a killed run
leaves is found by the next one, which looks at what is really there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from supaneon_sync.errors import NeonError
from supaneon_sync.operations.loaded import Arrivals, Loaded, in_order, pages_of
from supaneon_sync.operations.source import Source
from supaneon_sync.operations.workshop import Workshop
from supaneon_sync.policy import evolution, moved
from supaneon_sync.policy.baseline import Baseline, Content
from supaneon_sync.policy.entries import Entry, Identity
from supaneon_sync.policy.evolution import CannotEvolve, Evolution, Standing
from supaneon_sync.policy.facts import Check, Relation
from supaneon_sync.policy.moved import Moved
from supaneon_sync.policy.plan import Plan
from supaneon_sync.postgres import (
    comparing,
    copying,
    deferring,
    delta,
    evolving,
    large_objects,
    mirror,
    quieting,
    roles,
    ties,
)
from supaneon_sync.postgres import keys as key_catalog
from supaneon_sync.postgres.blocks import Pair
from supaneon_sync.postgres.building import Builders, Builds
from supaneon_sync.postgres.comparing import Compared, Fate, Known
from supaneon_sync.postgres.copying import CopiedTable, Load, Reader, transfer
from supaneon_sync.postgres.crew import Sessions
from supaneon_sync.postgres.failures import lost
from supaneon_sync.postgres.fingerprint import generated_columns, method_for
from supaneon_sync.postgres.large_objects import Group, LargeObject
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.snapshot import joined

_BULK = 2048
"""Pages from which on a table that is copied whole is loaded without its indexes, which are then built."""
_ON_ROWS = ("INDEX", "CONSTRAINT", "FK CONSTRAINT", "TRIGGER", "RULE")
"""Kinds that make loading a table slow, or act on it."""


class CannotUpdate(Exception):
    """The mirror cannot be brought along; the text says why. It can still be made from nothing."""


@dataclass(frozen=True)
class _Stand:
    """What is known of the mirror when its rows are looked at."""

    plan: Plan
    standing: Standing
    change: Evolution
    known: Known
    acting: dict[tuple[str, str], tuple[quieting.Acting, ...]]
    ties: tuple[ties.Tie, ...]


@dataclass(frozen=True)
class _Work:
    """What is to be done with the rows: of some tables those that differ, of others all, some in bulk."""

    differing: tuple[Compared, ...]
    loaded: tuple[Relation, ...]
    emptied: tuple[Relation, ...]
    change: Evolution

    @property
    def any(self) -> bool:
        """Whether any row is moved."""
        return bool(self.differing or self.loaded or self.emptied)


def update(
    workshop: Workshop, source: Source, plan: Plan, reader: Reader, builders: Builders, baseline: Baseline
) -> Loaded:
    """Make the mirror equal to the snapshot, moving only what differs.

    Where the baseline names a horizon that the snapshot can follow, the primary's row versions are asked
    what is new. Raises CannotUpdate where the mirror has to be made from nothing, Altered where it does not
    hold what the baseline says, and what `rebuild` raises.
    """
    with workshop.on_schema() as owner:
        with workshop.phase("schema before rows", "Bring the mirror's schema along"):
            stand = _schema_before_rows(workshop, source, plan, baseline, owner)
        asked = [table for table in _standing_tables(stand) if table not in stand.known.contents]
        release = workshop.hold_still(asked)
        with workshop.phase("comparison", "Compare every table with the mirror"):
            compared = _compare(workshop, stand, reader)
        work = _plan_work(stand, compared, mirror.filled(owner, [table for table, _ in plan.rowless]))
        settled = _settled(stand, work, compared)
        workshop.hold_still(settled)
        release()
        later = _make_way(owner, stand, work)
    builds = Builds(builders, later)
    taken = {one.table: (one.source, one.written) for one in compared.values() if one.source is not None}
    reader = replace(reader, known=taken)
    with workshop.phase("rows", "Move the rows that differ"):
        brought = _rows(workshop, stand, work, reader, builds)
    objects = _large_objects(workshop, plan, source)
    builds.rest()
    told = _Telling(source, stand, compared, brought)
    return Loaded(
        plan=later,
        tables=in_order(plan.tables, told.copied()),
        moved=tuple(told.moved(table) for table in plan.tables),
        large_objects=objects,
        settled=frozenset(settled),
        touched=tuple(table for table in plan.tables if table in brought),
        locale_note=baseline.locale_note,
        notes=_altered(stand),
        carried=bool(stand.known.contents),
        schema=None if stand.change.any or work.any or later.checks else source.mirror,
    )


def _schema_before_rows(
    workshop: Workshop, source: Source, plan: Plan, baseline: Baseline, owner: Session
) -> _Stand:
    held = workshop.held
    if source.mirror is None:
        raise CannotUpdate("the mirror's schema was not read")
    roles.make(owner, plan.roles, held.target.owner, held.target.major)
    roles.forget_settings(owner, held.door.dbname, plan.roles)
    mirror.use_path(owner, held.door.dbname, plan.search_path)
    standing = evolving.standing(owner, source.mirror)
    idle = {tie.identity for tie in ties.read(owner) if not tie.enforced}
    change = _evolve(workshop, owner, plan, standing, replace(baseline, violated=baseline.violated | idle))
    if idle:
        told = (f"foreign key {schema}.{tag} was turned off" for _, schema, tag in sorted(idle))
        change = replace(change, altered=(*change.altered, *told))
    plan = evolution.in_time(plan, change)
    tables = [table for table in plan.tables if (table.schema, table.name) not in change.reloads]
    horizon = source.moment.since(baseline.horizon)
    return _Stand(
        plan=plan,
        standing=standing,
        change=change,
        known=Known(
            keys=key_catalog.read(owner, tables),
            contents=_followed(source, baseline, tables) if horizon else {},
            horizon=horizon,
        ),
        acting=quieting.read(owner),
        ties=ties.read(owner),
    )


def _followed(source: Source, baseline: Baseline, tables: Iterable[Relation]) -> dict[Relation, Content]:
    """Return what was proved of the tables whose row versions can be asked."""
    found = {}
    for table in tables:
        content = baseline.contents.get(table.label)
        askable = table.trusted and table.oid in source.moment.heaps and not generated_columns(table)
        if content and askable and (content.file, content.method) == (table.file, method_for(table).value):
            found[table] = content
    return found


def _evolve(
    workshop: Workshop, owner: Session, plan: Plan, standing: Standing, baseline: Baseline
) -> Evolution:
    irreplaceable: set[Identity] = set()
    while True:
        try:
            change = evolution.decide(
                plan,
                standing,
                baseline.definitions,
                again=baseline.violated,
                irreplaceable=irreplaceable,
            )
            for reason in change.reasons[:20]:
                workshop.run.progress.note(f"Schema: {reason}.")
            if change.any:
                timely = evolution.in_time(plan, change)
                evolving.before_rows(owner, replace(timely, chosen=change.creates), change)
                deferring.give_path(owner, plan.routines, plan.search_path)
        except evolving.Irreplaceable as refused:
            irreplaceable.add(refused.identity)
        except CannotEvolve as error:
            raise CannotUpdate(str(error)) from None
        except NeonError as error:
            if "sqlstate" not in error.evidence or lost(error):
                raise
            raise CannotUpdate(error.message) from None
        else:
            return change


def _standing_tables(stand: _Stand) -> list[Relation]:
    return [t for t in stand.plan.tables if (t.schema, t.name) not in stand.change.reloads]


def _compare(workshop: Workshop, stand: _Stand, reader: Reader) -> dict[Relation, Compared]:
    tables = _standing_tables(stand)
    told = workshop.counter(len(tables))

    def task(sessions: Sessions, load: Load) -> tuple[Compared, ...]:
        workshop.held.keeper.check()
        return comparing.compare((sessions[0], sessions[1]), load, reader, stand.known)

    def done(_: Load, found: tuple[Compared, ...]) -> None:
        for one in found:
            told(one.table.label, one.bytes)

    results = workshop.comparers(task).work(copying.loads(tables), done)
    return {one.table: one for found in results.values() for one in found}


def _plan_work(stand: _Stand, compared: dict[Relation, Compared], filled: Sequence[Relation]) -> _Work:
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
    starts = [
        entry.dump_id
        for entry in left.entries
        if entry.identity in keys or (entry.kind in _ON_ROWS and entry.needs & ids)
    ]
    try:
        change = evolution.around(stand.plan, left, starts)
    except CannotEvolve as error:
        raise CannotUpdate(str(error)) from None
    return _Work(
        differing=tuple(one for one in differing if one.table not in bulk),
        loaded=(*fresh, *bulk),
        emptied=tuple(filled),
        change=change,
    )


def _settled(stand: _Stand, work: _Work, compared: dict[Relation, Compared]) -> list[Relation]:
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


def _checks(stand: _Stand, work: _Work) -> tuple[Check, ...]:
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


_TYPE = 1247


def _make_way(owner: Session, stand: _Stand, work: _Work) -> Plan:
    """Take away what is in the rows' way; return the plan of what is to be made when they are there."""
    checks = _checks(stand, work)
    made = stand.change.creates | work.change.creates
    try:
        if work.change.any:
            evolving.before_rows(owner, replace(stand.plan, chosen=work.change.creates), work.change)
            if not stand.change.any:
                deferring.give_path(owner, stand.plan.routines, stand.plan.search_path)
        deferring.take_checks_away(owner, checks)
        bulk = [t for t in work.loaded if (t.schema, t.name) not in stand.change.reloads]
        if bulk or work.emptied:
            copying.forget(owner, (*bulk, *work.emptied))
    except NeonError as error:
        if "sqlstate" not in error.evidence or lost(error):
            raise
        raise CannotUpdate(error.message) from None
    routines = stand.plan.routines if stand.change.any or work.change.any else ()
    return replace(
        stand.plan,
        chosen=made,
        checks=(*checks, *evolving.checks(stand.change)),
        routines=routines,
    )


@dataclass(frozen=True)
class _Brought:
    """What it took to bring one table along."""

    copied: CopiedTable
    took: delta.Brought


def _rows(
    workshop: Workshop, stand: _Stand, work: _Work, reader: Reader, builds: Builds
) -> dict[Relation, _Brought]:
    arrivals = Arrivals(workshop, builds, len(work.differing) + len(work.loaded))

    def task(sessions: Sessions, item: Load | Compared) -> tuple[_Brought, ...]:
        workshop.held.keeper.check()
        pair = (sessions[0], sessions[1])
        if isinstance(item, Compared):
            return (_bring(pair, item, stand, reader),)
        copied = transfer(*pair, item, reader)
        return tuple(_Brought(one, delta.Brought(None, one.bytes)) for one in copied)

    def again(sessions: Sessions, item: Load | Compared) -> None:
        if not isinstance(item, Compared):
            copying.forget(sessions[1], item)

    def done(_: Load | Compared, found: tuple[_Brought, ...]) -> None:
        arrivals.done((), (one.copied for one in found))

    items: list[Load | Compared] = [*copying.loads(work.loaded), *work.differing]
    try:
        results = workshop.pairs(task, again).work(items, done)
    except NeonError as error:
        if "sqlstate" not in error.evidence or lost(error):
            raise
        raise CannotUpdate(f"the mirror does not take the rows: {error.message}") from None
    return {one.copied.table: one for found in results.values() for one in found}


def _bring(pair: Pair, one: Compared, stand: _Stand, reader: Reader) -> _Brought:
    key = stand.known.keys.get(one.table)
    if one.fate is Fate.DELTA and key is not None:
        took = delta.bring(pair, one, key, reader, stand.acting)
    else:
        took = delta.rewrite(pair, one, reader, stand.acting)
    source = took.source or one.source
    if source is None:
        raise CannotUpdate(f"{one.table.label} has no fingerprint")
    return _Brought(CopiedTable(one.table, source, took.bytes + one.bytes, 0.0, one.written), took)


def _large_objects(workshop: Workshop, plan: Plan, source: Source) -> tuple[LargeObject, ...]:
    with workshop.on_mirror("large objects") as owner:
        there = large_objects.comments(owner)
        groups: tuple[Group, ...] = ()
        if plan.large_objects:
            with workshop.on_primary("large objects") as reader, joined(reader, source.snapshot):
                groups = large_objects.groups(reader)
        wanted = {oid for group in groups for oid, _ in group.objects}
        large_objects.remove(owner, there.keys() - wanted)

    def task(sessions: Sessions, group: Group) -> tuple[LargeObject, ...]:
        workshop.held.keeper.check()
        return large_objects.bring((sessions[0], sessions[1]), group, source.snapshot, there)

    if not groups:
        return ()
    with workshop.phase("large objects", f"Compare {len(wanted)} large objects"):
        carried = workshop.pairs(task).work(groups)
    return tuple(one for group in groups for one in carried[group])


@dataclass(frozen=True)
class _Telling:
    """Puts together what happened to each table."""

    source: Source
    stand: _Stand
    compared: dict[Relation, Compared]
    brought: dict[Relation, _Brought]

    def copied(self) -> Iterable[CopiedTable]:
        """Yield every table with the primary's fingerprint."""
        for table in self.stand.plan.tables:
            if table in self.brought:
                yield self.brought[table].copied
            else:
                one = self.compared[table]
                if one.source is not None:
                    yield CopiedTable(table, one.source, one.bytes, 0.0, one.written)

    def moved(self, table: Relation) -> Moved:
        """Return what happened to one table."""
        one, took = self.compared.get(table), self.brought.get(table)
        scans = 0 if one is None else one.scans
        if took is None:
            rows = 0 if one is None else one.copy_rows
            size = 0 if one is None else one.bytes
            return Moved(table.label, moved.UNCHANGED, None, rows, rows, size, self._pages(table, scans))
        state = moved.REWRITTEN if one is None or one.fate is Fate.REWRITE else moved.DELTA
        if one is None and not self._stood(table):
            state = moved.NEW
        return Moved(
            label=table.label,
            state=state,
            counts=took.took.counts,
            rows_before=None if one is None else one.copy_rows,
            rows=took.copied.source.rows,
            bytes=took.copied.bytes,
            pages=self._pages(table, scans + 1),
            why=one.why if one else "" if state == moved.NEW else "its definition changed",
        )

    def _stood(self, table: Relation) -> bool:
        tables = (entry for entry in self.stand.standing.entries if entry.kind == "TABLE")
        return any((entry.schema, entry.tag) == (table.schema, table.name) for entry in tables)

    def _pages(self, table: Relation, scans: int) -> int:
        return pages_of(self.source, table, scans)


def _altered(stand: _Stand) -> tuple[str, ...]:
    """Return notes on what of the schema something other than a backup has changed on the mirror."""
    return tuple(f"The mirror had been altered: {text}; it was put right." for text in stand.change.altered)
