"""An outcome as Markdown for a step's summary. Every text from outside is escaped."""

from __future__ import annotations

import re

from supaneon_sync.report.outcome import Outcome
from supaneon_sync.report.terminal import mood
from supaneon_sync.report.text import harmless

_BADGES = {"good": "✅", "warning": "⚠️", "bad": "❌"}
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "&#96;", "@": "&#64;"}
_MARKS = re.compile(r"[\\*_~\[\]!#]")


def escape(text: str) -> str:
    """Return text that Markdown shows as it is: no markup, no HTML, no end of a table's cell."""
    marked = _MARKS.sub(lambda match: "\\" + match[0], harmless(" ".join(text.split())))
    return "".join(_ENTITIES.get(character, character) for character in marked)


def render(outcome: Outcome) -> str:
    """Return the summary: verdict first, then facts, tables and notes."""
    blocks = [
        f"### {_BADGES[mood(outcome)]} {escape(outcome.operation)}: {escape(outcome.verdict)}",
        escape(outcome.headline),
    ]
    if outcome.facts:
        blocks.append(_grid(("", ""), outcome.facts))
    for table in outcome.tables:
        blocks.append(f"#### {escape(table.title)}")
        blocks.append(_grid(table.columns, table.rows, table.numeric) if table.rows else "None.")
    if outcome.notes:
        blocks.append("\n".join(f"- {escape(note)}" for note in outcome.notes))
    if outcome.script:
        longest = max((len(run) for run in re.findall("`+", outcome.script)), default=0)
        fence = "`" * max(3, longest + 1)
        blocks.append(f"{fence}sql\n{harmless(outcome.script)}\n{fence}")
    return "\n\n".join(blocks) + "\n"


def render_failure(operation: str, message: str, remedy: str, details: tuple[str, ...]) -> str:
    """Return the summary of a run that failed: what, what to do now, and the details."""
    blocks = [f"### {_BADGES['bad']} {escape(operation)}: failed", escape(message)]
    if remedy:
        blocks.append(f"**What to do now:** {escape(remedy)}")
    if details:
        blocks.append("\n".join(f"- {escape(detail)}" for detail in details))
    return "\n\n".join(blocks) + "\n"


def shorten(text: str, limit: int, pointer: str) -> str:
    """Return whole lines of the text that fit into ``limit`` bytes of UTF-8, then the pointer.

    Text that fits is returned as it is; where not even the pointer fits, nothing is.
    """
    if len(text.encode()) <= limit:
        return text
    tail = f"\n\n{pointer}\n"
    room = limit - len(tail.encode())
    if room < 0:
        return ""
    kept: list[str] = []
    for line in text.splitlines(keepends=True):
        room -= len(line.encode())
        if room < 0:
            break
        kept.append(line)
    return "".join(kept).rstrip("\n") + tail


def _grid(
    columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...], numeric: frozenset[str] = frozenset()
) -> str:
    marks = ("---:" if column in numeric else "---" for column in columns)
    lines = [_row(columns), "| " + " | ".join(marks) + " |", *(_row(row) for row in rows)]
    return "\n".join(lines)


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(escape(cell) for cell in cells) + " |"
