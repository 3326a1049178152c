"""Who copies: our engine, the peers, and the floor that nobody can be under."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from supaneon_sync.sandbox.server import Binaries

USER, PASSWORD, DATABASE = "cloud_admin", "bench", "bench"


@dataclass(frozen=True)
class Route:
    """From which port to which port, with how many workers, through which programs."""

    source: int
    target: int
    jobs: int
    memory: str
    binaries: Binaries

    def uri(self, port: int) -> str:
        """Return a URI without a password (that is in the environment, the same for both sides)."""
        return f"postgresql://{USER}@127.0.0.1:{port}/{DATABASE}?sslmode=disable"

    def tool(self, name: str) -> str:
        """Return the path of a program of PostgreSQL."""
        return str(self.binaries.tool(name))

    def environment(self) -> Mapping[str, str]:
        """Return the environment of every contender."""
        return {
            "PATH": f"{self.binaries.bin_directory}:/usr/local/bin:/usr/bin:/bin",
            "PGPASSWORD": PASSWORD,
            "PGOPTIONS": f"-c maintenance_work_mem={self.memory}",
            "LC_ALL": "C.UTF-8",
            **self.binaries.environment(),
        }


Steps = list[list[Sequence[str]]]
"""Commands after one another, each a pipe of commands."""


def ours(
    route: Route, _scratch: Path, *, proof: bool = True, statistics: bool = True, again: bool = False
) -> Steps:
    """Our engine in a process of its own, without proof or without statistics where that is wanted.

    ``again``: every row is hashed, whatever is known of it.
    """
    order = {
        "source": route.source,
        "target": route.target,
        "jobs": route.jobs,
        "proof": proof,
        "statistics": statistics,
        "again": again,
        "user": USER,
        "password": PASSWORD,
        "major": route.binaries.major,
        "clients": str(route.binaries.bin_directory),
    }
    return [[(sys.executable, "-m", "bench.ours", json.dumps(order))]]


def piped(route: Route, _scratch: Path) -> Steps:
    """`pg_dump | pg_restore`: one stream, nothing on disk."""
    dump = (route.tool("pg_dump"), "-Fc", "-Z0", "-d", route.uri(route.source))
    return [[dump, (route.tool("pg_restore"), "-e", "-d", route.uri(route.target))]]


def directory(route: Route, scratch: Path) -> Steps:
    """`pg_dump -Fd -j`, then `pg_restore -j`: in parallel, everything on disk in between."""
    place, jobs = str(scratch / "dump"), str(route.jobs)
    return [
        [(route.tool("pg_dump"), "-Fd", "-Z0", "-j", jobs, "-f", place, "-d", route.uri(route.source))],
        [(route.tool("pg_restore"), "-e", "-j", jobs, "-d", route.uri(route.target), place)],
    ]


def vacuumed(route: Route, scratch: Path) -> Steps:
    """The same, with what ours and pgcopydb do besides: statistics, and pages marked visible."""
    vacuum = (route.tool("vacuumdb"), "-q", "-z", "-j", str(route.jobs), "-d", route.uri(route.target))
    return [*directory(route, scratch), [vacuum]]


def pgcopydb(route: Route, scratch: Path) -> Steps:
    """`pgcopydb clone`, as Debian packages it."""
    command = ("pgcopydb", "clone", "--source", route.uri(route.source), "--target", route.uri(route.target))
    options = (
        "--table-jobs",
        str(route.jobs),
        "--index-jobs",
        str(route.jobs),
        "--dir",
        str(scratch / "copydb"),
    )
    return [[(*command, *options, "--no-role-passwords", "--no-comments")]]


def missing() -> dict[str, str]:
    """Return the peers that cannot run here, with the reason."""
    found = shutil.which("pgcopydb")
    if found is None:
        return {"pgcopydb clone": "not installed (Debian: apt install pgcopydb)"}
    said = subprocess.run((found, "--version"), capture_output=True, text=True, check=False)
    return {} if said.returncode == 0 else {"pgcopydb clone": "does not start"}
