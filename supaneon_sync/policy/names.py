"""Names of branches: what they look like, and what a name says about the branch.

A name alone never proves that a branch is ours; see ``operations.identity``.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

MIRROR = "supaneon-mirror"
"""The branch that is kept equal to the primary. Nobody else writes to it."""

HOUSE_DATABASE = "supaneon"
"""The database on the mirror that is ours alone: marker, lock, manifest, ledger."""

_STAMP = r"[0-9]{8}T[0-9]{6}Z"
_BACKUP = re.compile(rf"backup-({_STAMP})\Z")
_STAGING = re.compile(rf"staging-({_STAMP})\Z")
_DRILL = re.compile(rf"debug-restore-({_STAMP})-({_STAMP})\Z")
_FAILOVER = re.compile(rf"failover-({_STAMP})-({_STAMP})\Z")
_ENDED = "ended-"
STARTING_FAILOVER = "starting-failover"
"""The name that a failover branch has until it may take traffic. Names are unique on Neon, so two people
who call a failover at the same moment meet on one branch."""


def stamp(moment: datetime) -> str:
    """Return ``YYYYMMDDTHHMMSSZ`` for a moment, in UTC, cut to the second.

    Raises ValueError for a moment without a time zone.
    """
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def parse_stamp(text: str) -> datetime | None:
    """Return the moment that a stamp names, or None where it is not a date that exists."""
    if not re.fullmatch(_STAMP, text):
        return None
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def backup(snapshot_time: datetime) -> str:
    """Return the name of the backup of a snapshot taken at that moment."""
    return f"backup-{stamp(snapshot_time)}"


def staging(snapshot_time: datetime) -> str:
    """Return the name that a backup has until it is proved complete."""
    return f"staging-{stamp(snapshot_time)}"


def drill(snapshot_time: datetime, drilled_at: datetime) -> str:
    """Return the name of a drill of the backup of ``snapshot_time``."""
    return f"debug-restore-{stamp(snapshot_time)}-{stamp(drilled_at)}"


def failover(snapshot_time: datetime, called_at: datetime) -> str:
    """Return the name of a failover branch of the backup of ``snapshot_time``."""
    return f"failover-{stamp(snapshot_time)}-{stamp(called_at)}"


def ended_failover(name: str) -> str:
    """Return the name that a failover branch gets when the failover is over."""
    return _ENDED + name


def is_ended_failover(name: str) -> bool:
    """Say whether a name tells of a failover that is over."""
    return name.startswith(_ENDED) and failover_moment(name.removeprefix(_ENDED)) is not None


def rehearsal(snapshot_time: datetime, called_at: datetime) -> str:
    """Return the name of a rehearsed failover of the backup of ``snapshot_time``."""
    return f"rehearsal-{stamp(snapshot_time)}-{stamp(called_at)}"


def _moment(pattern: re.Pattern[str], name: str) -> datetime | None:
    match = pattern.match(name)
    if match is None:
        return None
    moments = [parse_stamp(part) for part in match.groups()]
    return None if None in moments else moments[0]


def backup_moment(name: str) -> datetime | None:
    """Return the snapshot time that a backup's name tells, None for any other name."""
    return _moment(_BACKUP, name)


def staging_moment(name: str) -> datetime | None:
    """Return the snapshot time that a staging branch's name tells, None for any other name."""
    return _moment(_STAGING, name)


def drill_moment(name: str) -> datetime | None:
    """Return the snapshot time of the backup that a drill's name tells, None for another name."""
    return _moment(_DRILL, name)


def failover_moment(name: str) -> datetime | None:
    """Return the snapshot time of the backup under a failover branch, None for another name."""
    return _moment(_FAILOVER, name)
