"""The main job: a snapshot of the primary, on the mirror, proved equal, published as a backup."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC

from supaneon_sync.errors import ConfigError, Refused
from supaneon_sync.operations import accounting, handover, publishing, room
from supaneon_sync.operations.accounting import Account
from supaneon_sync.operations.mirroring import held
from supaneon_sync.operations.publishing import Published
from supaneon_sync.operations.standby import opened
from supaneon_sync.operations.syncing import Proved, make_equal
from supaneon_sync.operations.workshop import Workshop
from supaneon_sync.postgres import clients, conninfo
from supaneon_sync.report import coverage
from supaneon_sync.report.outcome import Outcome, Table
from supaneon_sync.report.text import size_text
from supaneon_sync.run import Run
from supaneon_sync.settings import Settings

NOT_IN_THE_DATABASE = tuple(f"{what} ({why})" for what, why in coverage.NOT_IN_THE_DATABASE)
"""What a Supabase project has outside its database: no copy of the database can hold it."""
_LOOK = (
    "Look at the primary before anything is pruned; where the fall was meant, run one backup with"
    " on-anomaly: warn."
)


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
            account = accounting.take(standby, mirror, proved)
            published = publishing.publish(standby, mirror, proved, primary, account)
    outcome = _outcome(published, proved, account, run, run.monotonic() - began)
    return _braked(outcome, account, settings)


def _braked(outcome: Outcome, account: Account, settings: Settings) -> Outcome:
    """Return the outcome as the anomaly brake leaves it: the backup stands, whatever the run ends with."""
    judged = account.judgement
    if not judged.anomalies:
        return outcome
    failing = settings.on_anomaly == "fail"
    advice = _LOOK if failing else "From here on this is what the next backup is compared with."
    return replace(
        outcome,
        verdict="anomaly",
        headline=f"{outcome.headline} Anomaly: {judged.sentences[0]} since {judged.since}. {advice}",
        facts=(("Anomaly", judged.brief), *outcome.facts),
        exit_code=Refused.exit_code if failing else 0,
        failure_kind="anomaly" if failing else "",
    )


def _outcome(published: Published, proved: Proved, account: Account, run: Run, seconds: float) -> Outcome:
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
            ("Primary", f"PostgreSQL {proved.inventory.version}, {size_text(proved.inventory.size)}"),
            *_costs(proved),
            *account.changes.facts,
            ("Whole run", f"{seconds:.1f} s"),
            ("Direct host", outputs["host"]),
            ("Pooled host", outputs["pooled-host"]),
        ),
        tables=(
            *account.changes.shown(),
            covered,
            *_exceptions(proved),
            _tables(proved),
            _durations(proved),
        ),
        notes=(*account.notes, *proved.plan.degraded, *proved.recomputed, *proved.notes),
        outputs=outputs | counts,
        secrets=handover.secret(published.doors),
        report={
            "manifest": published.document,
            "changes": account.changes.document(),
            "seconds": {key: round(value, 3) for key, value in proved.seconds.items()},
            "whole_run_seconds": round(seconds, 3),
            "attempts": proved.attempts,
            "strategy": {"used": proved.strategy.used, "why": proved.strategy.why},
            "moved": [one.document() for one in proved.moved],
            "costs": {
                "bytes_sent": proved.bytes,
                "bytes_of_a_full_copy": sum(proved.baseline.full_bytes.values()),
                "pages_read": sum(one.pages for one in proved.moved),
                "wal_bytes_on_the_mirror": proved.wal_bytes,
            },
        },
    )


def _costs(proved: Proved) -> tuple[tuple[str, str], ...]:
    """Return how the mirror was made equal, and what that took of either side."""
    whole = sum(proved.baseline.full_bytes.values())
    pages = sum(one.pages for one in proved.moved)
    return (
        ("Mirror made equal", f"by {proved.strategy.used}: {proved.strategy.why}"),
        ("Sent by the primary", f"{size_text(proved.bytes)} of rows; a full copy sends {size_text(whole)}"),
        ("Read on the primary", f"about {pages} pages of 8 kB"),
        ("Snapshot held", f"{proved.seconds['snapshot held']:.1f} s"),
        ("WAL written on the mirror", size_text(proved.wal_bytes)),
        ("Rows hashed on the mirror", _hashed(proved)),
    )


def _hashed(proved: Proved) -> str:
    """Return which rows the proof read, and since when the others have lain there untouched."""
    if not proved.rested:
        return "all"
    since = min(rest.hashed_at for rest in proved.rested.values()).astimezone(UTC)
    whole, rested = len(proved.tables) - len(proved.rested), len(proved.rested)
    return (
        f"all of {whole} tables; of {rested} tables the new ones, as nobody has touched the others since"
        f" {since:%Y-%m-%d %H:%M} UTC (prove-every)"
    )


def _tables(proved: Proved) -> Table:
    rows = tuple(
        (one.table.label, str(one.source.rows), size_text(one.bytes), one.source.digest[:16], "equal")
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
