"""The backups, newest first: how old, how healthy. With ``max-age`` it is an alarm."""

from __future__ import annotations

from datetime import datetime

from supaneon_sync.errors import Refused, SupaneonError
from supaneon_sync.neon_client import Branch
from supaneon_sync.operations import failover_state, handover
from supaneon_sync.operations.standby import Standby, opened
from supaneon_sync.operations.standing import StandingBackup, impostors
from supaneon_sync.policy import anomaly, names
from supaneon_sync.report.outcome import Outcome, Table
from supaneon_sync.run import Run
from supaneon_sync.settings import Settings


def list_backups(settings: Settings, run: Run) -> Outcome:
    """Return the project's backups. The newest healthy one older than ``max-age`` is a failure.

    The ledger is asked for the drills where the mirror's compute answers; without it, kept drill
    branches tell of failures, and a note says so.
    """
    with opened(settings, run) as standby:
        there, note = _judged(standby)
        strangers = impostors(standby.branches())
        serving = failover_state.in_force(standby)
    now = run.clock()
    healthy = next((one for one in there if one.backup.healthy), None)
    late = _late(healthy, settings, now)
    return Outcome(
        operation="list",
        verdict="stale" if late else "anomaly" if healthy and healthy.backup.anomaly else "ok",
        headline=late or _headline(healthy, now),
        facts=(
            ("Backups", str(len(there))),
            ("Project", standby.project.id),
            *((("Takes the traffic", _serving(serving)),) if serving else ()),
        ),
        tables=(_table(there, now),) if there else (),
        notes=(
            *((note,) if note else ()),
            *(f"{name} is not counted as a backup: {why}." for name, why in strangers),
        ),
        outputs=({"backups": str(len(there))} | (handover.plain(healthy, now) if healthy else {})),
        report={
            "backups": [_document(one, now) for one in there],
            "failover": serving.name if serving else "",
        },
        exit_code=Refused.exit_code if late else 0,
        failure_kind="stale" if late else "",
    )


def _judged(standby: Standby) -> tuple[tuple[StandingBackup, ...], str]:
    mirror = standby.mirror()
    if mirror is None:
        return standby.backups(), ""
    try:
        with standby.house(standby.mirror_doors(mirror).direct, "list") as house:
            return standby.judged(house.ledger()), ""
    except Refused:
        raise
    except SupaneonError:
        note = "The ledger on the mirror cannot be reached: drills are told by the branches that were kept."
        return standby.backups(), note


def _serving(branch: Branch) -> str:
    """Return what to say of the failover that is in force."""
    since = f"since {branch.created_at:%Y-%m-%d %H:%M} UTC"
    if branch.name == names.STARTING_FAILOVER:
        return f"{branch.name}, {since}, not ready yet: run supaneon-sync failover again"
    return f"{branch.name}, {since}, a failover"


def _headline(healthy: StandingBackup | None, now: datetime) -> str:
    if healthy is None:
        return "There is no healthy backup."
    age = handover.age_in_words(healthy.age(now))
    aside = anomaly.aside(healthy.backup)
    return f"The newest healthy backup is {healthy.name}: you would lose {age}.{aside}"


def _late(healthy: StandingBackup | None, settings: Settings, now: datetime) -> str:
    if settings.max_age is None:
        return ""
    if healthy is None:
        return "There is no healthy backup, so none is fresh enough."
    if healthy.age(now) <= settings.max_age.total_seconds():
        return ""
    age = handover.age_in_words(healthy.age(now))
    return f"The newest healthy backup, {healthy.name}, is {age} old: too old."


def _table(there: tuple[StandingBackup, ...], now: datetime) -> Table:
    rows = tuple(
        (
            one.name,
            handover.age_in_words(one.age(now)),
            _health(one),
            handover.plain(one, now)["drill-verdict"],
            ", ".join(sorted(hold.value for hold in one.backup.holds)) or "-",
            one.branch.current_state,
        )
        for one in there
    )
    return Table(
        "Backups",
        ("backup", "age", "health", "last drill", "held because", "state"),
        rows,
        frozenset(("age",)),
    )


def _health(one: StandingBackup) -> str:
    health = "healthy" if one.backup.healthy else "FAILED ITS DRILL"
    return f"{health}, ANOMALY: {one.backup.anomaly}" if one.backup.anomaly else health


def _document(one: StandingBackup, now: datetime) -> dict[str, object]:
    return {**handover.plain(one, now), "healthy": one.backup.healthy, "state": one.branch.current_state}
