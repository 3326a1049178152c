"""Making the mirror equal to one snapshot of the primary, and proving that it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from supaneon_sync.errors import PrimaryError, Refused, SnapshotLost
from supaneon_sync.operations.proving import Claim, prove
from supaneon_sync.operations.workshop import Workshop
from supaneon_sync.policy import portability
from supaneon_sync.policy.entries import Entry, Section
from supaneon_sync.policy.facts import Inventory, Relation
from supaneon_sync.policy.portability import Plan
from supaneon_sync.postgres import inventory, mirror, restore, sequences
from supaneon_sync.postgres.archive import Archive
from supaneon_sync.postgres.clients import Clients
from supaneon_sync.postgres.copying import CopiedTable, Reader, transfer
from supaneon_sync.postgres.crew import Sessions
from supaneon_sync.postgres.fingerprint import Seed
from supaneon_sync.postgres.restore import Violation
from supaneon_sync.postgres.sequences import Reading
from supaneon_sync.postgres.snapshot import Snapshot, export

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
    violations: tuple[Violation, ...]
    notes: tuple[str, ...]
    archive_digest: str
    mirror_digest: str
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
    with _source(workshop) as source:
        plan = _plan(workshop, source)
        workshop.held.house.forget_manifest()
        locale_note = _schema_before_rows(workshop, plan, source.inventory)
        copied = _rows(workshop, plan, source.snapshot, seed)
    with workshop.phase("sequences"), workshop.on_primary("sequences") as reader:
        readings = sequences.read(reader, plan.sequences)
    violations = _schema_after_rows(workshop, plan, readings)
    claim = Claim(plan, seed, copied, readings, violations, source.major == workshop.held.target.major)
    with workshop.phase("proof", "Prove the copy equal"):
        mirror_digest = prove(workshop, claim)
    _vacuum(workshop, plan)
    return Proved(
        snapshot=source.snapshot,
        seed=seed,
        inventory=source.inventory,
        plan=plan,
        tables=copied,
        readings=readings,
        violations=violations,
        notes=(*plan.notes, *([locale_note] if locale_note else []), *_lagging(workshop)),
        archive_digest=source.archive.digest(),
        mirror_digest=mirror_digest,
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
                source = replace(source, archive=workshop.dump_primary(taken.name))
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
        include_auth_sessions=workshop.settings.include_auth_sessions,
    )
    if plan.blockers:
        raise Refused(
            "The target lacks extensions that rows depend on: " + "; ".join(plan.blockers[:10]) + ".",
            remedy="A copy without them would be none. Ask Neon for them, or drop what needs them.",
        )
    return plan


def _schema_before_rows(workshop: Workshop, plan: Plan, facts: Inventory) -> str:
    held = workshop.held
    with workshop.phase("schema before rows", "Rebuild the mirror's schema"):
        note = mirror.make_anew(held.session, held.door.dbname, facts.locale)
        with workshop.on_mirror("schema") as owner:
            restore.make_roles(owner, plan.roles, held.target.owner, held.target.major)
            restore.run_entries(owner, plan.kept(Section.PRE_DATA, Section.NONE))
            restore.set_logged(owner, plan.unlogged)
    return note


def _rows(workshop: Workshop, plan: Plan, snapshot: Snapshot, seed: Seed) -> tuple[CopiedTable, ...]:
    reader = Reader(snapshot, seed, workshop.settings.lock_wait)
    told = workshop.counter(len(plan.tables))

    def task(sessions: Sessions, table: Relation) -> CopiedTable:
        workshop.held.keeper.check()
        return transfer(sessions[0], sessions[1], table, reader)

    def done(table: Relation, copied: CopiedTable) -> None:
        told(table.label, copied.bytes)

    biggest_first = sorted(plan.tables, key=lambda table: -table.pages)
    with workshop.phase("rows", f"Copy the rows of {len(plan.tables)} tables"):
        results = workshop.pairs(task).work(biggest_first, done)
    return tuple(results[table] for table in plan.tables)


def _schema_after_rows(workshop: Workshop, plan: Plan, readings: Sequence[Reading]) -> tuple[Violation, ...]:
    def task(sessions: Sessions, group: tuple[Entry, ...]) -> tuple[Violation, ...]:
        return restore.build(sessions[0], group)

    title = "Build indexes, constraints, triggers and policies"
    with workshop.phase("schema after rows", title), workshop.on_mirror("schema") as owner:
        violations = restore.finish(owner, workshop.crew("indexes", task), plan)
        restore.grant(owner, plan.grants)
        sequences.apply(owner, readings)
        restore.refresh(owner, plan.materialized_views)
    for violation in violations:
        entry = violation.entry
        workshop.run.progress.warning(f"{entry.kind.lower()} {entry.name}: {violation.outcome}.")
    return violations


def _vacuum(workshop: Workshop, plan: Plan) -> None:
    def task(sessions: Sessions, table: Relation) -> None:
        restore.vacuum(sessions[0], table)

    with workshop.phase("vacuum", "Vacuum and analyse the copy"):
        workshop.crew("vacuum", task).work([*plan.tables, *plan.materialized_views])


def _lagging(workshop: Workshop) -> list[str]:
    """Return a note where a sequence would give out a number that is taken, as on the primary."""
    with workshop.on_mirror("sequences") as reader:
        lagging = sequences.behind(reader)
    return [f"Behind their columns, as on the primary: sequences {', '.join(lagging)}."] if lagging else []
