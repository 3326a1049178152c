"""What one run leaves for the next to go on from, and what it finds of the last."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from supaneon_sync.errors import PrimaryError
from supaneon_sync.operations.loaded import Loaded
from supaneon_sync.operations.proving import Proof
from supaneon_sync.operations.source import Source
from supaneon_sync.operations.workshop import Workshop
from supaneon_sync.policy import baseline as memory
from supaneon_sync.policy import compare, moved, roots, strategy
from supaneon_sync.policy.baseline import Baseline, Content
from supaneon_sync.policy.facts import Locale, Relation
from supaneon_sync.policy.moved import Strategy
from supaneon_sync.policy.plan import Plan
from supaneon_sync.postgres import history, mirror
from supaneon_sync.postgres.copying import CopiedTable
from supaneon_sync.postgres.fingerprint import Seed
from supaneon_sync.postgres.history import Moment
from supaneon_sync.postgres.violations import Violation

_LOOKS, _PAUSE = 4, 0.3
"""How often, and seconds apart, it is looked whether the primary has written out what it showed."""


def read(workshop: Workshop, *, rows: bool, schema: bool) -> tuple[Baseline | None, bool]:
    """Return what is remembered of the mirror, and whether anything stands there.

    ``rows`` and ``schema`` say whether what is remembered of these may be relied on. Where the mirror has no
    manifest, a run has not ended: what is remembered of its rows is not what they are.
    """
    held = workshop.held
    body = held.house.baseline()
    filled = mirror.has_database(held.session, held.door.dbname)
    if filled:
        with workshop.on_mirror("look") as reader:
            filled = not mirror.is_empty(reader)
    known = None if body is None or not schema else memory.unpack(body)
    unfinished = held.house.manifest() is None
    if known and (unfinished or not rows):
        known = replace(known, horizon=None, finished=not unfinished)
    return known, filled


def seed(workshop: Workshop, shown: Source, known: Baseline | None) -> Seed:
    """Return a seed drawn anew, or the last proof's where its fingerprints can be carried over."""
    if known is not None and shown.moment.since(known.horizon):
        return Seed(*known.seed)
    return Seed.from_bytes(workshop.run.token(16))


def written(locale: Locale) -> str:
    """Return a locale in one line, to tell it from another."""
    return "/".join((locale.encoding, locale.provider, locale.collate, locale.ctype, locale.locale))


@dataclass(frozen=True)
class Read:
    """What was read of the primary in this run, and what of it its own rows violate.

    ``unanalysed`` are roots whose statistics could not be taken.
    """

    source: Source
    plan: Plan
    violations: Sequence[Violation]
    seed: Seed
    unanalysed: Collection[Relation] = ()


def baseline(
    workshop: Workshop,
    known: Baseline | None,
    way: Strategy,
    proved: tuple[Loaded, Proof],
    read: Read,
) -> Baseline:
    """Return what the next run is to remember of the mirror that was just proved."""
    shown, plan = read.source, read.plan
    loaded, proof = proved
    now = workshop.run.clock()
    anew = way.used == strategy.REBUILD or known is None
    return Baseline(
        rebuilt_at=now if anew or known is None else known.rebuilt_at,
        client=workshop.client.version,
        locale=written(shown.inventory.locale),
        locale_note=loaded.locale_note,
        definitions=memory.definitions(
            (entry for entry in plan.kept() if compare.counts(entry)),
            (entry for entry in proof.schema.entries if compare.counts(entry)),
        ),
        violated=frozenset(violation.entry.identity for violation in read.violations),
        horizon=shown.moment.horizon if _is_lasting(workshop, shown.moment) else None,
        mirror=proof.here.horizon,
        seed=(read.seed.first, read.seed.second),
        contents={one.table.label: _content(one, loaded, proof, now) for one in proof.tables},
        full_bytes=_full_bytes(known, loaded),
        roots=roots.remembered(
            plan.roots,
            loaded.lasting,
            {one.table: one.source.rows for one in proof.tables},
            read.unanalysed,
        ),
    )


def _content(one: CopiedTable, loaded: Loaded, proof: Proof, now: datetime) -> Content:
    rest = proof.rested.get(one.table)
    return Content(
        rows=one.source.rows,
        digest=one.source.digest,
        method=one.source.method.value,
        file=one.table.file,
        columns=memory.columns(one.table),
        place=proof.here.places.get((one.table.schema, one.table.name), ""),
        hashed_at=now if rest is None else rest.hashed_at,
        stirred=loaded.stirred.get(one.table, 0),
    )


def _full_bytes(known: Baseline | None, loaded: Loaded) -> dict[str, int]:
    """Return what a whole copy of each table sends: as it was last seen, grown with its rows since."""
    found = {}
    before = {} if known is None else known.full_bytes
    for one in loaded.moved:
        whole = one.state in (moved.REWRITTEN, moved.NEW)
        size = one.bytes if whole else before.get(one.label, 0)
        found[one.label] = size if whole or not one.rows_before else size * one.rows // one.rows_before
    return found


def _is_lasting(workshop: Workshop, moment: Moment) -> bool:
    """Say whether all that the snapshot saw is on the primary's disk by now, so that a crash keeps it."""
    try:
        with workshop.on_primary("history") as reader:
            for _ in range(_LOOKS):
                if history.is_lasting(reader, moment):
                    return True
                workshop.run.stop.wait(_PAUSE)
    except PrimaryError:
        pass  # the copy is proved; the next run compares all of it
    return False
