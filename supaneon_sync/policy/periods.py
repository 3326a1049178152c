"""Calendar periods: which hour, day, ISO week, month or year of a time zone a moment falls into."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, tzinfo


def _hour(moment: datetime) -> str:
    # The offset tells the two hours apart that share a name when summer time ends.
    return moment.strftime("%Y-%m-%d %H:00%z").removesuffix("+0000")


def _week(moment: datetime) -> str:
    year, week, _ = moment.isocalendar()
    return f"{year:04}-W{week:02}"


PERIODS: Mapping[str, Callable[[datetime], str]] = {
    "hourly": _hour,
    "daily": lambda moment: moment.strftime("%Y-%m-%d"),
    "weekly": _week,
    "monthly": lambda moment: moment.strftime("%Y-%m"),
    "yearly": lambda moment: moment.strftime("%Y"),
}
"""The name of the period that a local moment falls into, by the word for its length."""


def period(word: str, moment: datetime, zone: tzinfo) -> str:
    """Return the name of the ``word`` period (hourly … yearly) that ``moment`` falls into in ``zone``."""
    with contextlib.suppress(OverflowError):  # within a day of year 1 or 9999: no local time exists
        moment = moment.astimezone(zone)
    return PERIODS[word](moment)


def in_words(duration: timedelta) -> str:
    """Return a duration as settings write it: 7d, 1d12h, 90s."""
    rest = int(duration.total_seconds())
    parts = []
    for unit, seconds in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, seconds)
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts) or "0s"
