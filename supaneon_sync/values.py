"""How the values of settings are written: durations, counts, switches, zones, names.

Every parser takes what a flag, an input, a variable or a YAML file holds, returns the value, and
raises ValueError with a sentence that says what would have been right.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from supaneon_sync.policy import names

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SWITCH = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


def parse_text(value: object) -> str:
    """Return text without surrounding white space; refuses NUL and line breaks."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("must be text")
    text = str(value).strip()
    if not text or re.search(r"[\x00\r\n]", text):
        raise ValueError("must be one line of text")
    return text


def parse_boolean(value: object) -> bool:
    """Return the truth value of true/false, yes/no, on/off, 1/0."""
    if isinstance(value, bool):
        return value
    found = _SWITCH.get(str(value).strip().lower())
    if found is None:
        raise ValueError("must be true or false")
    return found


def parse_count(value: object) -> int:
    """Return a whole number, zero or more."""
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,9}", text):
        raise ValueError("must be a whole number, zero or more")
    return int(text)


def parse_positive(value: object) -> int:
    """Return a whole number, one or more."""
    number = parse_count(value)
    if number < 1:
        raise ValueError("must be a whole number, one or more")
    return number


def parse_duration(value: object) -> timedelta:
    """Return a duration written as 90s, 30m, 26h, 7d, 2w, or a sum of them (1d12h)."""
    text = str(value).strip().lower()
    parts = re.findall(r"(\d{1,6})([smhdw])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("must be a duration such as 90s, 30m, 26h, 7d or 1d12h")
    return timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in parts))


def parse_path(value: object) -> Path:
    """Return a path; a leading ~ is the home directory."""
    return Path(parse_text(value)).expanduser()


def parse_zone(value: object) -> str:
    """Return the name of a time zone that this machine's or Python's tables know."""
    text = parse_text(value)
    try:
        ZoneInfo(text)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError("must be a time zone such as UTC or Europe/Berlin") from error
    return text


def parse_backup_name(value: object) -> str:
    """Return a backup's name, or ``latest``."""
    text = parse_text(value)
    if text != "latest" and names.backup_moment(text) is None:
        raise ValueError("must be latest or a backup's name such as backup-20260131T020000Z")
    return text
