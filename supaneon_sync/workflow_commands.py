"""The language of GitHub's runner: commands in the log, and the files that outputs are handed over in.

The escapes are those that the runner undoes (actions/runner, ActionCommand.cs); the files' form is
that of its FileCommandManager: ``name<<delimiter``, the value's lines, the delimiter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

_DATA = (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"))
_PROPERTY = (*_DATA, (":", "%3A"), (",", "%2C"))


def command(name: str, message: str, **properties: str) -> str:
    """Return one workflow command as the line that the runner acts on."""
    shown = ",".join(f"{key}={_escape(value, _PROPERTY)}" for key, value in properties.items() if value)
    return f"::{name}{' ' + shown if shown else ''}::{_escape(message, _DATA)}"


def line(text: str) -> str:
    """Return text as lines of the log that the runner takes for no command, whatever they say.

    The runner acts on lines that begin with ``::`` after white space, and on ``##[`` anywhere.
    """
    shown = []
    for part in text.replace("##[", "## [").splitlines():
        shown.append(f"|{part}" if part.lstrip().startswith("::") else part)
    return "\n".join(shown)


def heredocs(outputs: Mapping[str, str], token: Callable[[int], bytes]) -> str:
    """Return the text that hands outputs over, each between delimiters that nobody can guess.

    ``token`` gives that many random bytes. Raises ValueError where they were not random.
    """
    text = ""
    for name, value in outputs.items():
        delimiter = f"supaneon_{token(16).hex()}"
        if delimiter in value or delimiter in name:
            raise ValueError("a delimiter that is not random")
        text += f"{name}<<{delimiter}\n{value}\n{delimiter}\n"
    return text


def _escape(text: str, table: tuple[tuple[str, str], ...]) -> str:
    for plain, escaped in table:
        text = text.replace(plain, escaped)
    return text
