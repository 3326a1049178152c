"""The mirror brought along from what stands there: only what differs is moved.

Schema first, in one transaction; then every table is compared, the mirror held still meanwhile; what is in
the way of the rows that change (foreign keys to them, indexes of what is copied whole) is dropped, the rows
are moved, and what was dropped is made again with everything that comes after rows. Whatever a killed run
leaves is found by the next one, which looks at what is really there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from supaneon_sync.operations import making_way as way
from supaneon_sync.operations import moving
from supaneon_sync.operations.loaded import Loaded, in_order
from supaneon_sync.operations.making_way import CannotUpdate, Stand
from supaneon_sync.operations.moving import BroughtTable
from supaneon_sync.operations.source import Source
from supaneon_sync.operations.workshop import Workshop
from supaneon_sync.policy import baseline as memory
from supaneon_sync.policy import evolution, roots
from supaneon_sync.policy.baseline import Baseline, Content
from supaneon_sync.policy.entries import Identity
from supaneon_sync.policy.evolution import CannotEvolve, Evolution, Standing
from supaneon_sync.policy.facts import Relation
from supaneon_sync.policy.moved import STIRRED, Moved
from supaneon_sync.policy.plan import Plan
from supaneon_sync.postgres import (
    comparing,
    copying,
    deferring,
    evolving,
    mirror,
    quieting,
    roles,
    statistics,
    ties,
)
from supaneon_sync.postgres import keys as key_catalog
from supaneon_sync.postgres.building import Builders, Builds
from supaneon_sync.postgres.comparing import Compared, Fate, Known
from supaneon_sync.postgres.copying import Load
from supaneon_sync.postgres.crew import Sessions
from supaneon_sync.postgres.fingerprint import (
    Tally,
    generated_columns,
    is_portable,
    method_for,
    remembered,
)
from supaneon_sync.postgres.resting import Rest
from supaneon_sync.postgres.sending import Reader
from supaneon_sync.postgres.session import Session

UNFINISHED = "An earlier run did not end; whatever it left on the mirror was put right."


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
        asked = [table for table in stand.tables if table not in stand.known.contents]
        release = workshop.hold_still(asked if workshop.can_hold(plan.tables) else [])
        with workshop.phase("comparison", "Compare every table with the mirror"):
            compared = _compare(workshop, stand, reader)
        work = way.plan_work(stand, compared, mirror.filled(owner, [table for table, _ in plan.rowless]))
        overdue = _overdue(owner, plan, compared, baseline)
        equal = way.settled(stand, work, compared) if workshop.can_hold(plan.tables) else []
        settled = [table for table in equal if table not in overdue]  # a vacuum waits for whoever holds one
        workshop.hold_still(settled)
        release()
        later = way.make_way(owner, stand, work)
        owner.close()  # it was opened when settings were stored for the database that rows must not meet
    builds = Builds(builders, later)
    taken = {one.table: (one.source, one.written) for one in compared.values() if one.source is not None}
    reader = replace(reader, known=taken)
    with workshop.phase("rows", "Move the rows that differ"):
        brought = moving.move(workshop, stand, work, reader, builds)
    objects = moving.bring_large_objects(workshop, plan, source)
    builds.rest()
    told = moving.Telling(source, stand, compared, brought)
    moved = {table: told.moved(table) for table in plan.tables}
    stirred = _stirred(moved, baseline, overdue)
    redefined = stand.change.any or work.change.any or bool(later.checks)
    return Loaded(
        plan=later,
        tables=in_order(plan.tables, told.copied()),
        moved=tuple(moved.values()),
        large_objects=objects,
        settled=frozenset(settled),
        touched=tuple(table for table in plan.tables if table not in stirred),
        stirred=stirred,
        lasting=roots.lasting(plan.roots, moved, baseline.roots, overdue),
        rests=_rests(workshop, stand, baseline, brought),
        locale_note=baseline.locale_note,
        notes=_altered(stand) if baseline.finished else (UNFINISHED,),
        carried=bool(stand.known.contents),
        schema=None if redefined or _quieted(stand, brought) else source.mirror,
        stale=redefined or work.any or not baseline.finished,
    )


def _quieted(stand: Stand, brought: Iterable[Relation]) -> bool:
    """Say whether anything that acts on writes had to be turned off and on again."""
    return any((table.schema, table.name) in stand.acting for table in brought)


def _overdue(
    owner: Session, plan: Plan, compared: Mapping[Relation, Compared], baseline: Baseline
) -> set[Relation]:
    """Return the tables that a vacuum is due for whatever becomes of them in this run, and such roots.

    A run that did not end may have left any without one; others have shrunk since rows of them were stirred.
    """
    rows = {table: one.copy_rows for table, one in compared.items()}
    whole = {root.table: sum(rows.get(leaf, 0) for leaf in root.leaves) for root in plan.roots}
    found = set() if baseline.finished else statistics.unready(owner, rows | whole)
    for table, one in compared.items():
        then = baseline.contents.get(table.label)
        if then and one.fate is Fate.UNCHANGED and then.stirred > STIRRED * rows[table]:
            found.add(table)
    return found


def _stirred(
    moved: Mapping[Relation, Moved], baseline: Baseline, overdue: Collection[Relation]
) -> dict[Relation, int]:
    """Return the tables that need no vacuum yet, with the rows that came or went since they had one."""
    found = {}
    for table, one in moved.items():
        if table in overdue or one.stirred is None:
            continue
        then = baseline.contents.get(table.label)
        stirred = one.stirred + (then.stirred if then else 0)
        if stirred <= STIRRED * one.rows:
            found[table] = stirred
    return found


def _rests(
    workshop: Workshop, stand: Stand, baseline: Baseline, brought: Mapping[Relation, BroughtTable]
) -> dict[Relation, Rest]:
    """Return what the mirror should hold still of the tables that were proved last.

    Not of those whose rows were all hashed too long ago, nor of any whose rows were replaced.
    """
    found = {}
    now = workshop.run.clock()
    oldest = now - workshop.settings.prove_every
    for table, then in stand.known.contents.items():
        took, proved = brought.get(table), remembered(then)
        kept = Tally.of(proved) if took is None else took.took.kept
        if baseline.mirror and then.place and kept and oldest < then.hashed_at <= now:
            found[table] = Rest(kept, proved.method, then.place, baseline.mirror, then.hashed_at)
    return found


def _schema_before_rows(
    workshop: Workshop, source: Source, plan: Plan, baseline: Baseline, owner: Session
) -> Stand:
    held = workshop.held
    if source.mirror is None:
        raise CannotUpdate("the mirror's schema was not read")
    roles.make(owner, plan.roles, held.target.owner, held.target.major)
    roles.forget_settings(owner, held.door.dbname, plan.roles)
    workshop.leave_mirror()
    mirror.use_path(owner, held.door.dbname, plan.search_path)
    standing = evolving.standing(owner, source.mirror)
    tied = ties.read(owner)
    idle = {tie.identity for tie in tied if not tie.enforced}
    change = _evolve(workshop, owner, plan, standing, replace(baseline, violated=baseline.violated | idle))
    if idle:
        told = (f"foreign key {schema}.{tag} was turned off" for _, schema, tag in sorted(idle))
        change = replace(change, altered=(*change.altered, *told))
    plan = evolution.in_time(plan, change)
    tables = [table for table in plan.tables if (table.schema, table.name) not in change.reloads]
    horizon = source.moment.since(baseline.horizon)
    return Stand(
        plan=plan,
        standing=standing,
        change=change,
        known=Known(
            keys=key_catalog.read(owner, tables),
            contents=_followed(source, baseline, plan, tables, standing) if horizon else {},
            horizon=horizon,
            mirror=baseline.mirror,
        ),
        acting=quieting.read(owner),
        ties=ties.read(owner) if change.any else tied,
    )


def _followed(
    source: Source, baseline: Baseline, plan: Plan, tables: Iterable[Relation], standing: Standing
) -> dict[Relation, Content]:
    """Return what was proved of the tables whose row versions can be asked.

    Only where a value means what its bytes say: what a composite or a regclass shows changes with the
    catalogs while its rows stay as old as they are; an enum whose definition is on both sides what it was
    means the same.
    """
    enums = evolution.steady_enums(plan, standing, baseline.definitions)
    found = {}
    for table in tables:
        content = baseline.contents.get(table.label)
        steady = all(
            is_portable(column) or evolution.quoted(column.type) in enums for column in table.columns
        )
        askable = (
            table.trusted and table.oid in source.moment.heaps and not generated_columns(table) and steady
        )
        now = (table.file, method_for(table).value, memory.columns(table))
        if content and askable and (content.file, content.method, content.columns) == now:
            found[table] = content
    return found


def _evolve(
    workshop: Workshop, owner: Session, plan: Plan, standing: Standing, baseline: Baseline
) -> Evolution:
    irreplaceable: set[Identity] = set()
    while True:
        try:
            with way.refusals_are_reasons():
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
        else:
            return change


def _compare(workshop: Workshop, stand: Stand, reader: Reader) -> dict[Relation, Compared]:
    tables = stand.tables
    told = workshop.counter(len(tables))

    def task(sessions: Sessions, load: Load) -> tuple[Compared, ...]:
        workshop.held.keeper.check()
        return comparing.compare((sessions[0], sessions[1]), load, reader, stand.known)

    def done(_: Load, found: tuple[Compared, ...]) -> None:
        for one in found:
            told(one.table.label, one.bytes)

    with way.refusals_are_reasons():
        results = workshop.comparers(task).work(copying.loads(tables), done)
    return {one.table: one for found in results.values() for one in found}


def _altered(stand: Stand) -> tuple[str, ...]:
    """Return notes on what of the schema something other than a backup has changed on the mirror."""
    return tuple(f"The mirror had been altered: {text}; it was put right." for text in stand.change.altered)
