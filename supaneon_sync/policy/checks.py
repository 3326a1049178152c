"""The user's own checks: one SELECT each, and what it must give."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal, InvalidOperation

LONGEST = timedelta(hours=1)
_KEYS = ("name", "sql", "expect", "min", "max", "rows", "timeout")
_COMMENT = re.compile(r"\s*(--[^\n]*(\n|\Z)|/\*.*?\*/)", re.DOTALL)
_FIRST_WORD = re.compile(r"[\s(]*([a-z]+)", re.IGNORECASE)
_ANYTHING = object()
"""What a check expects that expects no certain value (NULL is one)."""


@dataclass(frozen=True)
class Check:
    """One check. ``sql`` gives rows; ``expect``, ``minimum``, ``maximum`` are about the first value of the
    first row, ``rows`` is the number of rows. ``timeout`` is the server's time for it."""

    name: str
    sql: str
    expect: object = _ANYTHING
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    rows: int | None = None
    timeout: timedelta = field(default=timedelta(seconds=30))

    def __str__(self) -> str:
        return self.name

    @property
    def asks_for_a_value(self) -> bool:
        """Say whether the first value matters, not the number of rows alone."""
        return self.expect is not _ANYTHING or self.minimum is not None or self.maximum is not None


def read(value: object) -> tuple[Check, ...]:
    """Return the checks that a settings file's list holds.

    Raises ValueError that names the item and what would be right there; no SQL is quoted in it.
    """
    if not isinstance(value, list):
        raise ValueError("must be a list, each item with name, sql and what to expect")
    found: list[Check] = []
    for number, item in enumerate(value, 1):
        try:
            check = _check(item)
        except ValueError as error:
            raise ValueError(f"item {number} {error}") from None
        if check.name in [other.name for other in found]:
            raise ValueError(f"item {number} has the name of another item")
        found.append(check)
    return tuple(found)


def _check(item: object) -> Check:
    if not isinstance(item, Mapping):
        raise ValueError("must be a mapping with name, sql and what to expect")
    strange = [str(key)[:40] for key in item if key not in _KEYS]
    if strange:
        raise ValueError(f"has the unknown key {strange[0]!r}; there are {', '.join(_KEYS)}")
    name, sql = item.get("name"), item.get("sql")
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise ValueError("needs a name, one line of text")
    if not isinstance(sql, str) or not _selects(sql):
        raise ValueError("needs sql that begins with SELECT, WITH, VALUES or TABLE")
    if not {"expect", "min", "max", "rows"} & item.keys():
        raise ValueError("needs expect, min, max or rows, or it could not fail")
    rows = item.get("rows")
    if rows is not None and (isinstance(rows, bool) or not isinstance(rows, int) or rows < 0):
        raise ValueError("needs a whole number for rows")
    return Check(
        name=name.strip(),
        sql=sql.strip().rstrip("; \t\r\n"),
        expect=_expected(item["expect"]) if "expect" in item else _ANYTHING,
        minimum=_limit(item, "min"),
        maximum=_limit(item, "max"),
        rows=rows,
        timeout=_timeout(item.get("timeout", 30)),
    )


def _selects(sql: str) -> bool:
    text = sql
    while (match := _COMMENT.match(text)) is not None:
        text = text[match.end() :]
    word = _FIRST_WORD.match(text)
    return word is not None and word[1].lower() in ("select", "with", "values", "table")


def _expected(value: object) -> object:
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise ValueError("needs one value for expect: text, a number, true, false or null")


def _limit(item: Mapping[object, object], key: str) -> Decimal | None:
    value = item.get(key)
    number = None if value is None else _number(value)
    if value is not None and number is None:
        raise ValueError(f"needs a number for {key}")
    return number


def _timeout(value: object) -> timedelta:
    match = re.fullmatch(r"([0-9]{1,5})(s|m|h)?", str(value).strip())
    seconds = int(match[1]) * {"m": 60, "h": 3600}.get(match[2] or "s", 1) if match else 0
    if not 0 < seconds <= LONGEST.total_seconds():
        raise ValueError("needs a timeout such as 10s or 5m, at most 1h")
    return timedelta(seconds=seconds)


def judge(check: Check, first: object, rows: int, *, show_values: bool) -> str:
    """Return what is wrong with a check's answer, '' if nothing.

    ``first`` is the first row's first value (None for NULL or no row). Values are row data: they are
    quoted under ``show_values`` alone.
    """
    if check.rows is not None and rows != check.rows:
        return f"gave {rows} rows, {check.rows} expected"
    if not check.asks_for_a_value:
        return ""
    if not rows:
        return "gave no row"
    shown = f" ({first!r})" if show_values else ""
    if check.expect is not _ANYTHING and not _equal(first, check.expect):
        return f"gave another value{shown} than expected"
    return _beyond(check, _number(first), shown)


def _beyond(check: Check, number: Decimal | None, shown: str) -> str:
    if check.minimum is None and check.maximum is None:
        return ""
    if number is None:
        return "gave no number"
    if check.minimum is not None and number < check.minimum:
        return f"gave a value{shown} below the minimum of {check.minimum}"
    if check.maximum is not None and number > check.maximum:
        return f"gave a value{shown} above the maximum of {check.maximum}"
    return ""


def _equal(found: object, expected: object) -> bool:
    if expected is None or found is None or isinstance(expected, bool) or isinstance(found, bool):
        return found is expected
    if isinstance(expected, str):
        return str(found) == expected
    return _number(found) == _number(expected)


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
