"""`python -m bench.tiny`: the whole backup verb on a database of small tables, and what of it is not Neon's.

The verb is run as a user runs it, in a process of its own, against the sandbox: real servers, and an API
whose operations take a time of their own, as Neon's do. Each round begins with a new sandbox: a first
backup, a change of one row, a second backup. While an operation runs, the time is the API's; the rest is
ours. `--help` tells the options.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import markdown
from supaneon_sync.sandbox.testing import Sandbox

_EVERY = 0.002
"""Seconds between two looks at whether an operation runs."""
_STARTING = "(the process starts)"
BACKUPS = {"first": "first backup", "second": "second backup, one row changed"}
"""The backups of a round, and what they are called."""
_STEP = re.compile(r"\d\d:\d\d:\d\d (\S.*)")
"""A line that announces a step; lines within a step are indented."""
TABLE = """
CREATE TABLE public.small_{n} (id bigint PRIMARY KEY, at timestamptz NOT NULL, note text NOT NULL, n numeric);
INSERT INTO public.small_{n} SELECT g, '2026-01-01', repeat(md5(g::text), 2), g / 7.0
FROM generate_series(1, 20) g;
CREATE INDEX ON public.small_{n} (at);
"""


@dataclass
class Steps:
    """Where a run's seconds go, by the step that it told last, and which of them are the API's."""

    sandbox: Sandbox
    seconds: dict[str, float] = field(default_factory=dict)
    api: dict[str, float] = field(default_factory=dict)
    now: str = _STARTING
    _done: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Add up time until `end`, in a thread of its own."""
        before = time.monotonic()
        while not self._done.wait(_EVERY):
            moment, step = time.monotonic(), self.now
            self.seconds[step] = self.seconds.get(step, 0) + moment - before
            if self.sandbox.plane.state.running():
                self.api[step] = self.api.get(step, 0) + moment - before
            before = moment

    def end(self) -> None:
        """Stop watching."""
        self._done.set()


def backup(sandbox: Sandbox) -> dict[str, Any]:
    """Make one backup and return its seconds: whole, the API's operations, the rest, and the rest by step.

    Raises RuntimeError where it fails.
    """
    steps = Steps(sandbox)
    watcher = threading.Thread(target=steps.watch, daemon=True)
    began = time.monotonic()
    watcher.start()
    process = subprocess.Popen(
        (sys.executable, "-m", "supaneon_sync.cli", "backup-run"),
        env={**os.environ, **sandbox.environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = []
    for line in process.stderr or ():
        said.append(line)
        if step := _STEP.match(line):
            steps.now = re.sub(r"backup-\w+", "backup-…", step[1])
    code = process.wait()
    whole = time.monotonic() - began
    steps.end()
    watcher.join()
    if code != 0:
        raise RuntimeError(f"The backup ended with {code}: {''.join(said)[-2000:]}")
    api = sum(steps.api.values())
    rest = {step: seconds - steps.api.get(step, 0) for step, seconds in steps.seconds.items()}
    return {"seconds": whole, "api": api, "rest": whole - api, "steps": rest}


def round_of(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Make a sandbox and two backups in it; return what each took."""
    choices = {"major": options.major, "operation_seconds": options.operation}
    with Sandbox(primary="empty", **choices) as sandbox:
        primary = sandbox.primary_server
        assert primary is not None
        for number in range(options.tables):
            primary.execute(TABLE.format(n=number), "postgres")
        primary.execute("VACUUM (ANALYZE)", "postgres")
        first = backup(sandbox)
        primary.execute("UPDATE public.small_7 SET n = 1 WHERE id = 3", "postgres")
        time.sleep(1)  # a backup's name has whole seconds
        return {"first": first, "second": backup(sandbox)}


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the medians of the runs, with the runs' own rest."""
    found: dict[str, Any] = {
        key: round(statistics.median(run[key] for run in runs), 3) for key in ("seconds", "api", "rest")
    }
    found["runs"] = [round(run["rest"], 3) for run in runs]
    names = dict.fromkeys(step for run in runs for step in run["steps"])
    found["steps"] = {
        name: round(statistics.median(run["steps"].get(name, 0.0) for run in runs), 3) for name in names
    }
    return found


def table(results: dict[str, Any]) -> str:
    """Return the results as a table in Markdown."""
    heads = ("", "whole", "the API's operations", "the rest")
    rows = [
        (label, *(f"{results[name][key]:.2f} s" for key in ("seconds", "api", "rest")))
        for name, label in BACKUPS.items()
    ]
    return markdown.table(heads, rows)


def steps(results: dict[str, Any]) -> str:
    """Return tables in Markdown of what is not the API's, by step, the longest first."""
    tables = []
    for name, one in results.items():
        longest = sorted(one["steps"].items(), key=lambda step: -step[1])
        rows = [(step, f"{seconds:.2f}") for step, seconds in longest]
        tables.append(markdown.table((f"what the rest of the {name} backup is", "seconds"), rows))
    return "\n\n".join(tables)


def main(arguments: list[str]) -> int:
    """Run what the arguments ask for; return the exit code."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    rounds = []
    for _ in range(options.rounds):
        rounds.append(round_of(options))
        told = {name: round(one["rest"], 2) for name, one in rounds[-1].items()}
        sys.stderr.write(f"  beyond the API's operations: {told}\n")
    results = {name: summary([one[name] for one in rounds]) for name in BACKUPS}
    sys.stdout.write(f"\n{options.tables} small tables\n\n{table(results)}\n\n{steps(results)}\n")
    document = {
        "cores": os.cpu_count(),
        "major": options.major,
        "rounds": options.rounds,
        "tables": options.tables,
        "operation_seconds": options.operation,
        "results": results,
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.tiny", description=__doc__)
    parser.add_argument("--tables", type=int, default=100, help="how many tables of 20 rows (100)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--major", type=int, default=17)
    parser.add_argument(
        "--operation", type=float, default=0.15, help="seconds that each of the API's operations takes (0.15)"
    )
    parser.add_argument("--json", type=Path, default=Path("build/tiny.json"))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
