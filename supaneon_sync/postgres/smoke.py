"""A command of the user's, run against a branch: the URI by environment alone, no shell, ended in time."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from supaneon_sync.errors import ConfigError
from supaneon_sync.run import Stop
from supaneon_sync.secret import Secret

LINES = 20
"""How many of its last lines are kept. The doors hide every secret in them that is known."""
LONGEST = 2000
"""A longer line is left out, not cut: of a secret that was cut in two, neither half would be known."""


@dataclass(frozen=True)
class Smoke:
    """How a command ended. ``wrong`` is '' for exit code 0; ``said`` are its last lines."""

    wrong: str
    said: tuple[str, ...]


def run(command: str, uri: Secret, *, environment: Mapping[str, str], stop: Stop, seconds: float) -> Smoke:
    """Run a command, split as a shell would split it, with the URI in ``DATABASE_URL``.

    After ``seconds``, or on a stop, its whole process group is ended. Raises ConfigError for a command
    that cannot be split or started.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError("smoke-command has a quotation mark that is not closed.") from error
    if not words:
        raise ConfigError("smoke-command is empty.")
    stop.check()
    try:
        process = subprocess.Popen(
            words,
            env={**environment, "DATABASE_URL": uri.reveal()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise ConfigError(f"smoke-command cannot be started: {error.strerror}.") from error
    said: deque[str] = deque(maxlen=LINES)
    drain = threading.Thread(target=_drain, args=(process.stdout, said), daemon=True)
    with stop.calling(lambda: _end(process)):
        drain.start()
        try:
            code = process.wait(seconds)
            wrong = f"exit code {code}" if code else ""
        except subprocess.TimeoutExpired:
            wrong = f"not done after {seconds:.0f} s"
        finally:
            _end(process)
            process.wait()
            drain.join(2)
    stop.check()
    return Smoke(wrong, tuple(said))


def _drain(stream: IO[bytes] | None, said: deque[str]) -> None:
    if stream is not None:
        with stream:
            for line in stream:
                text = line.decode(errors="replace").rstrip()
                said.append(text if len(text) <= LONGEST else f"(a line of {len(text)} characters)")


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
