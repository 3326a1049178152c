"""Reading a JSON object of Neon's without trusting it.

Unknown fields are ignored, missing or ill-typed ones that we need are named; values never appear in
an error, because an answer may hold a password or a connection URI.
"""

from __future__ import annotations

from datetime import UTC, datetime


class Malformed(ValueError):
    """An answer lacks a field that we need, or the field is not of its documented type."""


class Fields:
    """One JSON object of an answer; ``where`` names it in errors (``branch``, ``operations[0]``)."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise Malformed(f"{where} is not an object")
        self._value: dict[str, object] = value
        self._where = where

    def _need(self, name: str) -> object:
        value = self._value.get(name)
        if value is None:
            raise Malformed(f"{self._where}.{name} is missing")
        return value

    def _ill_typed(self, name: str, wanted: str) -> Malformed:
        return Malformed(f"{self._where}.{name} is not {wanted}")

    def text(self, name: str) -> str:
        """Return a string that must be there and must not be empty."""
        value = self._need(name)
        if not isinstance(value, str) or not value:
            raise self._ill_typed(name, "a text")
        return value

    def maybe_text(self, name: str) -> str | None:
        """Return a string, None where it is absent, null or empty."""
        value = self._value.get(name)
        if value is None or value == "":
            return None
        return self.text(name)

    def maybe_integer(self, name: str) -> int | None:
        """Return a whole number of any size, None where it is absent."""
        value = self._value.get(name)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._ill_typed(name, "a whole number")
        return value

    def maybe_number(self, name: str) -> float | None:
        """Return a number, None where it is absent."""
        value = self._value.get(name)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self._ill_typed(name, "a number")
        try:
            return float(value)
        except OverflowError:
            raise self._ill_typed(name, "a number within reason") from None

    def flag(self, name: str, default: bool | None = None) -> bool:
        """Return a boolean; without ``default`` it must be there."""
        if default is not None and self._value.get(name) is None:
            return default
        value = self._need(name)
        if not isinstance(value, bool):
            raise self._ill_typed(name, "true or false")
        return value

    def moment(self, name: str) -> datetime:
        """Return a time with its zone; a time without one is taken for UTC, as Neon's are."""
        try:
            moment = datetime.fromisoformat(self.text(name))
        except ValueError:
            raise self._ill_typed(name, "a time") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def maybe_moment(self, name: str) -> datetime | None:
        """Return a time with its zone, None where it is absent."""
        return None if self.maybe_text(name) is None else self.moment(name)

    def inner(self, name: str) -> Fields:
        """Return the object ``name``, an empty one where it is absent."""
        return Fields(self._value.get(name) or {}, f"{self._where}.{name}")

    def needed(self, name: str) -> Fields:
        """Return the object ``name``, which must be there."""
        return Fields(self._need(name), f"{self._where}.{name}")

    def each(self, name: str) -> list[Fields]:
        """Return the objects of the list ``name``, none where it is absent."""
        value = self._value.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._ill_typed(name, "a list")
        return [Fields(item, f"{self._where}.{name}[{index}]") for index, item in enumerate(value)]

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the strings of the list ``name``, none where it is absent."""
        value = self._value.get(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._ill_typed(name, "a list of texts")
        return tuple(value)

    def text_pairs(self) -> dict[str, str]:
        """Return the string values of this object by name; values of other types are left out."""
        return {name: value for name, value in self._value.items() if isinstance(value, str)}
