"""Text from a database or a server, made fit to be shown."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def harmless(text: str) -> str:
    """Return text whose control characters show as escapes: a name in a database cannot steer a terminal."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def one_line(text: str) -> str:
    """Return harmless text on one line, tabs and line breaks as spaces."""
    return harmless(" ".join(re.split(r"[\n\t]", text)))


def volume_text(volume: int) -> str:
    """Return bytes for people: ``512 B``, ``3.4 MiB``."""
    size, power = float(volume), 0
    while size >= 1024 and power < len(_UNITS) - 1:
        size, power = size / 1024, power + 1
    return f"{size:.1f} {_UNITS[power]}" if power else f"{volume} B"


def size_text(count: int | None) -> str:
    """Return a size for people in powers of 1000: ``512 B``, ``3.4 MB``; None as ``?``."""
    if count is None:
        return "?"
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
