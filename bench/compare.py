"""`make bench`: our engine, the peers and the floor in turn, between the same pair of servers.

Every round runs every contender once, each time into an empty database. Medians and ratios are printed,
everything is written as JSON, and a chart is drawn. `python -m bench.compare --help` tells the options.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import contenders, datasets, digests, telling, watching
from bench.contenders import DATABASE, PASSWORD, USER, Route
from bench.slow_line import slow_line
from supaneon_sync.sandbox.server import Server, find_or_fetch, free_port

SERVER = {
    "shared_buffers": "256MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "full_page_writes": "on",
    "wal_level": "replica",
    "maintenance_work_mem": "64MB",
    "autovacuum": "off",
}
"""What both servers run with, for every contender alike; ``fsync`` is off, as on every throw-away server."""

MEMORY = "256MB"
"""The ``maintenance_work_mem`` that every contender asks for."""

Contender = Callable[[Route, Path], contenders.Steps]
OURS, OURS_PROVED = "ours without proof", "ours with proof"
OURS_BARE = "ours without proof or statistics"
DIRECTORY = "pg_dump -Fd -j | pg_restore -j"
PEERS: dict[str, Contender] = {
    "pg_dump | pg_restore": contenders.piped,
    DIRECTORY: contenders.directory,
    "pgcopydb clone": contenders.pgcopydb,
}
RESTORED_WHOLE = "pg_restore -j, then vacuumdb -z -j"
WHOLE = ("pgcopydb clone", RESTORED_WHOLE)
"""Peers that leave statistics and mark pages visible, as ours does."""
CONTENDERS: dict[str, Contender] = {
    OURS: partial(contenders.ours, proof=False),
    OURS_PROVED: contenders.ours,
    OURS_BARE: partial(contenders.ours, proof=False, statistics=False),
    **PEERS,
    RESTORED_WHOLE: contenders.vacuumed,
}


@dataclass(frozen=True)
class Pair:
    """The two servers and where the contenders may write."""

    source: Server
    target: Server
    scratch: Path


@contextmanager
def pair(
    major: int, settings: dict[str, str] = SERVER, names: tuple[str, ...] = ("source", "target")
) -> Iterator[Pair]:
    """Start servers, one for each name, and stop them at the block's end."""
    directory = Path(tempfile.mkdtemp(prefix="supaneon-bench-"))
    directory.chmod(0o755)
    binaries = find_or_fetch(major)
    servers = [
        Server.create(binaries, directory / name, free_port(), tls=None, settings=settings, superuser=USER)
        for name in names
    ]
    try:
        for server in servers:
            server.start()
            server.execute(f"ALTER ROLE {USER} PASSWORD '{PASSWORD}'")
        yield Pair(servers[0], servers[-1], directory / "scratch")
    finally:
        for server in servers:
            server.stop("immediate")
        shutil.rmtree(directory, ignore_errors=True)


def fill(server: Server, dataset: datasets.Dataset) -> int:
    """Make the source's database and return its size in bytes."""
    empty(server)
    for statement in dataset.statements:
        server.execute(statement, DATABASE)
    server.execute("VACUUM (ANALYZE)", DATABASE)
    server.execute("CHECKPOINT")
    return int(server.execute(f"SELECT pg_database_size('{DATABASE}')")[0][0])


def empty(server: Server) -> None:
    """Leave an empty database and no dirty pages behind."""
    server.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
    server.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template0")
    server.execute("CHECKPOINT")


_COUNTERS = {
    "pages": "SELECT blks_read + blks_hit FROM pg_stat_database WHERE datname = 'bench'",
    "wal": "SELECT wal_bytes FROM pg_stat_wal",
    "images": "SELECT wal_fpi FROM pg_stat_wal",
}


def counter(server: Server, name: str) -> int:
    """Return one of the server's own counters."""
    server.execute("SELECT pg_stat_clear_snapshot()")
    return int(server.execute(_COUNTERS[name])[0][0])


def processor(servers: Pair) -> float:
    """Return the processors' time in seconds that both servers have taken so far."""
    pids = [(one.data / "postmaster.pid").read_text().split()[0] for one in (servers.source, servers.target)]
    return sum(watching.processor(int(pid)) for pid in pids)


def run(name: str, servers: Pair, route: Route) -> dict[str, Any]:
    """Run one contender into an empty target and return what it took."""
    empty(servers.target)
    shutil.rmtree(servers.scratch, ignore_errors=True)
    servers.scratch.mkdir()
    before = {
        "pages": counter(servers.source, "pages"),
        "wal": counter(servers.target, "wal"),
        "images": counter(servers.target, "images"),
    }
    spent = processor(servers)
    environment = {**route.environment(), "PYTHONPATH": str(Path.cwd())}
    costs = [
        watching.run(step, environment, servers.scratch) for step in CONTENDERS[name](route, servers.scratch)
    ]
    time.sleep(1.1)  # the servers hand their counters in once a second
    found: dict[str, Any] = {
        "seconds": sum(cost.seconds for cost in costs),
        "processor": sum(cost.processor for cost in costs) + processor(servers) - spent,
        "memory": max(cost.memory for cost in costs),
        "disk": max(cost.disk for cost in costs),
        "pages_read": counter(servers.source, "pages") - before["pages"],
        "wal": counter(servers.target, "wal") - before["wal"],
        "full_page_images": counter(servers.target, "images") - before["images"],
    }
    if name in (OURS, OURS_PROVED, OURS_BARE):
        found["phases"] = json.loads(costs[-1].said)["phases"]
    return found


def floor(servers: Pair, route: Route) -> dict[str, Any]:
    """Time bare COPY and CREATE INDEX into tables that are there already."""
    empty(servers.target)
    shutil.rmtree(servers.scratch, ignore_errors=True)
    servers.scratch.mkdir()
    schema = (route.tool("pg_dump"), "--section=pre-data", "-Fc", "-d", route.uri(route.source))
    restore = (route.tool("pg_restore"), "-e", "-d", route.uri(route.target))
    environment = {**route.environment(), "PYTHONPATH": str(Path.cwd())}
    watching.run([schema, restore], environment, servers.scratch)
    command = (
        sys.executable,
        "-m",
        "bench.floor",
        route.uri(route.source),
        route.uri(route.target),
        str(route.jobs),
    )
    said = watching.run([command], environment, servers.scratch).said.split()
    return {"seconds": float(said[1]) + float(said[3]), "rows": float(said[1]), "indexes": float(said[3])}


def line(servers: Pair, options: argparse.Namespace, delay: float, skipped: dict[str, str]) -> dict[str, Any]:
    """Run all rounds over one kind of line and return every contender's runs."""
    runs: dict[str, list[dict[str, Any]]] = {}
    names = [name for name in CONTENDERS if name not in skipped]
    with slow_line(servers.source.port, delay) as source, slow_line(servers.target.port, delay) as target:
        ends = (source.port, target.port) if delay else (servers.source.port, servers.target.port)
        route = Route(*ends, options.jobs, MEMORY, servers.source.binaries)
        for _ in range(options.rounds):
            for name in names:
                received = source.received
                found = run(name, servers, route)
                if delay:
                    found["from_primary"] = source.received - received
                runs.setdefault(name, []).append(found)
                sys.stderr.write(f"  {name}: {found['seconds']:.2f} s\n")
            runs.setdefault(telling.FLOOR, []).append(floor(servers, route))
    return {
        "delay": delay,
        "rounds": options.rounds,
        "contenders": {name: telling.summary(found) for name, found in runs.items()},
    }


def main(arguments: list[str]) -> int:
    """Run what the arguments ask for; return the exit code."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    skipped = contenders.missing()
    for name, why in skipped.items():
        sys.stdout.write(f"{name} is left out: {why}.\n")
    conditions = {
        "cores": os.cpu_count(),
        "jobs": options.jobs,
        "server": SERVER | {"maintenance_work_mem": MEMORY},
        "left_out": skipped,
    }
    before = telling.earlier(options.json, conditions) if options.add else None
    results: list[dict[str, Any]] = []
    fingerprints: dict[str, Any] = {}
    for shape in options.shapes:
        dataset = datasets.SHAPES[shape]((options.size or datasets.SIZES[shape]) * 1_000_000)
        what = f"{shape}, PostgreSQL {options.major}"
        with pair(options.major) as servers:
            size = fill(servers.source, dataset)
            sys.stdout.write(f"\n{what}: {dataset.description}, {size / 1e6:.0f} MB\n")
            cost = digests.measure(servers.source.port)
            sys.stdout.write(f"\n{digests.told(cost)}\n")
            fingerprints[what] = cost
            for delay in options.delays:
                found = line(servers, options, delay / 1000, skipped)
                results.append({"shape": what, "size": size, "description": dataset.description, **found})
                sys.stdout.write(f"\n{delay:g} ms each way\n\n{telling.table(found, PEERS, WHOLE)}\n")
                sys.stdout.flush()
    document = conditions | {"fingerprints": fingerprints, "results": results}
    telling.keep(document, options.json, before)
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    sizes = ", ".join(f"{size} for {name}" for name, size in datasets.SIZES.items())
    parser.add_argument("--size", type=int, help=f"megabytes of each database, about ({sizes})")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--major", type=int, default=17)
    parser.add_argument("--shapes", nargs="+", default=list(datasets.SHAPES), choices=list(datasets.SHAPES))
    parser.add_argument(
        "--delays", nargs="+", type=float, default=[0, 10], help="milliseconds each way (0 10)"
    )
    parser.add_argument("--add", action="store_true", help="keep what the JSON tells of other measurements")
    parser.add_argument(
        "--json", type=Path, default=Path("build/bench.json"), help="where to; the chart goes beside it"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
