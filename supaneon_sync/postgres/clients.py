"""PostgreSQL's own programs: which of them is on this machine, and the one way to run them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from supaneon_sync.errors import ConfigError, SupaneonError
from supaneon_sync.run import Stop

_PLACES = (
    "/usr/lib/postgresql/{major}/bin",
    "/usr/pgsql-{major}/bin",
    "/opt/homebrew/opt/postgresql@{major}/bin",
    "/usr/local/opt/postgresql@{major}/bin",
)


@dataclass(frozen=True)
class Clients:
    """The client programs of one major version."""

    major: int
    version: str
    directory: Path

    def tool(self, name: str) -> Path:
        """Return the path of a program."""
        return self.directory / name

    def environment(self) -> dict[str, str]:
        """Return what the programs need in their environment to start."""
        library = self.directory.parent / "lib"
        return {"LD_LIBRARY_PATH": str(library)} if (library / "libpq.so.5").exists() else {}


def find(major: int, *, directory: Path | None, environment: Mapping[str, str]) -> Clients:
    """Return the client programs of exactly this major version.

    ``directory`` holds one directory a major (``17/bin``). Raises ConfigError naming where it looked.
    """
    places = _candidates(major, directory, environment)
    for place in places:
        found = _clients_in(place)
        if found is not None and found.major == major:
            return found
    raise ConfigError(
        f"No pg_dump of PostgreSQL {major} was found, and the schema is read with the target's own version.",
        remedy=f"Install postgresql-client-{major}, or point SUPANEON_CLIENTS at a directory that holds"
        f" {major}/bin/pg_dump. The image of this tool has all of them.",
    )


def available(*, directory: Path | None, environment: Mapping[str, str]) -> tuple[Clients, ...]:
    """Return every major from 15 to 18 whose programs are on this machine."""
    found: list[Clients] = []
    for major in (15, 16, 17, 18):
        try:
            found.append(find(major, directory=directory, environment=environment))
        except ConfigError:
            continue
    return tuple(found)


def _candidates(major: int, directory: Path | None, environment: Mapping[str, str]) -> list[Path]:
    places = [] if directory is None else [directory / str(major) / "bin", directory]
    places += [Path(place.format(major=major)) for place in _PLACES]
    return places + [Path(part) for part in environment.get("PATH", "").split(os.pathsep) if part]


def _clients_in(place: Path) -> Clients | None:
    program = place / "pg_dump"
    if not program.is_file():
        return None
    blank = Clients(0, "", place)
    try:
        text = subprocess.run(
            (str(program), "--version"),
            env=blank.environment(),
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"(\d+)\.(\d+)|(\d+)(?:devel|beta|rc)", text)
    if match is None:
        return None
    return Clients(int(match.group(1) or match.group(3)), match.group(0), place)


# What pg_dump may say on stderr without the archive being any worse for it, and why.
EXPECTED: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"warning: there are circular foreign-key constraints"),
        "rows are loaded before foreign keys are made, so their order does not matter",
    ),
    (re.compile(r"^pg_dump: detail: "), "continues a line that is judged by itself"),
    (re.compile(r"^pg_dump: hint: "), "continues a line that is judged by itself"),
)
"""Every other line is fatal."""


def unexpected(lines: Sequence[str]) -> list[str]:
    """Return the lines that no expectation covers."""
    return [line for line in lines if line.strip() and not any(rule.search(line) for rule, _ in EXPECTED)]


def run(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    stop: Stop,
    failure: Callable[[str], SupaneonError],
) -> None:
    """Run a program to its end; ``failure`` makes the error from what it said.

    Secrets travel in ``environment`` alone. Both streams are drained; on a stop the whole process
    group is ended. Fails on a non-zero exit and on any line of stderr that is not expected.
    """
    stop.check()
    process = subprocess.Popen(
        tuple(arguments),
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    said: deque[str] = deque(maxlen=200)
    drains = [
        threading.Thread(target=_drain, args=(stream, said), daemon=True)
        for stream in (process.stdout, process.stderr)
    ]
    with stop.calling(lambda: _end(process)):
        for drain in drains:
            drain.start()
        code = process.wait()
        for drain in drains:
            drain.join()
    stop.check()
    strange = unexpected(list(said))
    if code != 0 or strange:
        raise failure("; ".join(strange[-4:]) or f"exit code {code}")


def _drain(stream: IO[bytes] | None, said: deque[str]) -> None:
    if stream is None:
        return
    with stream:
        for line in stream:
            said.append(line.decode(errors="replace").rstrip()[:1000])


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGTERM)
    except ProcessLookupError:
        return
