"""How progress looks: a line that moves on a terminal, a line now and then in a log, groups in the action."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from supaneon_sync import workflow_commands as commands
from supaneon_sync.console import Console
from supaneon_sync.report.text import harmless, volume_text

LOG_EVERY = 5.0
"""Seconds between two lines of the same work in a log."""
REDRAW_EVERY = 0.1
"""Seconds between two pictures of the moving line."""


def _state(label: str, done: int, total: int, volume: int) -> str:
    return f"{harmless(label)} {done}/{total}" + (f", {volume_text(volume)}" if volume else "")


@dataclass(frozen=True)
class Times:
    """The clocks of a run: wall time for lines, monotonic seconds for pace."""

    clock: Callable[[], datetime]
    monotonic: Callable[[], float]


class LogProgress:
    """One line a step and a note, and one every few seconds of long work. Goes to standard error."""

    def __init__(self, console: Console, times: Times) -> None:
        self._console = console
        self._times = times
        self._lock = threading.RLock()
        self._last = float("-inf")

    def step(self, title: str) -> None:
        """A phase begins."""
        with self._lock:
            self._last = float("-inf")
            self._line(harmless(title))

    def note(self, text: str) -> None:
        """A fact worth a line."""
        self._line("  " + harmless(text))

    def warning(self, text: str) -> None:
        """Something that the reader should act on."""
        self._line("  warning: " + harmless(text))

    def advance(self, label: str, done: int, total: int, volume: int = 0) -> None:
        """Work moved on; a line is due every five seconds, and at the end of it."""
        with self._lock:
            now = self._times.monotonic()
            if done < total and now - self._last < LOG_EVERY:
                return
            self._last = now
            self._line("  " + _state(label, done, total, volume))

    def secret(self, value: str) -> None:
        """A value that must not be shown from here on."""
        self._console.redactor.add(value)

    def close(self) -> None:
        """Nothing follows."""

    def _line(self, text: str) -> None:
        self._console.err(f"{self._times.clock():%H:%M:%S} {text}")


class LiveProgress:
    """A single line with a bar that is drawn over itself, on a terminal."""

    def __init__(self, console: Console, times: Times) -> None:
        self._console = console
        self._times = times
        self._lock = threading.RLock()
        self._last = float("-inf")
        self._drawn = False

    def step(self, title: str) -> None:
        """A phase begins."""
        with self._lock:
            self._clear()
            self._last = float("-inf")
            self._console.err(("→ " if self._console.unicode else "> ") + harmless(title))

    def note(self, text: str) -> None:
        """A fact worth a line."""
        self._above("  " + harmless(text))

    def warning(self, text: str) -> None:
        """Something that the reader should act on."""
        self._above("  warning: " + harmless(text))

    def advance(self, label: str, done: int, total: int, volume: int = 0) -> None:
        """Work moved on; the line is redrawn at most ten times a second."""
        with self._lock:
            now = self._times.monotonic()
            if done < total and now - self._last < REDRAW_EVERY:
                return
            self._last = now
            self._drawn = True
            width = shutil.get_terminal_size().columns - 1
            text = f"  {self._bar(done, total)} {_state(label, done, total, volume)}"
            self._console.err("\r\x1b[K" + self._console.redactor.hide(text)[:width], end="")

    def secret(self, value: str) -> None:
        """A value that must not be shown from here on."""
        self._console.redactor.add(value)

    def close(self) -> None:
        """Take the moving line away."""
        with self._lock:
            self._clear()

    def _above(self, text: str) -> None:
        with self._lock:
            self._clear()
            self._console.err(text)

    def _clear(self) -> None:
        if self._drawn:
            self._console.err("\r\x1b[K", end="")
            self._drawn = False

    def _bar(self, done: int, total: int, cells: int = 20) -> str:
        full = cells * min(done, total) // total if total else cells
        solid, empty = ("█", "░") if self._console.unicode else ("#", "-")
        return solid * full + empty * (cells - full)


class ActionProgress:
    """Groups of lines in the log of a workflow run. Everything goes to standard output, in order.

    ``masking`` says whether a runner listens, who takes the masks out of the log; elsewhere they
    would be the leak.
    """

    def __init__(self, console: Console, times: Times, *, masking: bool) -> None:
        self._masking = masking
        self._console = console
        self._times = times
        self._lock = threading.RLock()
        self._last = float("-inf")
        self._open = False

    def step(self, title: str) -> None:
        """A phase begins: a group of its own."""
        with self._lock:
            self.close()
            self._last = float("-inf")
            self._open = True
            self._console.command("group", harmless(title))

    def note(self, text: str) -> None:
        """A fact worth a line."""
        self._console.out(harmless(text))

    def warning(self, text: str) -> None:
        """An annotation on the run."""
        self._console.command("warning", harmless(text), title="supaneon-sync")

    def advance(self, label: str, done: int, total: int, volume: int = 0) -> None:
        """Work moved on; a line is due every five seconds, and at the end of it."""
        with self._lock:
            now = self._times.monotonic()
            if done < total and now - self._last < LOG_EVERY:
                return
            self._last = now
            self._console.out(_state(label, done, total, volume))

    def secret(self, value: str) -> None:
        """Mask a value in every form it may take, before anything can show it."""
        for form in self._console.redactor.add(value):
            if self._masking:
                self._console.handed_over(commands.command("add-mask", form))

    def close(self) -> None:
        """End the group that is open."""
        with self._lock:
            if self._open:
                self._open = False
                self._console.command("endgroup", "")


Face = LogProgress | LiveProgress | ActionProgress
