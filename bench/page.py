"""`python -m bench.page`: docs/performance.md, from its template and the figures that were measured.

Prose is written in ``bench/performance.md.template``; a ``$name`` in it is a figure or a table made here of
``docs/bench.json``, ``docs/second.json`` and ``docs/tiny.json``. Nothing is measured.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from string import Template
from typing import Any

from bench import compare, datasets, digests, lines, second, targets, telling, tiny
from bench.lines import Result, find

PAGE = Path("docs/performance.md")
TEMPLATE = Path("bench/performance.md.template")


def render(root: Path) -> str:
    """Return the page that the template and the figures below ``root`` make.

    Raises KeyError where the template names what is not made here, LookupError where a line is not measured.
    """
    copies, seconds, tinies = (
        json.loads((root / "docs" / f"{name}.json").read_text()) for name in ("bench", "second", "tiny")
    )
    figures = _of_copies(copies) | _of_second_backups(seconds) | _of_tiny_backups(tinies)
    return Template((root / TEMPLATE).read_text()).substitute(figures)


def _of_copies(document: dict[str, Any]) -> dict[str, str]:
    results, server = document["results"], document["server"]
    sections = [_section(one, telling.table(one, compare.PEERS, compare.WHOLE)) for one in _in_order(results)]
    sizes = [f"{size} MB for {shape}" for shape, size in datasets.SIZES.items()]
    return {
        "cores": str(document["cores"]),
        "jobs": str(document["jobs"]),
        "shared_buffers": server["shared_buffers"],
        "maintenance_work_mem": server["maintenance_work_mem"],
        "sizes": ", ".join(sizes),
        "copies": "\n\n".join(sections),
        "fingerprints": digests.table(document["fingerprints"]),
        "copy_targets": targets.table(targets.of_copies(results)),
        **_processor(results),
    }


def _processor(results: list[Result]) -> dict[str, str]:
    """Return what processors' time goes to where targets are missed, in seconds, and where the floor is."""
    floor = lines.ratio(find(results, "many-tables"), telling.FLOOR, compare.PEERS)
    many, indexes = (find(results, shape)["contenders"] for shape in ("many-tables", "index-heavy"))
    names = (compare.OURS, compare.OURS_BARE, compare.DIRECTORY)
    ours, bare, peer = (many[name]["processor"] for name in names)
    taken = {
        "many_whole": ours,
        "many_statistics": ours - bare,
        "many_bare": bare,
        "many_peer": peer,
        "many_wanted": targets.MANY_TABLES * peer,
        "many_proof": many[compare.OURS_PROVED]["processor"] - ours,
        "indexes_proof": indexes[compare.OURS_PROVED]["processor"] - indexes[compare.OURS]["processor"],
    }
    shown = {name: f"{seconds:.1f}" for name, seconds in taken.items()}
    return shown | {"many_limit": f"{targets.MANY_TABLES:g}", "many_floor": f"{floor:.2f}"}


def _of_second_backups(document: dict[str, Any]) -> dict[str, str]:
    results = document["results"]
    found = find(results, "integer keys")["contenders"]
    more = found[second.HASHED_AGAIN]["seconds"] - found["nothing changed"]["seconds"]
    return {
        "second_backups": "\n\n".join(_section(one, second.table(one)) for one in results),
        "second_targets": targets.table(targets.of_second_backups(results)),
        "hashing_again": f"{more:.1f}",
    }


def _of_tiny_backups(document: dict[str, Any]) -> dict[str, str]:
    return {
        "tiny_tables": str(document["tables"]),
        "tiny_operation": f"{document['operation_seconds']:g}",
        "tiny_rounds": str(document["rounds"]),
        "tiny_backups": tiny.table(document["results"]),
        "tiny_targets": targets.table(targets.of_tiny_backups(document["results"])),
    }


def _in_order(results: list[Result]) -> list[Result]:
    """Sort by shape, then by delay: a line that was measured again stands where it stood."""
    shapes = list(datasets.SHAPES)
    return sorted(results, key=lambda one: (shapes.index(lines.shape(one)), one["delay"]))


def _section(result: Result, table: str) -> str:
    """Return a line's heading, what was copied, and its table."""
    heading = f"{result['shape']}, {lines.way(result)}"
    what = f"{result['description']}, {result['size'] / 1e6:.0f} MB; rounds: {result['rounds']}."
    return f"### {_capital(heading)}\n\n{_capital(what)}\n\n{table}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def main() -> int:
    """Write the page below the current directory; return the exit code."""
    PAGE.write_text(render(Path()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
