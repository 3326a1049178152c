"""What is told of the runs: medians, tables in Markdown, the JSON and the chart."""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable
from typing import Any

from bench import picture

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


def table(result: dict[str, Any], peers: Iterable[str], whole: Iterable[str]) -> str:
    """Return a measured line as a table in Markdown: medians, and ratios to the fastest of some contenders.

    Those are the ``peers``, the ones that leave the copy ``whole``, which is with statistics, and the floor.
    """
    found = result["contenders"]
    best = [
        min(found[name]["seconds"] for name in names if name in found) for names in (peers, whole, [FLOOR])
    ]
    heads = ["seconds", "to the fastest peer", "to the fastest with statistics", "to the floor", "processor"]
    heads += ["memory", "disk", "pages read", "WAL", "full-page images", "from the primary"]
    rows = [f"| | {' | '.join(heads)} |", f"| --- |{' ---: |' * len(heads)}"]
    for name, one in found.items():
        ratios = [one["seconds"] / other for other in best]
        cells = [f"{one['seconds']:.2f}", *(f"{ratio:.2f}" for ratio in ratios)]
        if "memory" in one:
            cells += [f"{one['processor']:.1f} s"]
            cells += [f"{one[key] / 1e6:.0f} MB" for key in ("memory", "disk")]
            cells += [
                f"{one['pages_read']:.0f}",
                f"{one['wal'] / 1e6:.0f} MB",
                f"{one['full_page_images']:.0f}",
                f"{one['from_primary'] / 1e6:.0f} MB" if "from_primary" in one else "not counted",
            ]
        else:
            cells += [""] * (len(heads) - len(cells))
        label = name.replace("|", "\\|")
        rows.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(rows)


def keep(document: dict[str, Any], options: argparse.Namespace) -> None:
    """Write the document and its chart, with ``--add`` beside what was measured of other shapes and lines."""
    if options.add and options.json.exists():
        before = json.loads(options.json.read_text())
        measured = {(one["shape"], one["delay"]) for one in document["results"]}
        others = [one for one in before["results"] if (one["shape"], one["delay"]) not in measured]
        document["results"] = [*others, *document["results"]]
        document["fingerprints"] = before["fingerprints"] | document["fingerprints"]
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(document, indent=1) + "\n")
    options.chart.parent.mkdir(parents=True, exist_ok=True)
    options.chart.write_text(picture.draw(document))
