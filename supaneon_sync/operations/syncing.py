"""Making the mirror equal to one snapshot of the primary, and proving that it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from supaneon_sync.errors import PrimaryError, Refused, SnapshotLost
from supaneon_sync.operations.proving import Claim, prove
from supaneon_sync.operations.scoping import scope_of
from supaneon_sync.operations.workshop import Workshop
from supaneon_sync.policy import portability
from supaneon_sync.policy.entries import Section
from supaneon_sync.policy.facts import Inventory
from supaneon_sync.policy.plan import Plan
from supaneon_sync.postgres import (
    copying,
    deferring,
    foreign_keys,
    inventory,
    large_objects,
    mirror,
    peeking,
    restore,
    roles,
    sequences,
)
from supaneon_sync.postgres.archive import Archive
from supaneon_sync.postgres.building import Builds
from supaneon_sync.postgres.clients import Clients
from supaneon_sync.postgres.copying import CopiedTable, Load, Reader, transfer
from supaneon_sync.postgres.crew import Sessions
from supaneon_sync.postgres.fingerprint import Seed
from supaneon_sync.postgres.large_objects import Group, LargeObject
from supaneon_sync.postgres.peeking import Names
from supaneon_sync.postgres.sequences import Reading
from supaneon_sync.postgres.snapshot import Snapshot, export, joined
from supaneon_sync.postgres.violations import Violation

ATTEMPTS = 3
"""How often a run starts over when the snapshot cannot be read whole."""


@dataclass(frozen=True)
class Proved:
    """What stands on the mirror, proved equal to the snapshot."""

    snapshot: Snapshot
    seed: Seed
    inventory: Inventory
    plan: Plan
    tables: tuple[CopiedTable, ...]
    readings: tuple[Reading, ...]
    large_objects: tuple[LargeObject, ...]
    violations: tuple[Violation, ...]
    names: Names
    refused_settings: tuple[str, ...]
    notes: tuple[str, ...]
    archive_digest: str
    mirror_digest: str
    recomputed: tuple[str, ...]
    client: Clients
    seconds: dict[str, float]
    attempts: int

    @property
    def rows(self) -> int:
        """How many rows the copy holds."""
        return sum(copied.source.rows for copied in self.tables)

    @property
    def bytes(self) -> int:
        """How many bytes of rows the primary sent."""
        return sum(copied.bytes for copied in self.tables)


@dataclass(frozen=True)
class _Source:
    """The snapshot while it is held open, with what was read in it at once."""

    snapshot: Snapshot
    archive: Archive
    inventory: Inventory

    @property
    def major(self) -> int:
        """The primary's major version."""
        return int(re.split(r"\D", self.inventory.version, maxsplit=1)[0])


def make_equal(workshop: Workshop) -> Proved:
    """Rebuild the mirror from a snapshot and prove it; start over when the snapshot is lost.

    Raises DataDiffers when the proof fails, SnapshotLost when every attempt lost its snapshot.
    """
    for attempt in range(1, ATTEMPTS):
        try:
            return _attempt(workshop, attempt)
        except SnapshotLost as error:
            workshop.run.progress.warning(f"{error.message} Starting over with a new snapshot.")
    return _attempt(workshop, ATTEMPTS)


def _attempt(workshop: Workshop, attempt: int) -> Proved:
    seed = Seed.from_bytes(workshop.run.token(16))
    with workshop.builders() as builders:
        with _source(workshop) as source:
            plan = _plan(workshop, source)
            workshop.held.house.forget_manifest()
            locale_notes = _schema_before_rows(workshop, plan, source.inventory)
            builds = Builds(builders, plan)
            copied = _rows(workshop, plan, workshop.reader(source.snapshot, seed), builds)
            objects = _large_objects(workshop, plan, source)
            with workshop.on_primary("names") as reader:
                names = peeking.read(reader, source.snapshot, source.inventory)
        with workshop.phase("sequences"), workshop.on_primary("sequences") as reader:
            readings = sequences.read(reader, plan.sequences)
        with workshop.phase("indexes", "Build indexes that are left"):
            builds.rest()
            built = builders.finish()
    violations, refused = _schema_after_rows(workshop, plan, readings, built)
    claim = Claim(
        plan, seed, copied, readings, objects, violations, source.major == workshop.held.target.major
    )
    _vacuum(workshop, plan)
    workshop.hold_still(plan.tables)
    with workshop.phase("proof", "Prove the copy equal"):
        proof = prove(workshop, claim)
    return Proved(
        snapshot=source.snapshot,
        seed=seed,
        inventory=source.inventory,
        plan=plan,
        tables=proof.tables,
        readings=readings,
        large_objects=objects,
        violations=violations,
        names=names,
        refused_settings=refused,
        notes=(*plan.notes, *locale_notes, *proof.uncompared, *_compared(workshop, source.inventory)),
        archive_digest=source.archive.digest(),
        mirror_digest=proof.schema,
        recomputed=proof.recomputed,
        client=workshop.client,
        seconds=dict(workshop.seconds),
        attempts=attempt,
    )


@contextmanager
def _source(workshop: Workshop) -> Iterator[_Source]:
    """Hold a snapshot of the primary open, with its schema and inventory."""
    title = "Take a snapshot of the primary and read its schema"
    with workshop.phase("snapshot held", title), workshop.on_primary("snapshot") as holder:
        workshop.held.keeper.add(holder)
        try:
            taken = export(holder)
            with workshop.phase("schema read"):
                facts = inventory.read(holder)
                source = _Source(taken, Archive((), "", ""), facts)
                _check_fit(workshop, source)
                facts = inventory.scoped(holder, facts, scope_of(workshop.settings))
                archive = workshop.dump_primary(taken.name, facts.outside)
                source = replace(source, archive=archive, inventory=facts)
            yield source
        finally:
            workshop.held.keeper.drop(holder)


def _check_fit(workshop: Workshop, source: _Source) -> None:
    target = workshop.held.target.major
    if source.major > target:
        raise Refused(
            f"The primary runs PostgreSQL {source.major}, the standby project {target}: "
            "a copy cannot go to an older major version.",
            remedy=f"Make a Neon project of PostgreSQL {source.major} or newer and set NEON_PROJECT_ID.",
        )
    encoding = source.inventory.locale.encoding
    if encoding != "UTF8":
        raise PrimaryError(
            f"The primary's encoding is {encoding}; only UTF8 can be copied without loss.",
            remedy="Move the primary to UTF8.",
        )


def _plan(workshop: Workshop, source: _Source) -> Plan:
    plan = portability.decide(
        source.archive.entries,
        source.inventory,
        workshop.held.target,
        scope=scope_of(workshop.settings),
        include_auth_sessions=workshop.settings.include_auth_sessions,
    )
    if plan.blockers:
        raise Refused(
            f"A copy would not hold what the primary holds: {'; '.join(plan.blockers[:20])}.",
            remedy="Bring along what is needed (include-schemas, exclude-table-data), or drop what needs it."
            " An extension that Neon does not offer cannot be brought.",
            blockers=plan.blockers,
        )
    return plan


def _schema_before_rows(workshop: Workshop, plan: Plan, facts: Inventory) -> list[str]:
    held = workshop.held
    with workshop.phase("schema before rows", "Rebuild the mirror's schema"):
        note = mirror.make_anew(held.session, held.door.dbname, facts.locale, plan.search_path)
        with workshop.on_mirror("schema") as owner:
            roles.make(owner, plan.roles, held.target.owner, held.target.major)
            restore.run_entries(owner, plan.kept(Section.PRE_DATA, Section.NONE))
            deferring.give_path(owner, plan.routines, plan.search_path)
            deferring.take_checks_away(owner, plan.checks)
    return [note] if note else []


def _rows(workshop: Workshop, plan: Plan, reader: Reader, builds: Builds) -> tuple[CopiedTable, ...]:
    """Copy the rows; the indexes of a table are begun as soon as its rows are in."""
    told = workshop.counter(len(plan.tables))

    def task(sessions: Sessions, load: Load) -> tuple[CopiedTable, ...]:
        workshop.held.keeper.check()
        return transfer(sessions[0], sessions[1], load, reader)

    def again(sessions: Sessions, load: Load) -> None:
        copying.forget(sessions[1], load)

    def done(_: Load, copied: tuple[CopiedTable, ...]) -> None:
        for one in copied:
            builds.arrived(one.table)
            told(one.table.label, one.bytes)

    with workshop.phase("rows", "Copy the rows"):
        results = workshop.pairs(task, again).work(copying.loads(plan.tables), done)
    by_table = {one.table: one for copied in results.values() for one in copied}
    return tuple(by_table[table] for table in plan.tables)


def _large_objects(workshop: Workshop, plan: Plan, source: _Source) -> tuple[LargeObject, ...]:
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


def _schema_after_rows(
    workshop: Workshop, plan: Plan, readings: Sequence[Reading], built: Sequence[Violation]
) -> tuple[tuple[Violation, ...], tuple[str, ...]]:
    """Make the rest of the schema. Return what the primary's rows violate, and settings that were refused."""
    violations: list[Violation] = []
    target = workshop.held.target
    title = "Make constraints, triggers and policies"
    with workshop.phase("schema after rows", title), workshop.on_mirror("schema") as owner:
        violations += restore.finish(owner, workshop.crew("keys", foreign_keys.validate), plan, built)
        violations += restore.put_checks_back(owner, plan)
        restore.grant(owner, plan.grants)
        sequences.apply(owner, readings)
        violations += restore.refresh(owner, plan)
        deferring.take_path_back(owner, plan.routines, target.major)
        refused = roles.store_settings(owner, workshop.held.door.dbname, plan.settings)
    for violation in violations:
        entry = violation.entry
        workshop.run.progress.warning(f"{entry.kind.lower()} {entry.name}: {violation.outcome}.")
    return tuple(violations), refused


def _vacuum(workshop: Workshop, plan: Plan) -> None:
    def task(sessions: Sessions, tables: Load) -> None:
        restore.vacuum(sessions[0], tables, plan.search_path)

    with workshop.phase("vacuum", "Vacuum and analyse the copy"):
        workshop.crew("vacuum", task).work(copying.loads([*plan.tables, *plan.materialized_views]))


def _compared(workshop: Workshop, facts: Inventory) -> list[str]:
    """Return notes on what is by nature not the same on two servers, or not in order on either."""
    with workshop.on_mirror("notes") as reader:
        notes = mirror.version_differences(reader, facts)
        lagging = sequences.behind(reader)
    if lagging:
        notes.append(f"Behind their columns, as on the primary: sequences {', '.join(lagging)}.")
    return notes
