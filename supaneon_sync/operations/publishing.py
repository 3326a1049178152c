"""From a proved mirror to a backup: manifest, cut, identity, and the rename that is the commit."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from typing import Any

from supaneon_sync import __version__
from supaneon_sync.errors import SupaneonError
from supaneon_sync.neon_client import BranchRequest
from supaneon_sync.operations import accounting, room
from supaneon_sync.operations.accounting import Account
from supaneon_sync.operations.mirroring import HeldMirror
from supaneon_sync.operations.standby import Doors, Standby
from supaneon_sync.operations.standing import StandingBackup
from supaneon_sync.operations.syncing import Proved
from supaneon_sync.policy import baseline, marks, names
from supaneon_sync.policy.backups import Backup
from supaneon_sync.policy.marks import Mark
from supaneon_sync.policy.shape import Shape
from supaneon_sync.postgres import inventory, large_objects
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.fingerprint import Method, fingerprints
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.shape import queries as shape_queries
from supaneon_sync.postgres.shape import read as read_shape
from supaneon_sync.report import coverage, ledger, manifest
from supaneon_sync.report.coverage import Found, Line
from supaneon_sync.report.ledger import LedgerRow

STAGING_LIFE = timedelta(hours=6)
"""A staging branch that its run left behind expires by itself after this."""


@dataclass(frozen=True)
class Published:
    """A backup that stands, the way to it, and its manifest."""

    backup: StandingBackup
    doors: Doors
    document: Mapping[str, Any]


def sweep(standby: Standby, held: HeldMirror) -> list[str]:
    """Remove what killed runs left: staging branches of ours under this mirror. Return their names."""
    swept = []
    for branch in standby.branches():
        kind = marks.kind_of(branch.annotations)
        ours = kind == marks.BACKUP and branch.parent_id == held.branch.id
        if names.staging_moment(branch.name) is not None and ours and not branch.protected:
            standby.client.delete_branch(standby.project.id, branch.id)
            swept.append(branch.name)
    return swept


def publish(
    standby: Standby, held: HeldMirror, proved: Proved, primary: Conninfo, account: Account
) -> Published:
    """Cut a branch from the proved mirror and give it a backup's name once it is complete.

    An anomaly is marked on the branch at its birth, in the manifest and in the ledger; it stops nothing.
    Raises QuotaError at the branch limit; whatever fails, no backup's name is given out.
    """
    run = standby.run
    run.progress.step("Write the manifest and cut the branch")
    moment = proved.snapshot.time.astimezone(UTC).replace(microsecond=0)
    with standby.connect(held.door, "shape") as reader, reader.transaction("READ ONLY"):
        shape = read_shape(reader, [role.name for role in proved.plan.roles])
        copies = _asked_of_the_copy(reader, proved)
    document = describe(standby, held, proved, primary, shape) | account.document()
    document["tables"] = _tables(proved, copies)
    body = manifest.canonical(document)
    digest = manifest.digest(body)
    now = run.clock()
    with held.session.transaction():
        held.house.write_manifest(digest, body, now)
        held.house.write_baseline(baseline.pack(proved.baseline), now)
        held.house.record(LedgerRow(now, ledger.BACKUP, names.backup(moment), "proved", {"manifest": digest}))
    held.keeper.check()
    held.house.still_locked()
    run.stop.check()
    fallen = account.judgement.brief
    mark = Mark(marks.BACKUP, __version__, digest, moment, run.url or "", fallen)
    request = BranchRequest(
        name=names.staging(moment),
        parent_id=held.branch.id,
        parent_lsn=held.house.flushed_lsn(),
        expires_at=now + STAGING_LIFE,
        annotations=mark.pairs(),
        with_endpoint=True,
    )
    try:
        staged = room.create(standby, request).branch
        standing = StandingBackup(Backup(names.backup(moment), moment, anomaly=fallen), staged, mark)
        published = _commit(standby, held, standing, document)
    except BaseException:
        _discard(standby, request)
        raise
    accounting.keep(standby, held, account)
    return published


def _discard(standby: Standby, request: BranchRequest) -> None:
    """Remove the staging branch of a run that fails, as far as that can be done now; else it expires."""
    with suppress(SupaneonError):
        left = standby.client.find_branch(standby.project.id, request.name)
        if left is not None and left.annotations == request.annotations:
            standby.client.delete_branch(standby.project.id, left.id)


def _commit(
    standby: Standby, held: HeldMirror, staged: StandingBackup, document: Mapping[str, Any]
) -> Published:
    name = staged.backup.name
    doors = standby.doors(staged.branch)
    standby.run.progress.step(f"Read the manifest through the branch's own URI, then name it {name}")
    standby.prove_identity(staged, doors.direct)
    standby.run.stop.check()
    committed = standby.client.commit_branch(standby.project.id, staged.branch.id, name)
    now = standby.run.clock()
    fallen = staged.backup.anomaly
    details = {"branch": committed.id} | ({"anomaly": fallen} if fallen else {})
    with suppress(SupaneonError):
        held.house.record(LedgerRow(now, ledger.BACKUP, name, "published", details))
    return Published(replace(staged, branch=committed), doors, document)


def ledger_of(proved: Proved) -> tuple[Line, ...]:
    """Return the coverage ledger of a proved copy."""
    found = Found(
        rows=proved.rows,
        large_objects=len(proved.large_objects),
        large_bytes=sum(one.size for one in proved.large_objects),
        jobs=proved.names.jobs,
        secrets=proved.names.secrets,
        refused_settings=proved.refused_settings,
        violations=tuple(
            (f"{one.entry.kind.lower()} {one.entry.name}", one.outcome) for one in proved.violations
        ),
    )
    return coverage.coverage(proved.plan, proved.inventory, found)


def _asked_of_the_copy(reader: Session, proved: Proved) -> dict[tuple[str, str], str]:
    """Return the digests that the copy itself gives of tables that only the stream could digest.

    Only this tool can compute the stream's; these anybody can, with ``docs/check-branch.sql``.
    """
    streamed = {
        (one.table.schema, one.table.name) for one in proved.tables if one.source.method is Method.STREAM
    }
    if not streamed:
        return {}
    there = [one for one in inventory.relations(reader).values() if one.trusted and one.kind == "r"]
    asked = [one for one in there if (one.schema, one.name) in streamed]
    found = fingerprints(reader, [(one, Method.SERVER) for one in asked], proved.seed)
    return {(one.schema, one.name): given.digest for one, given in zip(asked, found, strict=True)}


def _tables(proved: Proved, copies: Mapping[tuple[str, str], str]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for one in proved.tables:
        told: dict[str, object] = {
            "schema": one.table.schema,
            "name": one.table.name,
            "rows": one.source.rows,
            "fingerprint": one.source.digest,
            "method": one.source.method.value,
            "bytes": one.bytes,
            "hashed_at": proved.baseline.contents[one.table.label].hashed_at.isoformat(),
        }
        copy = copies.get((one.table.schema, one.table.name))
        found.append(told | {"copy": copy} if copy else told)
    return found


def describe(
    standby: Standby, held: HeldMirror, proved: Proved, primary: Conninfo, shape: Shape
) -> dict[str, Any]:
    """Return the manifest: what the backup holds, how that was proved, and what it does not hold.

    ``shape`` is what the mirror's own catalogs say after the proof: a drill compares a backup with it,
    since both are read on the same server version.
    """
    facts = proved.inventory
    where = f"{primary.host}:{primary.port}/{primary.dbname}"
    return {
        "format": manifest.FORMAT,
        "tool": {"version": __version__, "pg_dump": proved.client.version, "image": standby.run.image},
        "run": standby.run.url or "",
        "seconds": {phase: round(seconds, 3) for phase, seconds in proved.seconds.items()},
        "primary": {
            "host_sha256": hashlib.sha256(where.encode()).hexdigest(),
            "database": facts.database,
            "version": facts.version,
            "system_identifier": facts.system_identifier,
            "lsn": proved.snapshot.lsn,
            "size_bytes": facts.size,
        },
        "snapshot_time": proved.snapshot.time.astimezone(UTC).isoformat(),
        "target": {"database": held.door.dbname, "major": held.target.major, "project": standby.project.id},
        "mirror_timeline": held.house.timeline(),
        "seed": [proved.seed.first, proved.seed.second],
        "tables_without_rows": [
            {"schema": table.schema, "name": table.name, "reason": why} for table, why in proved.plan.rowless
        ],
        "sequences": [
            {
                "schema": one.schema,
                "name": one.name,
                "last_value": one.last_value,
                "is_called": one.is_called,
            }
            for one in proved.readings
        ],
        "large_objects": large_objects.summary(proved.large_objects),
        "materialized_views": [view.label for view in proved.plan.materialized_views],
        "schema": {
            "archive": proved.archive_digest,
            "mirror": proved.mirror_digest,
            "time_zone": proved.snapshot.time_zone,
            "fates": dict(Counter(decision.fate.value for decision in proved.plan.decisions)),
        },
        "left_out": [
            {
                "kind": decision.entry.kind.lower(),
                "name": decision.entry.name,
                "reason": decision.reason,
                "told": decision.told,
            }
            for decision in proved.plan.decisions
            if decision.fate.value == "left out"
        ],
        "shape": dict(shape.kinds),
        "shape_queries": shape_queries(),
        "violations": [
            {"kind": one.entry.kind.lower(), "name": one.entry.name, "outcome": one.outcome}
            for one in proved.violations
        ],
        "coverage": coverage.document(ledger_of(proved)),
        "roles": [role.name for role in proved.plan.roles],
        "notes": list(proved.notes),
    }
