"""``sandbox up`` and ``sandbox down``: a sandbox that outlives the command that started it.

The process in the background holds a lock on ``STATE/lock`` as long as it lives, with its process id
inside, so an id that the system has given to somebody else is never taken for it.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from supaneon_sync.errors import ConfigError, Refused
from supaneon_sync.sandbox.binaries import MAJORS, Binaries, SandboxError, default_cache
from supaneon_sync.sandbox.limits import PLANS
from supaneon_sync.sandbox.server import Server

_DESCRIPTION = "A sample primary and a Neon-compatible API on this machine: no account, no Docker, no root."
_START_SECONDS = 300  # the first start may have to fetch PostgreSQL
_STOP_SECONDS = 30
_LOCK = "lock"
_ENVIRONMENT = "environment.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs ``up`` and ``down`` with their options to a parser; ``run`` carries them out."""
    verbs = parser.add_subparsers(dest="sandbox_verb", required=True, metavar="up|down")
    up = verbs.add_parser("up", help="start a sandbox and print its environment for `eval`")
    _add_choices(up)
    down = verbs.add_parser("down", help="stop the sandbox and remove its state")
    down.add_argument("--keep", action="store_true", help="keep the state for the next `up`")
    serve = verbs.add_parser("serve")  # without a help text it is not listed
    _add_choices(serve)
    serve.add_argument("--ready-fd", type=int)
    for one in (up, down, serve):
        one.add_argument("--state", type=Path, default=None, metavar="DIR", help="where everything is kept")


def _add_choices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=0, metavar="N", help="of the API (default: any free one)")
    parser.add_argument("--postgres-major", type=int, default=17, choices=MAJORS, help="default: 17")
    parser.add_argument("--primary-major", type=int, choices=MAJORS, help="of the primary, if another")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--no-primary", action="store_true", help="only the Neon side")
    which.add_argument("--empty-primary", action="store_true", help="a primary without sample data")
    parser.add_argument("--plan", choices=sorted(PLANS), default="free", help="whose limits to keep")
    parser.add_argument(
        "--suspend-after", type=float, metavar="SECONDS", help="suspend computes that are idle so long"
    )
    parser.add_argument(
        "--operation-seconds", type=float, default=0.2, metavar="S", help="what an operation takes at least"
    )


def run(arguments: argparse.Namespace) -> int:
    """Carry out the parsed arguments; return the exit code. Raises SupaneonError."""
    state = (arguments.state or default_cache() / "sandbox").absolute()
    if arguments.sandbox_verb == "up":
        return _up(state, arguments)
    if arguments.sandbox_verb == "down":
        return _down(state, keep=arguments.keep)
    return _serve(state, arguments)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _up(state: Path, arguments: argparse.Namespace) -> int:
    if state.exists() and any(state.iterdir()) and not (state / _LOCK).exists():
        raise Refused(
            f"{state} holds files that are not a sandbox's. Nothing was touched.",
            remedy="Name an empty or new directory with --state.",
        )
    if _holder(state) is None:
        started = time.monotonic()
        _start(state, arguments)
        _say(f"The sandbox is up after {time.monotonic() - started:.1f} s; its state is in {state}.")
    else:
        _say(f"The sandbox in {state} is up already.")
    from supaneon_sync.sandbox.service import variables_as_exports

    sys.stdout.write(variables_as_exports(json.loads((state / _ENVIRONMENT).read_text())))
    return 0


def _start(state: Path, arguments: argparse.Namespace) -> None:
    """Start the background process and return when it answers. Raises SandboxError with its last words."""
    state.mkdir(mode=0o711, parents=True, exist_ok=True)
    (state / _ENVIRONMENT).unlink(missing_ok=True)
    reading, writing = os.pipe()
    choices = [
        *("--port", str(arguments.port), "--postgres-major", str(arguments.postgres_major)),
        *("--plan", arguments.plan, "--operation-seconds", str(arguments.operation_seconds)),
        *(("--primary-major", str(arguments.primary_major)) if arguments.primary_major else ()),
        *(("--no-primary",) if arguments.no_primary else ()),
        *(("--empty-primary",) if arguments.empty_primary else ()),
        *(("--suspend-after", str(arguments.suspend_after)) if arguments.suspend_after is not None else ()),
    ]
    command = (sys.executable, "-m", "supaneon_sync.sandbox", "serve", "--state", str(state), *choices)
    log_file = state / "sandbox.log"
    with log_file.open("ab") as log, os.fdopen(reading, "rb") as ready:
        subprocess.Popen(
            (*command, "--ready-fd", str(writing)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(writing,),
        )
        os.close(writing)
        readable, _, _ = select.select([ready], [], [], _START_SECONDS)
        answer = ready.read() if readable else b"it did not answer in time"
    if answer != b"ready":
        said = answer.decode() or log_file.read_text(errors="replace")[-1500:]
        raise SandboxError(f"The sandbox did not start: {said.strip()}", remedy=f"Its log is {log_file}.")


def _serve(state: Path, arguments: argparse.Namespace) -> int:
    """Be the background process: hold the lock, run the sandbox, end on SIGTERM or SIGINT."""
    from supaneon_sync.sandbox.service import Choices, Service

    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    primary = "none" if arguments.no_primary else "empty" if arguments.empty_primary else "sample"
    choices = Choices(
        major=arguments.postgres_major,
        primary_major=arguments.primary_major,
        primary=primary,
        plan=arguments.plan,
        operation_seconds=arguments.operation_seconds,
        suspend_after=arguments.suspend_after,
        port=arguments.port,
    )
    with _answering(arguments.ready_fd) as ready, (state / _LOCK).open("a+") as lock:
        _take(lock, state)
        service = Service(state, choices)
        service.start()
        environment = state / _ENVIRONMENT
        environment.touch(mode=0o600)
        environment.write_text(json.dumps(service.environment))
        ready.write(b"ready")
        ready.close()
        signal.sigwait(ends)
        service.stop(keep=True)
    return 0


@contextmanager
def _answering(descriptor: int | None) -> Iterator[IO[bytes]]:
    """Give the pipe to ``up``; an error goes into it as text."""
    with os.fdopen(os.dup(2) if descriptor is None else descriptor, "wb") as ready:
        try:
            yield ready
        except Exception as error:
            if not ready.closed:
                ready.write(str(error).encode())
            raise


def _take(lock: IO[str], state: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SandboxError(f"another sandbox runs in {state}") from error
    lock.seek(0)
    lock.truncate()
    lock.write(str(os.getpid()))
    lock.flush()


def _holder(state: Path) -> int | None:
    """Return the process id of the sandbox that runs in a directory, None if none does."""
    try:
        with (state / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return int((state / _LOCK).read_text() or 0) or None
    return None


def _down(state: Path, *, keep: bool) -> int:
    if not (state / _LOCK).exists():
        if state.exists() and any(state.iterdir()):
            raise ConfigError(f"{state} holds no sandbox. Nothing was touched.")
        _say(f"There is no sandbox in {state}.")
        return 0
    holder = _holder(state)
    if holder is not None:
        _end(state, holder)
    for data in (state / "primary", *sorted(state.glob("branches/*"))):
        if (data / "postmaster.pid").exists():  # left behind by a sandbox that was killed
            Server.open(Binaries(0, data, None), data, 0).stop("fast" if keep else "immediate")
    if not keep:
        shutil.rmtree(state)
    _say("The sandbox is down." + (f" Its state is kept in {state}." if keep else ""))
    return 0


def _end(state: Path, holder: int) -> None:
    """End the background process and wait for it."""
    for number, seconds in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, 5)):
        os.kill(holder, number)
        deadline = time.monotonic() + seconds
        while _holder(state) == holder:
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        else:
            return
    raise SandboxError(f"The process {holder} of the sandbox in {state} does not end.")


def main(words: list[str] | None = None) -> int:
    """Be ``supaneon-sync sandbox``, also as ``python -m supaneon_sync.sandbox``. Return the exit code."""
    parser = argparse.ArgumentParser(prog="supaneon-sync sandbox", description=_DESCRIPTION)
    add_arguments(parser)
    try:
        return run(parser.parse_args(words))
    except (SandboxError, ConfigError, Refused) as error:
        _say(f"Error: {error}")
        return error.exit_code
