"""What follows when the rows are in: the rest of the schema, sequences, statistics, and what to say of it."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from supaneon_sync.operations.loaded import Loaded
from supaneon_sync.operations.workshop import Workshop
from supaneon_sync.policy import roots
from supaneon_sync.policy.facts import Inventory, Relation
from supaneon_sync.postgres import (
    deferring,
    foreign_keys,
    mirror,
    restore,
    roles,
    sequences,
    statistics,
)
from supaneon_sync.postgres.copying import Load, loads
from supaneon_sync.postgres.crew import Sessions
from supaneon_sync.postgres.sequences import Reading
from supaneon_sync.postgres.violations import Violation

_SHOWN = 10
"""Names that a note lists."""


@dataclass(frozen=True)
class Finished:
    """What the primary's rows violate, which settings were refused, and rights that were put right.

    ``idle``: no right was changed, and no query of the application has run.
    """

    violations: tuple[Violation, ...]
    refused: tuple[str, ...]
    rights: tuple[str, ...]
    idle: bool

    @property
    def notes(self) -> tuple[str, ...]:
        """What to say of the rights."""
        more = f" and {len(self.rights) - _SHOWN} more" if len(self.rights) > _SHOWN else ""
        told = (
            f"Rights on the mirror that were set to the primary's: {', '.join(self.rights[:_SHOWN])}{more}."
        )
        return (told,) if self.rights else ()


def finish(
    workshop: Workshop,
    loaded: Loaded,
    readings: Sequence[Reading],
    built: Sequence[Violation],
    *,
    anew: bool,
) -> Finished:
    """Make the rest of the schema, and tell what came of it; ``anew``: nothing of it stands yet."""
    violations: list[Violation] = []
    rights: tuple[str, ...] = ()
    plan, target = loaded.plan, workshop.held.target
    title = "Make constraints, triggers and policies"
    with workshop.phase("schema after rows", title), workshop.on_schema() as owner:
        violations += restore.finish(owner, workshop.crew("keys", foreign_keys.validate), plan, built)
        violations += restore.put_checks_back(owner, plan)
        if anew:
            restore.grant(owner, plan.grants)
        else:
            rights = restore.regrant(owner, plan)
        sequences.apply(owner, readings)
        refreshing = anew or loaded.stale or restore.are_filled_otherwise(owner, plan)
        if refreshing:
            violations += restore.refresh(owner, plan)
        deferring.take_path_back(owner, plan.routines, target.major)
        refused = roles.store_settings(owner, workshop.held.door.dbname, plan.settings)
    for violation in violations:
        entry = violation.entry
        workshop.run.progress.warning(f"{entry.kind.lower()} {entry.name}: {violation.outcome}.")
    idle = not (rights or refreshing)
    return Finished(tuple(violations), refused, () if plan.chosen else rights, idle)


def vacuum(workshop: Workshop, loaded: Loaded, analysed: Set[Relation]) -> list[str]:
    """Vacuum and analyse what changed; return a note on each table that the server cannot analyse.

    Of what is ``analysed`` already, statistics are taken again only where more is known by now.
    """

    def task(sessions: Sessions, tables: Load) -> tuple[Relation, ...]:
        statistics.vacuum(sessions[0], [table for table in tables if table in whole])
        others = [table for table in tables if table not in whole]
        return statistics.renew(sessions[0], others, loaded.plan.search_path)

    views = loaded.plan.materialized_views if loaded.stale else ()
    with workshop.phase("vacuum", "Vacuum and analyse the copy"):
        whole = _whole(workshop, analysed)
        failed = workshop.crew("vacuum", task).work(loads([*loaded.touched, *views]))
    return [
        f"{table.label} is complete but has no statistics: ANALYZE of it fails on the copy."
        for tables in failed.values()
        for table in tables
    ]


def analyse_roots(workshop: Workshop, loaded: Loaded) -> dict[Relation, str]:
    """Analyse partitioned tables as a whole where that is due; return those that refuse, with a note on each.

    Their partitions have their own statistics by now, and are held still if so many can be.
    """
    plan = loaded.plan
    held = workshop.can_hold(plan.tables)

    def task(sessions: Sessions, tables: Load) -> tuple[Relation, ...]:
        return statistics.analyse_whole(sessions[0], tables, plan.search_path, held=held)

    due = [root for root in plan.roots if root.table.label not in loaded.lasting]
    if workshop.held.target.major < statistics.ALONE:
        due = roots.topmost(due)
    if not due:
        return {}
    with workshop.phase("partitioned tables", "Analyse partitioned tables as a whole"):
        failed = workshop.crew("statistics", task).work(loads([root.table for root in due]))
    return {
        table: f"Statistics of {table.label} as a whole could not be taken: ANALYZE of it fails on the copy."
        for tables in failed.values()
        for table in tables
    }


def _whole(workshop: Workshop, analysed: Set[Relation]) -> Set[Relation]:
    """Return the tables whose statistics were taken and lack nothing."""
    if not analysed:
        return analysed
    with workshop.on_mirror("vacuum") as reader:
        return analysed - statistics.lacking(reader, analysed)


def remarks(workshop: Workshop, facts: Inventory) -> list[str]:
    """Return notes on what is by nature not the same on two servers, or not in order on either."""
    with workshop.on_mirror("notes") as reader:
        notes = mirror.version_differences(reader, facts)
        lagging = sequences.lagging(reader)
    if lagging.behind:
        notes.append(f"Behind their columns, as on the primary: sequences {', '.join(lagging.behind)}.")
    if lagging.unseen:
        notes.append(
            "Not looked at whether they are behind their columns, since those are of large tables and have no"
            f" index: sequences {', '.join(lagging.unseen)}."
        )
    return notes
