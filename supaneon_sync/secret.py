"""A value that must never be printed by accident."""

from __future__ import annotations

from typing import NoReturn


class Secret:
    """A string that shows itself as ``***`` and refuses every accidental way out.

    ``str()``, ``format()``, pickling and JSON refuse with ``TypeError``; ``repr()`` gives ``***``.
    The value leaves by ``reveal()`` alone, which is called only where it is handed to the side
    that needs it: an HTTP header, a connection, a child's environment, a masked output.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the plain value. Call it only at the very place that hands the value over."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __str__(self) -> NoReturn:
        raise TypeError("a secret has no text; call reveal() where it is handed over")

    def __format__(self, spec: str) -> NoReturn:
        raise TypeError("a secret cannot be formatted; call reveal() where it is handed over")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __bool__(self) -> bool:
        return bool(self._value)
