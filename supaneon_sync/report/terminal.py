"""An outcome as text for a person at a terminal, or in a log."""

from __future__ import annotations

from dataclasses import dataclass

from supaneon_sync.report.outcome import Outcome, Table
from supaneon_sync.report.text import harmless, one_line

GOOD = frozenset({"ok", "healthy", "pass", "passed", "proved", "equal", "done"})
"""Verdicts that need nobody's attention. Any other one is shown as a warning, unless the run failed."""


@dataclass(frozen=True)
class Style:
    """Whether to paint."""

    colour: bool = False

    def paint(self, text: str, code: str) -> str:
        """Return the text in a colour, where there are colours."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text else text


def mood(outcome: Outcome) -> str:
    """Return ``good``, ``warning`` or ``bad``."""
    if outcome.exit_code:
        return "bad"
    return "good" if outcome.verdict.lower() in GOOD else "warning"


_CODES = {"good": "1;32", "warning": "1;33", "bad": "1;31"}


def render(outcome: Outcome, style: Style = Style()) -> str:
    """Return the outcome as aligned text: headline, facts, tables, notes, script; or its script alone."""
    if outcome.script and not (outcome.facts or outcome.tables or outcome.notes):
        return harmless(outcome.script)
    verdict = style.paint(one_line(outcome.verdict), _CODES[mood(outcome)])
    blocks = [f"{verdict}: {style.paint(one_line(outcome.headline), '1')}"]
    if outcome.facts:
        blocks.append(pairs(outcome.facts))
    blocks.extend(_table(table, style) for table in outcome.tables)
    if outcome.notes:
        blocks.append("\n".join(f"- {one_line(note)}" for note in outcome.notes))
    if outcome.script:
        blocks.append(harmless(outcome.script))
    return "\n\n".join(blocks)


def pairs(facts: tuple[tuple[str, str], ...]) -> str:
    """Return names and values, the values below one another."""
    width = max(len(one_line(name)) for name, _ in facts)
    return "\n".join(f"  {one_line(name):<{width}}  {one_line(value)}".rstrip() for name, value in facts)


def _table(table: Table, style: Style) -> str:
    cells = [tuple(one_line(cell) for cell in row) for row in (table.columns, *table.rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(table.columns))]
    lines = [style.paint(one_line(table.title), "1")]
    for number, row in enumerate(cells):
        shown = [
            cell.rjust(width) if column in table.numeric else cell.ljust(width)
            for cell, width, column in zip(row, widths, table.columns, strict=True)
        ]
        line = "  " + "  ".join(shown).rstrip()
        lines.append(style.paint(line, "2") if number == 0 else line)
    if not table.rows:
        lines = [*lines[:1], "  None."]
    return "\n".join(lines)
