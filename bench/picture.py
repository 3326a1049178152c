"""The chart of a comparison, as an SVG: one group of bars a shape and line, one bar a contender."""

from __future__ import annotations

from html import escape
from typing import Any

from bench.lines import way

_COLOURS = {
    "ours without proof": "#0b6e4f",
    "ours with proof": "#3fa77f",
    "ours without proof or statistics": "#9ad1b9",
    "pg_dump | pg_restore": "#8d99ae",
    "pg_dump -Fd -j | pg_restore -j": "#6c757d",
    "pgcopydb clone": "#b08968",
    "pg_restore -j, then vacuumdb -z -j": "#adb5bd",
    "floor": "#d9d9d9",
}
_OTHER = "#3fa77f"
"""Of our own second backups."""
_WIDTH, _LEFT, _BAR, _GAP = 860, 250, 17, 34


def draw(document: dict[str, Any]) -> str:
    """Return the chart of everything in the document, seconds to the right."""
    parts: list[str] = []
    y = 46
    for result in document["results"]:
        found = result["contenders"]
        longest = max(one["seconds"] for one in found.values())
        what = f"{result['description']}, {result['size'] / 1e6:.0f} MB, rounds: {result['rounds']}"
        title = f"{result['shape']}, {way(result)} ({what})"
        parts.append(f'<text x="10" y="{y}" font-weight="bold">{escape(title)}</text>')
        y += 10
        for name, one in found.items():
            width = (_WIDTH - _LEFT - 70) * one["seconds"] / longest
            parts.append(f'<text x="{_LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>')
            parts.append(
                f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR - 3}"'
                f' fill="{_COLOURS.get(name, _OTHER)}"/>'
            )
            parts.append(f'<text x="{_LEFT + width + 6:.1f}" y="{y + 12}">{one["seconds"]:.2f} s</text>')
            y += _BAR
        y += _GAP
    cores = f"{document['cores']} cores shared by both servers and the runner"
    heading = f"Median seconds, {document['jobs']} jobs, {cores}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" font-family="sans-serif"'
        f' font-size="12" fill="#222222"><rect width="{_WIDTH}" height="{y}" fill="#ffffff"/>'
        f'<text x="10" y="20">{escape(heading)}</text>{"".join(parts)}</svg>\n'
    )
