"""`python -m bench.second`: the second backup, after a change of the primary, against the peers' full copies.

One server is the primary, one holds our mirror, one takes the peers' copies. Every kind of change is made on
the primary, then our engine brings the mirror along, with proof, in a process of its own; each peer copies
everything into an empty database, as it has to. `--help` tells the options.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import compare, contenders, markdown, telling, watching
from bench.contenders import DATABASE, Route
from bench.lines import Result, ratio
from bench.slow_line import slow_line
from supaneon_sync.sandbox.server import Server

FULL = "ours, full copy"
SERVER = compare.SERVER | {"full_page_writes": "off"}
"""Full-page images are left out of the WAL: Neon writes none, and they would hide what a change costs."""


@dataclass(frozen=True)
class Rows:
    """A database of two tables of about 300 bytes a row, told apart by this kind of key."""

    key: str

    @property
    def statements(self) -> tuple[str, ...]:
        """What makes it, with ``{rows}`` for how many rows each table has."""
        kind, value = ("bigint", "g") if self.key == "integer" else ("uuid", "md5(g::text)::uuid")
        return tuple(
            f"""
            CREATE TABLE public.orders_{number} (
              id {kind} PRIMARY KEY, number bigint NOT NULL, customer bigint NOT NULL, state text NOT NULL,
              at timestamptz NOT NULL, amount numeric(12, 2), note text NOT NULL);
            INSERT INTO public.orders_{number}
            SELECT {value}, g, g % 5000, 'state ' || g % 7, '2026-01-01'::timestamptz + g * interval '1 s',
                   g % 9999 / 7.0, repeat(md5(g::text), 6)
            FROM generate_series(1, {{rows}}) g;
            CREATE INDEX ON public.orders_{number} (customer);
            CREATE INDEX ON public.orders_{number} (at);
            """
            for number in (1, 2)
        )


_UPDATE = "UPDATE public.orders_{table} SET note = reverse(note), amount = amount + 1 WHERE {where}"
_APPEND = """
INSERT INTO public.orders_{table}
SELECT {key}, n, n % 5000, 'new', now(), n % 9999 / 7.0, repeat(md5(n::text), 6)
FROM (SELECT (SELECT max(number) FROM public.orders_{table}) + g AS n
      FROM generate_series(1, {rows} / 100) g) m
"""
HASHED_AGAIN = "nothing changed, every row hashed"
"""What the first backup after ``prove-every`` costs at least."""
CHANGES = {
    "nothing changed": "SELECT",
    HASHED_AGAIN: "SELECT",
    "1 % appended": _APPEND,
    "1 % updated in one place": _UPDATE.format(
        table="{table}", where="number BETWEEN {rows} / 2 AND {rows} / 2 + {rows} / 100"
    ),
    "1 % updated all over": _UPDATE.format(table="{table}", where="number % 100 = 17"),
    "10 % updated all over": _UPDATE.format(table="{table}", where="number % 10 = 3"),
    "everything updated": _UPDATE.format(table="{table}", where="true"),
}
"""What happens on the primary between two backups, by its name. The SQL is run for each table."""
CONTENDERS = compare.CONTENDERS | {HASHED_AGAIN: partial(contenders.ours, proof=True, again=True)}


@dataclass(frozen=True)
class Bench:
    """The three servers, and where the contenders may write."""

    source: Server
    mirror: Server
    other: Server
    scratch: Path


@contextmanager
def servers(major: int) -> Iterator[Bench]:
    """Start three servers and stop them at the block's end."""
    with compare.pair(major, SERVER) as pair, compare.pair(major, SERVER, ("other",)) as more:
        yield Bench(pair.source, pair.target, more.source, pair.scratch)


def fill(bench: Bench, rows: Rows, count: int) -> int:
    """Make the primary's database and return its size in bytes."""
    compare.empty(bench.source)
    for statement in rows.statements:
        bench.source.execute(statement.format(rows=count), DATABASE)
    bench.source.execute("VACUUM (ANALYZE)", DATABASE)
    bench.source.execute("CHECKPOINT")
    return int(bench.source.execute(f"SELECT pg_database_size('{DATABASE}')")[0][0])


def change(bench: Bench, rows: Rows, name: str, count: int) -> None:
    """Let the change happen on the primary, and let its statistics know of it."""
    key = "n" if rows.key == "integer" else "md5(n::text)::uuid"
    for table in (1, 2):
        bench.source.execute(CHANGES[name].format(table=table, rows=count, key=key), DATABASE)
    bench.source.execute("CHECKPOINT")
    bench.mirror.execute("CHECKPOINT")
    time.sleep(1.2)


def measure(name: str, route: Route, source: Server, target: Server, scratch: Path) -> dict[str, Any]:
    """Run one contender and return what it took."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    before = (compare.counter(source, "pages"), compare.counter(target, "wal"))
    environment = {**route.environment(), "PYTHONPATH": str(Path.cwd())}
    steps = CONTENDERS[name](route, scratch)
    costs = [watching.run(step, environment, scratch) for step in steps]
    time.sleep(1.1)  # the servers hand their counters in once a second
    found: dict[str, Any] = {
        "seconds": sum(cost.seconds for cost in costs),
        "memory": max(cost.memory for cost in costs),
        "pages_read": compare.counter(source, "pages") - before[0],
        "wal": compare.counter(target, "wal") - before[1],
    }
    if name not in compare.PEERS:
        said = json.loads(costs[-1].said)
        found |= {"phases": said["phases"], "sent": said["bytes"], "moved": said["moved"]}
    return found


def line(bench: Bench, rows: Rows, count: int, delay: float, options: argparse.Namespace) -> dict[str, Any]:
    """Measure every peer and every change over one kind of line."""
    runs: dict[str, list[dict[str, Any]]] = {}
    binaries = bench.source.binaries
    with (
        slow_line(bench.source.port, delay) as source,
        slow_line(bench.mirror.port, delay) as mirror,
        slow_line(bench.other.port, delay) as other,
    ):
        ends = (
            (source.port, mirror.port, other.port)
            if delay
            else (bench.source.port, bench.mirror.port, bench.other.port)
        )

        def timed(label: str, contender: str, to: int, server: Server) -> None:
            route = Route(ends[0], to, options.jobs, compare.MEMORY, binaries)
            received = source.received
            found = measure(contender, route, bench.source, server, bench.scratch)
            if delay:
                found["from_primary"] = source.received - received
            runs.setdefault(label, []).append(found)
            sys.stderr.write(f"  {label}: {found['seconds']:.2f} s {found.get('phases', '')}\n")

        peers = [name for name in compare.PEERS if name not in contenders.missing()]
        for _ in range(options.rounds):
            for name in peers:
                compare.empty(bench.other)
                timed(name, name, ends[2], bench.other)
            compare.empty(bench.mirror)
            timed(FULL, compare.OURS_PROVED, ends[1], bench.mirror)
            for name in options.changes:
                change(bench, rows, name, count)
                ours = name if name in CONTENDERS else compare.OURS_PROVED
                timed(name, ours, ends[1], bench.mirror)
    return {"delay": delay, "contenders": {name: telling.summary(found) for name, found in runs.items()}}


def table(result: Result) -> str:
    """Return a measured line as a table in Markdown: medians, and ratios to the fastest peer's full copy."""
    heads = (
        "",
        "seconds",
        "to the fastest peer",
        "sent by the primary",
        "WAL on the mirror",
        "snapshot held",
    )
    rows = []
    for name, one in result["contenders"].items():
        sent = one.get("from_primary", one.get("sent"))
        rows.append(
            (
                name,
                f"{one['seconds']:.2f}",
                f"{ratio(result, name, compare.PEERS):.2f}",
                "everything" if sent is None else f"{sent / 1e6:.1f} MB",
                f"{one['wal'] / 1e6:.1f} MB",
                f"{one['phases']['snapshot held']:.1f} s" if "phases" in one else "",
            )
        )
    return markdown.table(heads, rows)


def main(arguments: list[str]) -> int:
    """Run what the arguments ask for; return the exit code."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    for name, why in contenders.missing().items():
        sys.stdout.write(f"{name} is left out: {why}.\n")
    results: list[dict[str, Any]] = []
    for key in options.keys:
        rows = Rows(key)
        count = options.size * 1_000_000 // 2 // 430
        for delay in options.delays:
            with servers(options.major) as bench:
                size = fill(bench, rows, count)
                title = f"2 tables of {count} rows, {key} keys"
                sys.stdout.write(f"\n{title}, {size / 1e6:.0f} MB, {delay:g} ms each way\n")
                found = line(bench, rows, count, delay / 1000, options)
                results.append(
                    {
                        "shape": f"{key} keys, PostgreSQL {options.major}",
                        "size": size,
                        "description": title,
                        "rounds": options.rounds,
                        **found,
                    }
                )
                sys.stdout.write(f"\n{table(found)}\n")
                sys.stdout.flush()
    document = {
        "cores": os.cpu_count(),
        "jobs": options.jobs,
        "server": SERVER | {"maintenance_work_mem": compare.MEMORY},
        "left_out": contenders.missing(),
        "results": results,
    }
    telling.keep(document, options.json)
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.second", description=__doc__)
    parser.add_argument("--size", type=int, default=1000, help="megabytes of each database, about (1000)")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--major", type=int, default=17)
    parser.add_argument("--keys", nargs="+", default=["integer", "uuid"], choices=["integer", "uuid"])
    parser.add_argument("--changes", nargs="+", default=list(CHANGES), choices=list(CHANGES))
    parser.add_argument(
        "--delays", nargs="+", type=float, default=[0, 10], help="milliseconds each way (0 10)"
    )
    parser.add_argument(
        "--json", type=Path, default=Path("build/second.json"), help="where to; the chart goes beside it"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
