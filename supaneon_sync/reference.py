"""What is written about the tool, made from the tables that it runs on.

``python -m supaneon_sync.reference`` writes ``action.yml``'s inputs and outputs, ``docs/reference/``
and the README's tables, between markers; ``--check`` only says what is out of date (exit code 1).
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

from supaneon_sync import registry
from supaneon_sync.arguments import verb_help
from supaneon_sync.errors import exit_codes
from supaneon_sync.report.outputs import OUTPUTS, Output
from supaneon_sync.setting import Setting
from supaneon_sync.settings import DEFAULT_FILE, SETTINGS
from supaneon_sync.values import written

_MADE = "Made by `python -m supaneon_sync.reference`; do not edit."


def _present(operations: Sequence[str]) -> list[str]:
    there = {verb.operation for verb in registry.available()}
    return [operation for operation in operations if operation in there]


def settings_shown() -> tuple[Setting, ...]:
    """Return the settings of the verbs that this installation has."""
    return tuple(row for row in SETTINGS if _present(row.verbs))


def outputs_shown() -> tuple[Output, ...]:
    """Return the outputs of the verbs that this installation has."""
    return tuple(output for output in OUTPUTS if _present(output.operations))


def inputs_yaml() -> str:
    """Return the lines of ``action.yml`` that declare the inputs.

    None has a ``default``: GitHub hands a default over as if it had been given, and it would then
    win over the environment and the file. The table's defaults are named in the descriptions.
    """
    operations = ", ".join(verb.operation for verb in registry.available())
    rows = [
        ("operation", f"What to do: one of {operations}; or several in a row, with commas.", True),
        ("config", f"Settings file in the workspace. Default: {DEFAULT_FILE}, where it is there.", False),
    ]
    given = [row for row in settings_shown() if not row.command_line_only and not row.file_only]
    rows += [(row.name, _described(row), False) for row in given]
    return "\n".join(
        f"  {name}:\n{_folded(text)}\n    required: {written(required)}" for name, text, required in rows
    )


def _folded(text: str) -> str:
    lines = textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False)
    return "\n".join(("    description: >-", *(f"      {line}" for line in lines)))


def _described(row: Setting) -> str:
    text = row.help
    if row.default is not None:
        text += f" Default: {written(row.default)}."
    if row.required:
        text += f" Needed by {', '.join(_present(row.required))}."
    if row.environment:
        text += f" Or set the environment variable {row.environment}."
    return text


def outputs_yaml() -> str:
    """Return the lines of ``action.yml`` that declare the outputs."""
    return "\n".join(f"  {output.name}:\n{_folded(output.description)}" for output in outputs_shown())


def settings_table() -> str:
    """Return the settings as a Markdown table."""
    rows = []
    for row in settings_shown():
        default = "secret" if row.secret else written(row.default) or "none"
        rows.append(
            (
                f"`{row.name}`" + _place(row),
                f"`{row.environment}`" if row.environment else "",
                default if row.secret or default == "none" else f"`{default}`",
                ", ".join(f"**{verb}**" if verb in row.required else verb for verb in _present(row.verbs)),
                row.help,
            )
        )
    return _table(("Input, flag", "Environment", "Default", "Used by (**needed**)", "Meaning"), rows)


def _place(row: Setting) -> str:
    if row.command_line_only:
        return " (command line only)"
    return " (settings file only)" if row.file_only else ""


def outputs_table() -> str:
    """Return the outputs as a Markdown table."""
    rows = [
        (f"`{output.name}`", ", ".join(_present(output.operations)), output.description)
        for output in outputs_shown()
    ]
    return _table(("Output", "Set by", "Meaning"), rows)


def verbs_table() -> str:
    """Return the verbs as a Markdown table."""
    rows = [(f"`{verb.operation}`", _called(verb), verb.summary) for verb in registry.available()]
    return _table(("Operation", "Command line", "Does"), rows)


def _called(verb: registry.Verb) -> str:
    others = [name for name in verb.names if name != verb.command]
    return f"`supaneon-sync {verb.command}`" + (f" (or `{'`, `'.join(others)}`)" if others else "")


def exit_codes_table() -> str:
    """Return the exit codes as a Markdown table."""
    rows = [(str(code), f"`{kind}`" if kind else "", meaning) for code, kind, meaning in exit_codes()]
    return _table(("Exit code", "`failure-kind`", "Meaning"), rows)


def command_line() -> str:
    """Return the help of every verb."""
    return "\n\n".join(
        f"## {verb.command}\n\n```text\n{verb_help(verb)}\n```" for verb in registry.available()
    )


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


_PARTS: dict[str, Callable[[], str]] = {
    "inputs": inputs_yaml,
    "outputs": outputs_yaml,
}
_TABLES: dict[str, Callable[[], str]] = {
    "verbs": verbs_table,
    "settings": settings_table,
    "outputs": outputs_table,
    "exit-codes": exit_codes_table,
}


def pages() -> dict[str, str]:
    """Return the pages of ``docs/reference/``, whole."""
    titles = {
        "settings": "Settings",
        "outputs": "Outputs of the action",
        "verbs": "Verbs",
        "exit-codes": "Exit codes",
    }
    found = {
        f"docs/reference/{name}.md": f"# {titles[name]}\n\n<!-- {_MADE} -->\n\n{table()}\n"
        for name, table in _TABLES.items()
    }
    found["docs/reference/command-line.md"] = f"# Command line\n\n<!-- {_MADE} -->\n\n{command_line()}\n"
    return found


def files(root: Path) -> dict[str, str]:
    """Return every file that is made, whole, by its path below ``root``, as it should be."""
    made = pages()
    for name, parts, opening, closing in (
        ("action.yml", _PARTS, "# {}:{}", ""),
        ("README.md", _TABLES, "<!-- {}:{}", " -->"),
    ):
        path = root / name
        if path.exists():
            made[name] = _filled(path.read_text(encoding="utf-8"), parts, opening, closing)
    return made


def _filled(text: str, parts: dict[str, Callable[[], str]], opening: str, closing: str) -> str:
    """Return the text with what stands between each pair of markers replaced."""
    for name, make in parts.items():
        begin, end = opening.format(name, "begin") + closing, opening.format(name, "end") + closing
        gap = "\n\n" if closing else "\n"
        pattern = re.compile(
            rf"(^[ ]*{re.escape(begin)}\n).*?(^[ ]*{re.escape(end)}$)", re.DOTALL | re.MULTILINE
        )
        body = make() + gap
        lead = "\n" if closing else ""
        text = pattern.sub(lambda match, body=body, lead=lead: match[1] + lead + body + match[2], text)  # type: ignore[misc]
    return text


def main(arguments: Sequence[str]) -> int:
    """Write what is out of date below the current directory; with ``--check``, only name it."""
    root = Path()
    stale = [
        (root / name, content)
        for name, content in files(root).items()
        if not (root / name).exists() or (root / name).read_text(encoding="utf-8") != content
    ]
    for path, content in stale:
        print(path)
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
