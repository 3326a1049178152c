"""One row of the table of settings, and the short words that the table is written with."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from supaneon_sync.secret import Secret
from supaneon_sync.values import parse_boolean, parse_count, parse_duration, parse_text


@dataclass(frozen=True)
class Setting:
    """One row of the table. ``required`` names the verbs that cannot do without it.

    ``file_only`` rows are lists, which neither a flag nor an input could hold. ``spared`` verbs can do
    without: a value that is malformed counts as none there, and does not stop them.
    """

    name: str
    parse: Callable[[object], Any]
    kind: str
    help: str
    verbs: tuple[str, ...]
    environment: str | None = None
    default: Any = None
    required: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    secret: bool = False
    command_line_only: bool = False
    file_only: bool = False
    spared: tuple[str, ...] = ()

    @property
    def field(self) -> str:
        """The attribute of `Settings` that holds the value."""
        return self.name.replace("-", "_")

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return f"--{self.name}"

    @property
    def input_variable(self) -> str:
        """The variable in which GitHub's runner hands an action's input over."""
        return f"INPUT_{self.name.upper()}"


def row(kind: str, parse: Callable[[object], Any], default: Any = None, **fields: Any) -> Any:
    """A row with a parser of its own. ``fields`` are those of `Setting`."""
    return dataclasses.field(default=default, metadata={"kind": kind, "parse": parse, **fields})


def _parse_secret(value: object) -> Secret:
    return Secret(parse_text(value))


def secret(parse: Callable[[object], Secret] = _parse_secret, **fields: Any) -> Any:
    """A row whose value is hidden everywhere."""
    return row("secret", parse, secret=True, **fields)


def text(default: str | None = None, **fields: Any) -> Any:
    """A row with one line of text."""
    return row("text", parse_text, default, **fields)


def flag(default: bool = False, **fields: Any) -> Any:
    """A row that is true or false."""
    return row("boolean", parse_boolean, default, **fields)


def count(default: int | None = None, **fields: Any) -> Any:
    """A row with a whole number, zero or more."""
    return row("number", parse_count, default, **fields)


def duration(default: timedelta | None = None, **fields: Any) -> Any:
    """A row with a length of time."""
    return row("duration", parse_duration, default, **fields)


def choice(*allowed: str, default: str | None = None, **fields: Any) -> Any:
    """A row with one of a few words."""

    def parse(value: object) -> str:
        word = parse_text(value)
        if word not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}{nearest(word, allowed)}")
        return word

    return row("choice", parse, default, choices=allowed, **fields)


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence that says ``what``, ended by the known name that is nearest, where there is one."""
    hint = nearest(name, known)
    return what + (hint or ".")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the known name that is nearest, or nothing."""
    near = difflib.get_close_matches(name.strip().lower().replace("_", "-"), tuple(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
