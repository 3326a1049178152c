"""The last filter before a word leaves: known secrets become ``***``, in every form they may take."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from urllib.parse import parse_qs, quote, unquote

SHORTEST = 4
"""Shorter values are not looked for: they are found in ordinary words, and protect nothing."""

_URI = re.compile(r"[a-zA-Z][\w+.-]*://[^:@/?#]*:(?P<password>.*)@", re.DOTALL)
_KEYWORD = re.compile(r"(?:^|\s)password\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s\\]|\\.)+))", re.DOTALL)


def passwords_in(text: str) -> tuple[str, ...]:
    """Return the passwords inside a connection string, as written there and percent-decoded.

    Tolerant on purpose: a string that libpq would refuse may still hold a real password.
    """
    found: list[str] = []
    match = _URI.match(text)
    if match:
        found.append(match["password"])
        found.append(match["password"].split("@")[0])
    if "://" in text and "?" in text:
        found.extend(parse_qs(text.partition("?")[2]).get("password", ()))
    for quoted, bare in _KEYWORD.findall(text):
        found.append(re.sub(r"\\(.)", r"\1", quoted or bare))
    found.extend(unquote(value) for value in tuple(found))
    return tuple(dict.fromkeys(value for value in found if value))


def forms(value: str) -> tuple[str, ...]:
    """Return how a value may be written in text: plain, percent-encoded, JSON-escaped, each line alone.

    The password inside a connection string counts as well. Never an empty or blank one.
    """
    found: list[str] = []
    for plain in filter(str.strip, (value, *passwords_in(value))):
        encoded = quote(plain, safe="")
        lines = (plain, plain.strip(), *(line.strip() for line in plain.splitlines()))
        found.extend(lines)
        found.extend((encoded, quote(plain), re.sub(r"%..", lambda code: code[0].lower(), encoded)))
        found.extend(
            (json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1], repr(plain)[1:-1])
        )
    return tuple(dict.fromkeys(text for text in found if text.strip()))


class Redactor:
    """The secrets known so far. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, value: str) -> tuple[str, ...]:
        """Learn a secret; return those of its forms that were not known yet (short ones included)."""
        with self._lock:
            new = tuple(form for form in forms(value) if form not in self._known)
            self._known.update(new)
            sought = sorted((form for form in self._known if len(form) >= SHORTEST), key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, sought))) if sought else None
        return new

    def hide(self, text: str) -> str:
        """Return the text with every known secret in it replaced."""
        pattern = self._pattern
        return pattern.sub("***", text) if pattern else text

    def hide_in(self, value: object) -> object:
        """Return a JSON document with every known secret inside its strings replaced."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, Mapping):
            return {self.hide(str(key)): self.hide_in(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.hide_in(item) for item in value]
        return value
