"""How progress looks: a line that moves on a terminal, a line now and then in a log, groups in the action."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from supaneon_sync import workflow_commands
from supaneon_sync.console import Console
from supaneon_sync.report.text import harmless, volume_text

LOG_EVERY = 5.0
"""Seconds between two lines of the same work in a log."""
REDRAW_EVERY = 0.1
"""Seconds between two pictures of the moving line."""


@dataclass(frozen=True)
class Times:
    """The clocks of a run: wall time for lines, monotonic seconds for pace."""

    clock: Callable[[], datetime]
    monotonic: Callable[[], float]


class Face:
    """What every face of progress has: a console, a clock, and a pace."""

    every = LOG_EVERY
    """Seconds between two pictures of the same work."""

    def __init__(self, console: Console, times: Times) -> None:
        self._console = console
        self._times = times
        self._lock = threading.RLock()
        self._last = float("-inf")
        self._began = times.monotonic()

    def step(self, title: str) -> None:
        """A phase begins."""
        with self._lock:
            self.close()
            self._last = float("-inf")
            self._began = self._times.monotonic()
            self._begin(harmless(title))

    def note(self, text: str) -> None:
        """A fact worth a line."""
        with self._lock:
            self._line(f"  {harmless(text)}")

    def warning(self, text: str) -> None:
        """Something that the reader should act on."""
        with self._lock:
            self._line(f"  warning: {harmless(text)}")

    def advance(self, label: str, done: int, total: int, volume: int = 0) -> None:
        """Work moved on. It is shown when ``every`` seconds have passed, and at the end of it."""
        with self._lock:
            now = self._times.monotonic()
            if done < total and now - self._last < self.every:
                return
            self._last = now
            self._picture(f"{harmless(label)} {done}/{total}{self._amount(volume, now)}", done, total)

    def _amount(self, volume: int, now: float) -> str:
        """Say how much has moved since the step began, and how fast."""
        if not volume:
            return ""
        seconds = now - self._began
        rate = f", {volume_text(int(volume / seconds))}/s" if seconds >= 1 else ""
        return f", {volume_text(volume)}{rate}"

    def secret(self, value: str) -> None:
        """A value that must not be shown from here on."""
        self._console.redactor.add(value)

    def close(self) -> None:
        """End what is open: nothing of this step follows."""

    def _begin(self, title: str) -> None:
        self._line(title)

    def _line(self, text: str) -> None:
        raise NotImplementedError

    def _picture(self, text: str, _done: int, _total: int) -> None:
        self._line(f"  {text}")


class LogProgress(Face):
    """One line a step and a note, and one every few seconds of long work. Goes to standard error."""

    def _line(self, text: str) -> None:
        self._console.err(f"{self._times.clock():%H:%M:%S} {text}")


class LiveProgress(Face):
    """A single line with a bar that is drawn over itself, on a terminal."""

    every = REDRAW_EVERY

    def __init__(self, console: Console, times: Times) -> None:
        super().__init__(console, times)
        self._drawn = False

    def close(self) -> None:
        """Take the moving line away."""
        with self._lock:
            if self._drawn:
                self._console.err("\r\x1b[K", end="")
                self._drawn = False

    def _begin(self, title: str) -> None:
        self._line(("→ " if self._console.unicode else "> ") + title)

    def _line(self, text: str) -> None:
        self.close()
        self._console.err(text)

    def _picture(self, text: str, done: int, total: int) -> None:
        self._drawn = True
        width = shutil.get_terminal_size().columns - 1
        line = self._console.redactor.hide(f"  {self._bar(done, total)} {text}")
        self._console.err("\r\x1b[K" + line[:width], end="")

    def _bar(self, done: int, total: int, cells: int = 20) -> str:
        full = cells * min(done, total) // total if total else cells
        solid, empty = ("█", "░") if self._console.unicode else ("#", "-")
        return solid * full + empty * (cells - full)


class ActionProgress(Face):
    """Groups of lines in the log of a workflow run. Everything goes to standard output, in order.

    ``masking`` says whether a runner listens, who takes the masks out of the log; elsewhere they
    would be the leak.
    """

    def __init__(self, console: Console, times: Times, *, masking: bool) -> None:
        super().__init__(console, times)
        self._masking = masking
        self._open = False

    def warning(self, text: str) -> None:
        """An annotation on the run."""
        self._console.command("warning", harmless(text), title="supaneon-sync")

    def secret(self, value: str) -> None:
        """Mask a value in every form it may take, before anything can show it."""
        for form in self._console.redactor.add(value):
            if self._masking:
                self._console.handed_over(workflow_commands.command("add-mask", form))

    def close(self) -> None:
        """End the group that is open."""
        with self._lock:
            if self._open:
                self._open = False
                self._console.command("endgroup", "")

    def _begin(self, title: str) -> None:
        self._open = True
        self._console.command("group", title)

    def _line(self, text: str) -> None:
        self._console.out(text.removeprefix("  "))
