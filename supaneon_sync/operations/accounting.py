"""A proved copy held against the backups before it: what changed, and whether it fell too far."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from supaneon_sync.errors import SupaneonError
from supaneon_sync.operations.mirroring import HeldMirror
from supaneon_sync.operations.scoping import scope_of
from supaneon_sync.operations.standby import Standby
from supaneon_sync.operations.syncing import Proved
from supaneon_sync.policy import anomaly, holdings, names, strategy
from supaneon_sync.policy.anomaly import Judgement, Limits
from supaneon_sync.policy.holdings import Holding
from supaneon_sync.postgres import holdings as house
from supaneon_sync.postgres.holdings import Past
from supaneon_sync.report import changes
from supaneon_sync.report.changes import Changes, State, TableChange
from supaneon_sync.settings import Settings

SHOWN = 20
"""Falls that are told one by one; the manifest has them all."""
_UNREADABLE = "The numbers of the last backup, kept on the mirror, cannot be read: nothing was compared."


@dataclass(frozen=True)
class Account:
    """What a copy holds, how it compares, and what changed since the last backup."""

    present: Holding
    judgement: Judgement
    changes: Changes

    @property
    def notes(self) -> tuple[str, ...]:
        """What people are told of the comparison: each fall, the largest first, and what else to know."""
        judged = self.judgement
        told = [f"Anomaly, against {judged.since}: {text}." for text in judged.sentences[:SHOWN]]
        more = len(judged.anomalies) - SHOWN
        told += [f"Anomaly: {more} more, in the manifest."] if more > 0 else []
        return (*told, *judged.remarks)

    def document(self) -> dict[str, object]:
        """Return what the manifest holds of the comparison."""
        found = self.judgement.anomalies
        return {
            "compared_with": self.judgement.since,
            "anomaly": self.judgement.brief,
            "anomalies": [
                {"kind": one.kind.value, "table": one.subject, "before": one.before, "now": one.now}
                for one in found
            ],
        }


def take(standby: Standby, held: HeldMirror, proved: Proved) -> Account:
    """Hold a proved copy against the backups before it; warn where it fell beyond the limits."""
    present = _holding(standby.settings, proved)
    past, remark = _past(held)
    judged = anomaly.judge(past.normal, present, _limits(standby.settings))
    if remark:
        judged = Judgement("", remarks=(remark,))
    account = Account(present, judged, _changes(past.last, present, proved))
    if judged.anomalies:
        standby.run.progress.warning(
            f"Anomaly, against {judged.since}: {'; '.join(judged.sentences[:3])}. The copy is a true one,"
            " so the backup is published, and marked."
        )
    elif remark:
        standby.run.progress.warning(remark)
    return account


def _changes(last: Holding | None, present: Holding, proved: Proved) -> Changes:
    """Return what changed since the last backup: row by row where that was looked at, else by numbers."""
    if last is None or proved.strategy.used == strategy.REBUILD:
        sent = changes.moved_by_label(
            (holdings.heading(one.table, proved.inventory).label, one.bytes) for one in proved.tables
        )
        return changes.of_rebuild(last, present, sent)
    tables = [changes.of_moved(one) for one in proved.moved]
    tables += [
        TableChange(label, State.DROPPED, before=last.tables[label].rows)
        for label in sorted(last.tables.keys() - present.tables.keys())
    ]
    return Changes(last.backup, tuple(tables), changes.schema(last, present))


def keep(standby: Standby, held: HeldMirror, account: Account) -> None:
    """Keep the numbers of a backup that was published, for the next one.

    After an anomaly that nobody accepted (``on-anomaly: warn`` does), the normal one before it stays what
    is compared with: an emptied primary must not be the new normal by the second night.
    """
    normal = not account.judgement.anomalies or standby.settings.on_anomaly == "warn"
    try:
        with held.session.transaction():
            house.keep(held.session, account.present, normal=normal, now=standby.run.clock())
    except SupaneonError as error:
        standby.run.progress.warning(
            f"The backup stands, but its numbers could not be kept for the next one: {error.message}"
        )


def _past(held: HeldMirror) -> tuple[Past, str]:
    with suppress(ValueError):
        return house.read(held.session), ""
    return Past(), _UNREADABLE


def _limits(settings: Settings) -> Limits:
    return Limits(settings.anomaly_tolerance, frozenset(map(str, settings.anomaly_ignore or ())))


def _holding(settings: Settings, proved: Proved) -> Holding:
    facts, plan = proved.inventory, proved.plan
    return Holding(
        backup=names.backup(proved.snapshot.time),
        scope=holdings.scope_digest(scope_of(settings), include_auth_sessions=settings.include_auth_sessions),
        cluster=facts.system_identifier,
        dumper=f"{proved.client.version} for {facts.version.split('.')[0]} in {proved.snapshot.time_zone}",
        tables=holdings.counted({one.table: one.source.rows for one in proved.tables}, facts),
        rowless=frozenset(holdings.heading(table, facts).label for table, _ in plan.rowless),
        objects=holdings.objects(plan.kept()),
    )
