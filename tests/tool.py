"""The tool as tests call it: in this process, or as a command with its output captured."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from supaneon_sync import registry
from supaneon_sync.report.outcome import Outcome
from supaneon_sync.run import Run, Silent, Stop
from supaneon_sync.sandbox.testing import Sandbox
from supaneon_sync.settings import load


@dataclass
class Watching(Silent):
    """Progress that remembers, and calls ``hook`` with each step's title as it begins."""

    hook: Callable[[str], None] = lambda title: None
    steps: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def step(self, title: str) -> None:
        self.steps.append(title)
        self.hook(title)

    def warning(self, text: str) -> None:
        self.warnings.append(text)


def at(step: str, action: Callable[[], None]) -> Watching:
    """Progress that acts once, as soon as a step whose title begins so is announced."""
    done: list[str] = []

    def hook(title: str) -> None:
        if title.startswith(step) and not done:
            done.append(title)
            action()

    return Watching(hook=hook)


def perform(
    sandbox: Sandbox,
    operation: str,
    *,
    progress: Watching | None = None,
    stop: Stop | None = None,
    environment: Mapping[str, str] | None = None,
    ahead: timedelta = timedelta(0),
    **flags: object,
) -> Outcome:
    """Run a verb in this process against the sandbox, its clock so far ahead, and return its outcome."""
    variables = sandbox.environment | dict(environment or {})
    given = {name.replace("_", "-"): value for name, value in flags.items()}
    loaded = load([operation], flags=given, environment=variables, file={})
    run = Run(
        clock=lambda: datetime.now(UTC) + ahead,
        monotonic=time.monotonic,
        token=secrets.token_bytes,
        progress=progress or Watching(),
        stop=stop or Stop(),
    )
    verb = next(verb for verb in registry.available() if verb.operation == operation)
    return verb.load()(loaded.settings, run)


def command(sandbox: Sandbox, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start the command line as a user would, in a process of its own, and return it."""
    base = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    return subprocess.Popen(
        [sys.executable, "-m", "supaneon_sync.cli", *arguments],
        env=base | sandbox.environment | variables | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finished(process: subprocess.Popen[str], seconds: float = 90) -> tuple[int, str]:
    """Wait for a command; return its exit code and all it said."""
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out + err
