"""How the values of settings are written: durations, counts, switches, zones, names.

Every parser takes what a flag, an input, a variable or a YAML file holds, returns the value, and
raises ValueError with a sentence that says what would have been right, without the value itself.
``written`` is the way back.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from supaneon_sync.policy import names
from supaneon_sync.policy.scope import TableName
from supaneon_sync.secret import Secret

_UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
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
    """Return text without surrounding white space; refuses control characters and line breaks."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("must be text")
    text = str(value).strip()
    if not text or _CONTROL.search(text):
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
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError("must be a whole number, zero or more")
    return int(text)


def parse_positive(value: object) -> int:
    """Return a whole number, one or more."""
    try:
        number = parse_count(value)
    except ValueError:
        number = 0
    if number < 1:
        raise ValueError("must be a whole number, one or more")
    return number


_RATE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?) ?(|k|M|G|Ki|Mi|Gi)B?(?:/s)?")
_RATE_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def parse_rate(value: object) -> int:
    """Return bytes a second: ``20MB/s``, ``512 KiB/s``; the unit counts from 1 kB/s on."""
    match = _RATE.fullmatch(str(value).strip())
    rate = int(float(match.group(1)) * _RATE_UNITS[match.group(2)]) if match else 0
    if rate < 1000:
        raise ValueError("must be bytes a second, such as 20MB/s (1kB/s at least)")
    return rate


def parse_compute_units(value: object) -> float:
    """Return a compute's size in Neon's compute units: 0.25, 0.5 and whole numbers, as its plans have."""
    text = str(value).strip()
    number = float(text) if re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,2})?", text) else 0.0
    if isinstance(value, bool) or not 0.25 <= number <= 56 or not (number * 4).is_integer():
        raise ValueError("must be a number of compute units from 0.25 to 56, in steps of 0.25")
    return number


def parse_percentage(value: object) -> int:
    """Return a whole number of per cent from 1 to 100, with or without the sign: ``30%``, ``30``."""
    match = re.fullmatch(r"([0-9]{1,3}) ?%?", str(value).strip())
    number = int(match.group(1)) if match else 0
    if isinstance(value, bool) or not 1 <= number <= 100:
        raise ValueError("must be a whole percentage from 1 to 100, such as 30%")
    return number


def parse_duration(value: object) -> timedelta:
    """Return a duration written as 90s, 30m, 26h, 7d, 2w, or a sum of them (1d12h)."""
    text = str(value).strip().lower()
    parts = re.findall(r"([0-9]{1,6})([smhdw])", text)
    if not 0 < len(parts) <= len(_UNITS) or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("must be a duration such as 90s, 30m, 26h, 7d or 1d12h")
    return timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in parts))


def parse_month(value: object) -> timedelta:
    """Return a duration of at most 30 days."""
    found = parse_duration(value)
    if found > timedelta(days=30):
        raise ValueError("must be a duration of at most 30d, such as 20h")
    return found


def parse_path(value: object) -> Path:
    """Return a path; a leading ~ is the home directory."""
    try:
        return Path(parse_text(value)).expanduser()
    except RuntimeError as error:
        raise ValueError("must be a path whose ~user exists on this machine") from error


_PART = r'(?:"(?:[^"]|"")+"|[^\s",.]+)'


def parse_schemas(value: object) -> tuple[str, ...]:
    """Return the names of a list with commas; odd ones in double quotes, as in SQL. Case counts."""
    items = _items(parse_text(value), _PART)
    if items is None:
        raise ValueError("must be schemas with commas between them, odd names in double quotes")
    return tuple(_unquoted(item) for item in items)


def parse_tables(value: object) -> tuple[TableName, ...]:
    """Return the tables of a list with commas, each with its schema; odd names in double quotes."""
    items = _items(parse_text(value), rf"{_PART}\.{_PART}")
    if items is None:
        raise ValueError("must be tables with commas between them, each as schema.table")
    parts = [re.findall(_PART, item) for item in items]
    return tuple(TableName(_unquoted(schema), _unquoted(table)) for schema, table in parts)


def _items(text: str, item: str) -> list[str] | None:
    whole = re.fullmatch(rf"\s*{item}(?:\s*,\s*{item})*\s*", text)
    return re.findall(item, text) if whole else None


def _unquoted(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def parse_zone(value: object) -> str:
    """Return the name of a time zone that this machine's or Python's tables know."""
    text = parse_text(value)
    try:
        ZoneInfo(text)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError("must be a time zone such as UTC or Europe/Berlin") from error
    return text


def parse_backup_name(value: object) -> str:
    """Return a backup's name, or ``latest``; or a failover branch's name, or ``failover``."""
    text = parse_text(value)
    moment = names.backup_moment(text) or names.failover_moment(text)
    if text not in ("latest", "failover") and moment is None:
        raise ValueError("must be latest or a backup's name such as backup-20260131T020000Z")
    return text


def parse_primary(value: object) -> Secret:
    """Return a connection string, looked at for the two mistakes of copying it, not taken apart."""
    text = parse_text(value)
    if "[YOUR-PASSWORD]" in text:
        raise ValueError("still holds the placeholder [YOUR-PASSWORD]; put the database password there")
    if not re.match(r"postgres(ql)?://.", text) and not re.search(r"(^|\s)host(addr)?\s*=", text):
        raise ValueError("must be a connection string such as postgresql://USER:PASSWORD@HOST:5432/postgres")
    return Secret(text)


def parse_api_host(value: object) -> str:
    """Return the base URL of Neon's API without a trailing slash: https, or http on this machine."""
    text = parse_text(value).rstrip("/")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("must be a URL such as https://console.neon.tech/api/v2") from error
    if (
        not host
        or parts.scheme not in ("http", "https")
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        raise ValueError("must be a URL such as https://console.neon.tech/api/v2")
    if parts.scheme == "http" and not _loopback(host):
        raise ValueError("must begin with https://, since the API key travels there")
    return text


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def written(value: object) -> str:
    """Return a setting's value as one writes it in a file; a secret as ``***``, None as empty text."""
    if value is None:
        return ""
    if isinstance(value, Secret):
        return "***"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    if isinstance(value, timedelta):
        return _written_duration(value)
    return str(value)


def _written_duration(value: timedelta) -> str:
    seconds = int(value.total_seconds())
    unit = next(unit for unit in "dhms" if seconds % _UNITS[unit] == 0) if seconds else "s"
    return f"{seconds // _UNITS[unit]}{unit}"
