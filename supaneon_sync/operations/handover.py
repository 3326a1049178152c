"""What is handed to whoever wants to use a backup: plain facts in the open, URIs behind a mask."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from supaneon_sync.operations.standby import Doors
from supaneon_sync.operations.standing import StandingBackup
from supaneon_sync.secret import Secret


def plain(one: StandingBackup, now: datetime) -> dict[str, str]:
    """Return the outputs that anybody may read about a backup."""
    drill = one.backup.drill
    return {
        "branch-name": one.name,
        "branch-id": one.branch.id,
        "snapshot-time": one.backup.moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "age-seconds": str(int(one.age(now))),
        "drill-verdict": str(drill) if drill else "never",
        "anomaly": one.backup.anomaly,
    }


def connection(doors: Doors) -> dict[str, str]:
    """Return what may be told openly of the way to a backup."""
    return {
        "connection-uri-without-password": doors.for_application(doors.direct).without_password(),
        "host": doors.direct.host,
        "pooled-host": doors.pooled.host,
        "database": doors.direct.dbname,
        "role": doors.direct.user,
    }


def secret(doors: Doors) -> Mapping[str, Secret]:
    """Return the outputs that must be masked before they are written."""
    return {
        "connection-uri": doors.for_application(doors.direct).uri(),
        "pooled-connection-uri": doors.for_application(doors.pooled).uri(),
    }


def age_in_words(seconds: float) -> str:
    """Return an age as a person on call would say it: ``3 h 12 min``."""
    minutes = int(seconds // 60)
    days, hours = divmod(minutes // 60, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
