"""The mirror made from nothing: schema before rows, every row, indexes as soon as a table is in."""

from __future__ import annotations

from supaneon_sync.operations import ahead
from supaneon_sync.operations.loaded import Arrivals, Loaded, in_order, pages_of
from supaneon_sync.operations.source import Source
from supaneon_sync.operations.workshop import Workshop
from supaneon_sync.policy import moved
from supaneon_sync.policy.entries import Section
from supaneon_sync.policy.facts import Inventory
from supaneon_sync.policy.moved import Moved
from supaneon_sync.policy.plan import Plan
from supaneon_sync.postgres import copying, deferring, large_objects, mirror, restore, roles
from supaneon_sync.postgres.building import Builders, Builds
from supaneon_sync.postgres.copying import CopiedTable, Load
from supaneon_sync.postgres.crew import Sessions
from supaneon_sync.postgres.large_objects import Group, LargeObject
from supaneon_sync.postgres.sending import Reader
from supaneon_sync.postgres.snapshot import joined


def rebuild(workshop: Workshop, source: Source, plan: Plan, reader: Reader, builders: Builders) -> Loaded:
    """Drop the copy's database, make it anew and load every row of the snapshot.

    Raises SnapshotLost, PrimaryError, NeonError or QuotaError.
    """
    with ahead.fingerprinting(workshop, plan.tables, reader) as informed:
        note = _schema_before_rows(workshop, plan, source.inventory)
    builds = Builds(builders, plan, anew=True)
    copied = _rows(workshop, plan, informed, builds)
    objects = _large_objects(workshop, plan, source)
    builds.rest()
    return Loaded(
        plan=plan,
        tables=copied,
        moved=tuple(
            Moved(
                label=one.table.label,
                state=moved.REWRITTEN,
                counts=None,
                rows_before=None,
                rows=one.source.rows,
                bytes=one.bytes,
                pages=pages_of(source, one.table),
                why="the mirror was made from nothing",
            )
            for one in copied
        ),
        large_objects=objects,
        settled=frozenset(),
        touched=plan.tables,
        locale_note=note,
    )


def _schema_before_rows(workshop: Workshop, plan: Plan, facts: Inventory) -> str:
    held = workshop.held
    with workshop.phase("schema before rows", "Rebuild the mirror's schema"):
        held.house.forget_baseline()
        workshop.leave_mirror()
        note = mirror.make_anew(held.session, held.door.dbname, facts.locale, plan.search_path)
        with workshop.on_mirror("definitions") as owner:
            mirror.take_public(owner)
            roles.make(owner, plan.roles, held.target.owner, held.target.major)
            restore.run_entries(owner, plan.to_make(Section.PRE_DATA, Section.NONE))
            deferring.give_path(owner, plan.routines, plan.search_path)
            deferring.take_checks_away(owner, plan.checks)
    return note


def _rows(workshop: Workshop, plan: Plan, reader: Reader, builds: Builds) -> tuple[CopiedTable, ...]:
    """Copy the rows; the indexes of a table are begun as soon as its rows are in."""
    arrivals = Arrivals(workshop, builds, len(plan.tables))

    def task(sessions: Sessions, load: Load) -> tuple[CopiedTable, ...]:
        workshop.held.keeper.check()
        return arrivals.transfer(sessions, load, reader)

    def done(_: Load, copied: tuple[CopiedTable, ...]) -> None:
        arrivals.done(copied)

    crew = workshop.pairs(task, arrivals.again)
    with workshop.phase("rows", "Copy the rows"), builds.ending(crew):
        results = crew.work(copying.loads(plan.tables), done)
    return in_order(plan.tables, (one for copied in results.values() for one in copied))


def _large_objects(workshop: Workshop, plan: Plan, source: Source) -> tuple[LargeObject, ...]:
    def task(sessions: Sessions, group: Group) -> tuple[LargeObject, ...]:
        workshop.held.keeper.check()
        return large_objects.transfer(sessions[0], sessions[1], group, source.snapshot)

    if not plan.large_objects:
        return ()
    title = f"Copy {source.inventory.large_objects} large objects"
    with workshop.phase("large objects", title):
        with workshop.on_primary("large objects") as reader, joined(reader, source.snapshot):
            groups = large_objects.groups(reader)
        carried = workshop.pairs(task).work(groups)
    return tuple(one for group in groups for one in carried[group])
