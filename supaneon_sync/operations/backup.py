"""The main job: a snapshot of the primary, on the mirror, proved equal, published as a backup."""

from __future__ import annotations

import os

from supaneon_sync.errors import ConfigError
from supaneon_sync.operations import handover, publishing, room
from supaneon_sync.operations.mirroring import held
from supaneon_sync.operations.publishing import Published
from supaneon_sync.operations.standby import opened
from supaneon_sync.operations.syncing import Proved, make_equal
from supaneon_sync.operations.workshop import Workshop
from supaneon_sync.postgres import clients, conninfo
from supaneon_sync.report import coverage
from supaneon_sync.report.outcome import Outcome, Table
from supaneon_sync.run import Run
from supaneon_sync.settings import Settings

NOT_IN_THE_DATABASE = tuple(f"{what} ({why})" for what, why in coverage.NOT_IN_THE_DATABASE)
"""What a Supabase project has outside its database: no copy of the database can hold it."""


def backup(settings: Settings, run: Run) -> Outcome:
    """Back the primary up once.

    Raises the errors of ``errors.py``; whatever is raised, no backup's name stands for anything less
    than a proved copy.
    """
    if settings.supabase_database_url is None:
        raise ConfigError("SUPABASE_DATABASE_URL is missing.")
    primary = conninfo.primary(
        settings.supabase_database_url,
        ca_file=settings.supabase_ca_file,
        insecure_loopback=settings.insecure_loopback,
    )
    began = run.monotonic()
    run.progress.step("Find the standby project and take the mirror's lock")
    with opened(settings, run) as standby, held(standby) as mirror:
        client = clients.find(mirror.target.major, directory=settings.clients, environment=os.environ)
        for name in publishing.sweep(standby, mirror):
            run.progress.note(f"Removed {name}, left behind by a run that did not end.")
        room.ensure(standby)
        with Workshop(standby, primary, mirror, client) as workshop:
            proved = make_equal(workshop)
            published = publishing.publish(standby, mirror, proved, primary)
    return _outcome(published, proved, run, run.monotonic() - began)


def _outcome(published: Published, proved: Proved, run: Run, seconds: float) -> Outcome:
    one = published.backup
    now = run.clock()
    degraded = bool(proved.violations or proved.plan.degraded or proved.recomputed)
    covered = coverage.table(publishing.ledger_of(proved))
    outputs = handover.plain(one, now) | handover.connection(published.doors)
    counts = {"tables": str(len(proved.tables)), "rows": str(proved.rows), "bytes": str(proved.bytes)}
    return Outcome(
        operation="backup",
        verdict="degraded" if degraded else "ok",
        headline=f"{one.name} stands and was proved equal: {len(proved.tables)} tables, {proved.rows} rows.",
        facts=(
            ("Backup", one.name),
            ("Branch", one.branch.id),
            ("Snapshot of the primary", outputs["snapshot-time"]),
            ("Primary", f"PostgreSQL {proved.inventory.version}, {_size(proved.inventory.size)}"),
            ("Rows moved", f"{proved.rows} rows, {_size(proved.bytes)} in {proved.seconds['rows']:.1f} s"),
            ("Snapshot held", f"{proved.seconds['snapshot held']:.1f} s"),
            ("Whole run", f"{seconds:.1f} s"),
            ("Direct host", outputs["host"]),
            ("Pooled host", outputs["pooled-host"]),
        ),
        tables=(covered, *_exceptions(proved), _tables(proved), _durations(proved)),
        notes=(*proved.plan.degraded, *proved.recomputed, *proved.notes),
        outputs=outputs | counts,
        secrets=handover.secret(published.doors),
        report={
            "manifest": published.document,
            "seconds": {key: round(value, 3) for key, value in proved.seconds.items()},
            "whole_run_seconds": round(seconds, 3),
            "attempts": proved.attempts,
            "strategy": {"used": proved.strategy.used, "why": proved.strategy.why},
            "moved": [one.document() for one in proved.moved],
        },
    )


def _tables(proved: Proved) -> Table:
    rows = tuple(
        (one.table.label, str(one.source.rows), _size(one.bytes), one.source.digest[:16], "equal")
        for one in sorted(proved.tables, key=lambda one: one.table.label)
    )
    columns = ("table", "rows", "moved", "fingerprint", "proof")
    return Table("Tables", columns, rows, frozenset(("rows", "moved")))


def _durations(proved: Proved) -> Table:
    rows = tuple((phase, f"{seconds:.2f} s") for phase, seconds in proved.seconds.items())
    return Table("Durations", ("phase", "took"), rows, frozenset(("took",)))


def _exceptions(proved: Proved) -> tuple[Table, ...]:
    if not proved.violations:
        return ()
    rows = tuple((f"{one.entry.kind.lower()} {one.entry.name}", one.outcome) for one in proved.violations)
    return (Table("What the primary's own rows violate", ("object", "on the copy"), rows),)


def _size(count: int) -> str:
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
