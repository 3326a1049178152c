"""What is told of the runs: medians, tables in Markdown, the JSON and the chart."""

from __future__ import annotations

import json
import statistics
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from bench import markdown, picture
from bench.lines import Result, ratio

FLOOR = "floor"


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the medians of the runs, with the runs' seconds."""
    numbers = [key for key, value in runs[0].items() if isinstance(value, int | float)]
    found: dict[str, Any] = {key: statistics.median(one[key] for one in runs) for key in numbers}
    found["runs"] = [round(one["seconds"], 3) for one in runs]
    if "phases" in runs[0]:
        found["phases"] = {
            key: round(statistics.median(one["phases"].get(key, 0) for one in runs), 3)
            for key in runs[0]["phases"]
        }
    return found


def table(result: Result, peers: Collection[str], whole: Collection[str]) -> str:
    """Return a measured line as a table in Markdown: medians, and ratios to the fastest of some contenders.

    Those are the ``peers``, the ones that leave the copy ``whole``, which is with statistics, and the floor.
    """
    heads = ["", "seconds", "to the fastest peer", "to the fastest with statistics", "to the floor"]
    heads += ["processor", "memory", "disk", "pages read", "WAL", "full-page images", "from the primary"]
    rows = []
    for name, one in result["contenders"].items():
        ratios = [ratio(result, name, others) for others in (peers, whole, [FLOOR])]
        cells = [name, f"{one['seconds']:.2f}", *(f"{part:.2f}" for part in ratios)]
        if "memory" in one:
            cells += [f"{one['processor']:.1f} s"]
            cells += [f"{one[key] / 1e6:.0f} MB" for key in ("memory", "disk")]
            cells += [
                f"{one['pages_read']:.0f}",
                f"{one['wal'] / 1e6:.0f} MB",
                f"{one['full_page_images']:.0f}",
                f"{one['from_primary'] / 1e6:.0f} MB" if "from_primary" in one else "not counted",
            ]
        rows.append(cells + [""] * (len(heads) - len(cells)))
    return markdown.table(heads, rows)


def earlier(path: Path, conditions: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the document that is there already, None without one, for others to be kept beside it.

    Raises SystemExit where its figures are not of the same conditions: cores, jobs, servers, peers.
    """
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text())
    differing = [name for name, value in conditions.items() if found[name] != value]
    if differing:
        raise SystemExit(f"The figures in {path} are of other conditions: {', '.join(differing)}.")
    return found


def keep(document: dict[str, Any], path: Path, before: dict[str, Any] | None = None) -> None:
    """Write the document, with what was measured before of other shapes and lines; beside it the chart."""
    if before:
        measured = {(one["shape"], one["delay"]) for one in document["results"]}
        others = [one for one in before["results"] if (one["shape"], one["delay"]) not in measured]
        document = document | {
            "results": [*others, *document["results"]],
            "fingerprints": before["fingerprints"] | document["fingerprints"],
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")
    path.with_suffix(".svg").write_text(picture.draw(document))
