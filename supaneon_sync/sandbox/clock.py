"""The sandbox's time, and time as Neon writes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from supaneon_sync.sandbox.refusal import ApiError


class Clock:
    """The sandbox's time: the machine's, plus what a test has moved it on."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        """Return the present moment in UTC."""
        return datetime.now(UTC) + self.ahead

    def text(self) -> str:
        """Return the present moment as Neon writes it."""
        return timestamp(self.now())


def timestamp(moment: datetime) -> str:
    """Return a moment as Neon writes it, cut to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: object, name: str) -> datetime:
    """Return the moment of an RFC 3339 text. Raise ApiError (400) for anything else."""
    try:
        moment = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError as error:
        raise ApiError(400, f"{name} is not a date-time: {text}") from error
    if moment.tzinfo is None:
        raise ApiError(400, f"{name} needs a time zone: {text}")
    return moment.astimezone(UTC)
