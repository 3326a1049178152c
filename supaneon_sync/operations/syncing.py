"""Making the mirror equal to one snapshot of the primary, and proving that it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from supaneon_sync.errors import DataDiffers, PrimaryError, Refused, SnapshotLost
from supaneon_sync.operations.mirroring import HeldMirror
from supaneon_sync.operations.standby import Standby
from supaneon_sync.policy import compare, portability
from supaneon_sync.policy.entries import Entry, Section
from supaneon_sync.policy.facts import Inventory, Relation
from supaneon_sync.policy.portability import Plan
from supaneon_sync.postgres import fingerprint, inventory, mirror, restore, sequences, session
from supaneon_sync.postgres.archive import Archive
from supaneon_sync.postgres.clients import Clients
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.copying import CopiedTable, Reader, transfer
from supaneon_sync.postgres.crew import Crew, Item, Result, Sessions
from supaneon_sync.postgres.dumping import dump_schema
from supaneon_sync.postgres.failures import Side
from supaneon_sync.postgres.fingerprint import Fingerprint, Seed
from supaneon_sync.postgres.restore import Violation
from supaneon_sync.postgres.sequences import Reading
from supaneon_sync.postgres.session import Session
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


class Sync:
    """One run's work between the primary and the mirror it holds."""

    def __init__(self, standby: Standby, primary: Conninfo, held: HeldMirror, client: Clients) -> None:
        self._settings = standby.settings
        self._run = standby.run
        self._standby = standby
        self._primary = primary
        self._held = held
        self._client = client
        self._seconds: dict[str, float] = {}

    def make_equal(self) -> Proved:
        """Rebuild the mirror from a snapshot and prove it; start over when the snapshot is lost.

        Raises DataDiffers when the proof fails, SnapshotLost when every attempt lost its snapshot.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._attempt(attempt)
            except SnapshotLost as error:
                if attempt == ATTEMPTS:
                    raise
                self._run.progress.warning(f"{error.message} Starting over with a new snapshot.")
        raise AssertionError("unreachable")

    def _attempt(self, attempt: int) -> Proved:
        seed = Seed.from_bytes(self._run.token(16))
        with self._source() as source:
            plan = self._plan(source)
            self._held.house.forget_manifest()
            locale_note = self._schema_before_rows(plan, source.inventory)
            copied = self._rows(plan, source.snapshot, seed)
            with self._timed("sequences"), self._on_primary("sequences") as reader:
                readings = sequences.read(reader, plan.sequences)
        violations = self._schema_after_rows(plan, readings)
        mirror_digest = self._prove(source, plan, copied, readings, violations, seed)
        self._vacuum(plan)
        return Proved(
            snapshot=source.snapshot,
            seed=seed,
            inventory=source.inventory,
            plan=plan,
            tables=copied,
            readings=readings,
            violations=violations,
            notes=plan.notes + ((locale_note,) if locale_note else ()),
            archive_digest=source.archive.digest(),
            mirror_digest=mirror_digest,
            client=self._client,
            seconds=dict(self._seconds),
            attempts=attempt,
        )

    @contextmanager
    def _source(self) -> Iterator[_Source]:
        """Hold a snapshot of the primary open, with its schema and inventory."""
        self._run.progress.step("Take a snapshot of the primary and read its schema")
        with self._on_primary("snapshot") as holder, self._timed("snapshot held"):
            self._held.keeper.add(holder)
            try:
                taken = export(holder)
                with self._timed("schema read"):
                    facts = inventory.read(holder)
                    self._check_fit(facts)
                    schema = dump_schema(
                        self._primary,
                        Side.PRIMARY,
                        self._client,
                        stop=self._run.stop,
                        snapshot=taken.name,
                        lock_wait=self._settings.lock_wait,
                    )
                yield _Source(taken, schema, facts)
            finally:
                self._held.keeper.drop(holder)

    def _on_primary(self, purpose: str) -> Session:
        return session.connect(
            self._primary,
            Side.PRIMARY,
            purpose=purpose,
            stop=self._run.stop,
            show_row_values=self._settings.show_row_values,
        )

    def _on_mirror(self, purpose: str) -> Session:
        return self._standby.connect(self._held.door, purpose)

    def _check_fit(self, facts: Inventory) -> None:
        source = int(facts.version.split(".")[0].split("beta")[0].split("rc")[0])
        if source > self._held.target.major:
            raise Refused(
                f"The primary runs PostgreSQL {source}, the standby project {self._held.target.major}: "
                "a copy cannot go to an older major version.",
                remedy=f"Make a Neon project of PostgreSQL {source} or newer and set NEON_PROJECT_ID.",
            )
        if facts.locale.encoding != "UTF8":
            raise PrimaryError(
                f"The primary's encoding is {facts.locale.encoding}; only UTF8 can be copied without loss.",
                remedy="Move the primary to UTF8.",
            )

    def _plan(self, source: _Source) -> Plan:
        plan = portability.decide(
            source.archive.entries,
            source.inventory,
            self._held.target,
            include_auth_sessions=self._settings.include_auth_sessions,
        )
        if plan.blockers:
            raise Refused(
                "The target lacks extensions that rows depend on: " + "; ".join(plan.blockers[:10]) + ".",
                remedy="A copy without them would be none. Ask Neon for them, or drop what needs them.",
            )
        return plan

    def _schema_before_rows(self, plan: Plan, facts: Inventory) -> str:
        self._run.progress.step("Rebuild the mirror's schema")
        with self._timed("schema before rows"):
            note = mirror.make_anew(self._held.session, self._held.door.dbname, facts.locale)
            with self._on_mirror("schema") as owner:
                restore.prepare(owner)
                restore.make_roles(owner, plan.roles, self._held.target.owner, self._held.target.major)
                restore.run_entries(owner, plan.kept(Section.PRE_DATA, Section.NONE))
                restore.set_logged(owner, plan.unlogged)
        return note

    def _rows(self, plan: Plan, snapshot: Snapshot, seed: Seed) -> tuple[CopiedTable, ...]:
        self._run.progress.step(f"Copy the rows of {len(plan.tables)} tables")
        reader = Reader(snapshot, seed, self._settings.lock_wait)

        def task(sessions: Sessions, table: Relation) -> CopiedTable:
            self._held.keeper.check()
            return transfer(sessions[0], sessions[1], table, reader)

        crew = Crew(self._settings.jobs, self._pair, task, self._run.stop)
        volume = 0
        count = 0

        def done(table: Relation, copied: CopiedTable) -> None:
            nonlocal volume, count
            volume, count = volume + copied.bytes, count + 1
            self._run.progress.advance(table.label, count, len(plan.tables), volume)

        with self._timed("rows"):
            biggest_first = sorted(plan.tables, key=lambda table: -table.pages)
            results = crew.work(biggest_first, done)
        return tuple(results[table] for table in plan.tables)

    @contextmanager
    def _pair(self) -> Iterator[Sessions]:
        with ExitStack() as stack:
            source = stack.enter_context(self._on_primary("rows"))
            target = stack.enter_context(self._on_mirror("rows"))
            target.execute(f"SET search_path = {restore.APPLICATION_PATH}")
            yield source, target

    @contextmanager
    def _single(self, purpose: str) -> Iterator[Sessions]:
        with self._on_mirror(purpose) as opened:
            restore.prepare(opened)
            yield (opened,)

    def _crew(self, purpose: str, task: Callable[[Sessions, Item], Result]) -> Crew[Item, Result]:
        return Crew(self._settings.jobs, partial(self._single, purpose), task, self._run.stop)

    def _schema_after_rows(self, plan: Plan, readings: Sequence[Reading]) -> tuple[Violation, ...]:
        self._run.progress.step("Build indexes, constraints, triggers and policies")

        def task(sessions: Sessions, group: tuple[Entry, ...]) -> tuple[Violation, ...]:
            return restore.build(sessions[0], group)

        crew = self._crew("indexes", task)
        with self._timed("schema after rows"), self._on_mirror("schema") as owner:
            restore.prepare(owner)
            violations = restore.finish(owner, crew, plan)
            restore.grant(owner, plan.grants)
            sequences.apply(owner, readings)
            restore.refresh(owner, plan.materialized_views)
        for violation in violations:
            self._run.progress.warning(
                f"{violation.entry.kind.lower()} {violation.entry.name}: {violation.outcome}."
            )
        return violations

    def _vacuum(self, plan: Plan) -> None:
        self._run.progress.step("Vacuum and analyse the copy")

        def task(sessions: Sessions, table: Relation) -> None:
            restore.vacuum(sessions[0], table)

        with self._timed("vacuum"):
            self._crew("vacuum", task).work([*plan.tables, *plan.materialized_views])

    def _prove(
        self,
        source: _Source,
        plan: Plan,
        copied: Sequence[CopiedTable],
        readings: Sequence[Reading],
        violations: Sequence[Violation],
        seed: Seed,
    ) -> str:
        self._run.progress.step("Prove the copy equal")
        with self._timed("proof"):
            problems = self._differing_tables(copied, seed)
            with self._on_mirror("proof") as reader:
                problems += _differing_sequences(readings, sequences.reread(reader, readings))
                problems += mirror.unexpected_rows(reader, [table for table, _ in plan.rowless])
                problems += compare.grant_differences(plan, inventory.grants(reader))
            found = dump_schema(self._held.door, Side.NEON, self._client, stop=self._run.stop)
            problems += compare.differences(
                plan,
                found.entries,
                excused=[violation.entry for violation in violations],
                same_major=source.inventory.version.split(".")[0] == str(self._held.target.major),
            )
        if problems:
            shown = "; ".join(problems[:10]) + (
                f"; and {len(problems) - 10} more" if len(problems) > 10 else ""
            )
            raise DataDiffers(
                f"The copy is not equal to the primary's snapshot: {shown}.",
                remedy="Nothing was published; earlier backups stand. Run it again; tell us if it recurs.",
                differences=list(problems),
            )
        return found.digest()

    def _differing_tables(self, copied: Sequence[CopiedTable], seed: Seed) -> list[str]:
        def task(sessions: Sessions, one: CopiedTable) -> Fingerprint:
            return fingerprint.fingerprint(sessions[0], one.table, seed, one.source.method)

        count = 0

        def done(one: CopiedTable, _: Fingerprint) -> None:
            nonlocal count
            count += 1
            self._run.progress.advance(one.table.label, count, len(copied))

        found = self._crew("proof", task).work(list(copied), done)
        return [_difference(one, found[one]) for one in copied if found[one] != one.source]

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds[phase] = time.monotonic() - began


def _difference(one: CopiedTable, copy: Fingerprint) -> str:
    if copy.rows != one.source.rows:
        return f"{one.table.label} has {copy.rows} rows on the copy and {one.source.rows} on the primary"
    return f"{one.table.label} has as many rows ({copy.rows}) on both sides, but other contents"


def _differing_sequences(wanted: Sequence[Reading], found: Sequence[Reading]) -> list[str]:
    return [
        f"sequence {one.label} stands at {other.last_value} on the copy and was read at {one.last_value}"
        for one, other in zip(wanted, found, strict=True)
        if one != other
    ]
