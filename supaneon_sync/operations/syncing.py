"""Making the mirror equal to one snapshot of the primary, and proving that it is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from supaneon_sync.errors import DataDiffers, NeonError, Refused, SnapshotLost
from supaneon_sync.operations import finishing, rebuilding, remembering, source, updating
from supaneon_sync.operations.finishing import Finished
from supaneon_sync.operations.loaded import Loaded
from supaneon_sync.operations.making_way import CannotUpdate
from supaneon_sync.operations.proving import Claim, Proof, prove
from supaneon_sync.operations.source import Source
from supaneon_sync.operations.workshop import Workshop
from supaneon_sync.policy import compare, strategy
from supaneon_sync.policy.baseline import Baseline
from supaneon_sync.policy.facts import Inventory, Relation
from supaneon_sync.policy.moved import Moved, Strategy
from supaneon_sync.policy.plan import Plan
from supaneon_sync.postgres import peeking, sequences
from supaneon_sync.postgres.archive import Archive
from supaneon_sync.postgres.building import Builders
from supaneon_sync.postgres.clients import Clients
from supaneon_sync.postgres.copying import CopiedTable
from supaneon_sync.postgres.delta import Altered
from supaneon_sync.postgres.failures import refused
from supaneon_sync.postgres.fingerprint import Seed
from supaneon_sync.postgres.large_objects import LargeObject
from supaneon_sync.postgres.peeking import Names
from supaneon_sync.postgres.resting import Rest
from supaneon_sync.postgres.sequences import Reading
from supaneon_sync.postgres.snapshot import Snapshot
from supaneon_sync.postgres.violations import Violation

ATTEMPTS = 3
"""How often a run starts over when the snapshot cannot be read whole."""


class _Astray(Exception):
    """What was brought along is not what was planned; the text says in what. It is made from nothing then."""


class _Altered(Exception):
    """The mirror does not hold what was proved of it last; the text says where. All is compared then."""


@dataclass(frozen=True)
class _Doubt:
    """What an earlier attempt has found wrong with the mirror: its rows, or its schema ('': nothing)."""

    rows: str = ""
    schema: str = ""


_NONE = _Doubt()


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
    strategy: Strategy
    moved: tuple[Moved, ...]
    wal_bytes: int
    baseline: Baseline
    rested: Mapping[Relation, Rest]

    @property
    def rows(self) -> int:
        """How many rows the copy holds."""
        return sum(copied.source.rows for copied in self.tables)

    @property
    def bytes(self) -> int:
        """How many bytes of rows the primary sent."""
        return sum(copied.bytes for copied in self.tables)


def make_equal(workshop: Workshop) -> Proved:
    """Make the mirror equal to a snapshot and prove it; start over when the snapshot is lost.

    Only what differs is moved where that can be; else the mirror is made from nothing. Raises DataDiffers
    when the proof fails, SnapshotLost when every attempt lost its snapshot.
    """
    doubt, lost_snapshots = _NONE, 0
    for attempt in itertools.count(1):
        workshop.let_go()
        try:
            return _attempt(workshop, attempt, doubt)
        except SnapshotLost as error:
            lost_snapshots += 1
            if lost_snapshots == ATTEMPTS:
                raise
            workshop.run.progress.warning(f"{error.message} Starting over with a new snapshot.")
        except _Altered as error:
            doubt = replace(doubt, rows=str(error))
            workshop.run.progress.warning(f"The mirror had been altered ({error}). Comparing every row.")
        except _Astray as error:
            doubt = replace(doubt, schema=str(error))
            _refuse_if_delta(workshop, doubt.schema)
            workshop.run.progress.warning(f"The mirror could not be brought along: {error}. Making it anew.")
    raise AssertionError("there is always another attempt, or an error")


def _attempt(workshop: Workshop, attempt: int, doubt: _Doubt) -> Proved:
    known, filled = remembering.read(workshop, rows=not doubt.rows, schema=not doubt.schema)
    log = workshop.held.house.position()
    with workshop.builders() as builders:
        with source.opened(workshop, with_mirror=filled and known is not None) as shown:
            plan = source.plan_for(workshop, shown)
            way = _way(workshop, shown, known, filled, doubt)
            seed = remembering.seed(workshop, shown, known if way.used == strategy.DELTA else None)
            workshop.held.house.forget_manifest()
            loaded, way = _load(workshop, shown, plan, (way, known), (seed, builders))
            with workshop.on_primary("names") as reader:
                names = peeking.read(reader, shown.snapshot, shown.inventory)
                with workshop.phase("sequences"):
                    readings = sequences.read(reader, plan.sequences)
        with workshop.phase("indexes", "Build indexes that are left"), _or_anew(way):
            built = builders.finish()
    with _or_anew(way):
        finished = finishing.finish(workshop, loaded, readings, built, anew=way.used == strategy.REBUILD)
    violations = finished.violations
    unanalysed = finishing.vacuum(workshop, loaded, builders.analysed)
    workshop.hold_still([table for table in plan.tables if table not in loaded.settled])
    refusing = finishing.analyse_roots(workshop, loaded)
    schema = _checked(workshop, way, loaded, plan, shown, finished)
    claim = Claim(
        snapshot=shown.snapshot,
        plan=plan,
        seed=seed,
        tables=loaded.tables,
        readings=readings,
        large_objects=loaded.large_objects,
        violations=violations,
        same_major=shown.major == workshop.held.target.major,
        settled=loaded.settled,
        schema=schema,
        rests=loaded.rests,
    )
    with workshop.phase("proof", "Prove the copy equal"):
        proof = _prove(workshop, claim, loaded)
    read = remembering.Read(shown, plan, violations, seed, refusing.keys())
    return Proved(
        snapshot=shown.snapshot,
        seed=seed,
        inventory=shown.inventory,
        plan=plan,
        tables=proof.tables,
        readings=readings,
        large_objects=loaded.large_objects,
        violations=violations,
        names=names,
        refused_settings=finished.refused,
        notes=(
            *plan.notes,
            *filter(None, (loaded.locale_note,)),
            *([f"The mirror had been altered: {doubt.rows}; it was put right."] if doubt.rows else []),
            *(note for note in loaded.notes if attempt == 1 or note != updating.UNFINISHED),
            *finished.notes,
            *unanalysed,
            *refusing.values(),
            *proof.uncompared,
            *finishing.remarks(workshop, shown.inventory),
        ),
        archive_digest=shown.archive.digest(),
        mirror_digest=proof.schema.digest(),
        recomputed=proof.recomputed,
        client=workshop.client,
        seconds=dict(workshop.seconds),
        attempts=attempt,
        strategy=way,
        moved=loaded.moved,
        wal_bytes=workshop.held.house.position() - log,
        baseline=remembering.baseline(workshop, known, way, (loaded, proof), read),
        rested=proof.rested,
    )


@contextmanager
def _or_anew(way: Strategy) -> Iterator[None]:
    """Run the block; what the mirror refuses while it is brought along is a reason to make it anew."""
    try:
        yield
    except NeonError as error:
        if way.used == strategy.REBUILD or not refused(error):
            raise
        raise _Astray(error.message) from None


def _prove(workshop: Workshop, claim: Claim, loaded: Loaded) -> Proof:
    """Prove the claim; where it was carried over from the last proof, a difference is the mirror's own."""
    try:
        return prove(workshop, claim)
    except DataDiffers as error:
        if not loaded.carried:
            raise
        told = error.evidence.get("differences")
        raise _Altered("; ".join(map(str, told[:5])) if isinstance(told, list) else error.message) from None


def _way(workshop: Workshop, shown: Source, known: Baseline | None, filled: bool, doubt: _Doubt) -> Strategy:
    if doubt.schema:
        return Strategy(strategy.REBUILD, doubt.schema)
    settings = workshop.settings
    here = strategy.Circumstances(
        workshop.run.clock(), workshop.client.version, remembering.written(shown.inventory.locale), filled
    )
    way = strategy.choose(settings.strategy, known, settings.rebuild_every, here)
    if filled and way.used == strategy.REBUILD:
        _refuse_if_delta(workshop, way.why)
    return way


def _refuse_if_delta(workshop: Workshop, why: str) -> None:
    if workshop.settings.strategy == strategy.DELTA:
        raise Refused(
            f"strategy is delta, and the mirror cannot be brought along: {why}.",
            remedy="Set strategy to auto, or to rebuild for one run. Earlier backups stand as they are.",
        )


def _load(
    workshop: Workshop,
    shown: Source,
    plan: Plan,
    choice: tuple[Strategy, Baseline | None],
    making: tuple[Seed, Builders],
) -> tuple[Loaded, Strategy]:
    """Bring the snapshot's rows to the mirror, in the way chosen or, where that cannot be, from nothing."""
    way, known = choice
    seed, builders = making
    reader = workshop.reader(shown.snapshot, seed)
    if way.used == strategy.DELTA and known is not None:
        workshop.run.progress.note(f"Going on from what stands on the mirror: {way.why}.")
        try:
            return updating.update(workshop, shown, plan, reader, builders, known), way
        except CannotUpdate as error:
            raise _Astray(str(error)) from None
        except Altered:
            raise _Altered("rows of it are not those that were proved last") from None
    workshop.run.progress.note(f"Making the mirror from nothing: {way.why}.")
    return rebuilding.rebuild(workshop, shown, plan, reader, builders), way


def _checked(
    workshop: Workshop,
    way: Strategy,
    loaded: Loaded,
    plan: Plan,
    shown: Source,
    finished: Finished,
) -> Archive | None:
    """Hold the schema that was brought along against the plan before anything is claimed of it.

    Returns it; None where the proof is to read it, since code of the application has run on the mirror, or a
    right was changed there, since that was done. Raises _Astray where it is not the planned one.
    """
    if way.used == strategy.REBUILD:
        return None
    found = loaded.schema or workshop.dump_mirror(shown.snapshot)
    told = compare.differences(
        plan,
        found.entries,
        excused=[violation.entry for violation in finished.violations],
        same_major=shown.major == workshop.held.target.major,
    )
    if told:
        raise _Astray(f"its schema did not become the primary's ({'; '.join(told[:3])})")
    return found if loaded.schema is None or (loaded.untouched and finished.idle) else None
