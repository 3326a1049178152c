"""What every verb is handed by the doors: the clock, chance, progress, and the stop signal."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from supaneon_sync.errors import Cancelled


class Progress(Protocol):
    """Where a verb tells what it is doing. The doors decide how that looks."""

    def step(self, title: str) -> None:
        """A phase begins."""

    def note(self, text: str) -> None:
        """A fact worth a line."""

    def warning(self, text: str) -> None:
        """Something that the reader should act on, although the run goes on."""

    def advance(self, label: str, done: int, total: int, volume: int = 0) -> None:
        """Work moved on: ``done`` of ``total`` items, ``volume`` bytes so far."""

    def secret(self, value: str) -> None:
        """A value that must be masked from here on, called before its first use in any output."""


class Silent:
    """Progress that tells nobody; for tests and for calls inside other calls."""

    def step(self, title: str) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""

    def warning(self, text: str) -> None:
        """Ignore."""

    def advance(self, label: str, done: int, total: int, volume: int = 0) -> None:
        """Ignore."""

    def secret(self, value: str) -> None:
        """Ignore."""


class Stop:
    """The request to stop. Whoever works in pieces asks ``check()`` between them.

    ``on_stop`` registers what ends a wait at once (cancel a query, end a child).
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._hooks: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def set(self) -> None:
        """Ask everybody to stop, and call every hook, whatever another hook raises.

        Not for a signal handler itself, which may have interrupted the holder of the lock: the
        doors call it from a thread that listens for signals.
        """
        self._event.set()
        with self._lock:
            hooks = list(self._hooks)
        for hook in hooks:
            with contextlib.suppress(Exception):  # the others must still be called
                hook()

    def requested(self) -> bool:
        """Say whether a stop was asked for."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise Cancelled if a stop was asked for."""
        if self._event.is_set():
            raise Cancelled("The run was cancelled.", remedy="Nothing was published; run it again.")

    def wait(self, seconds: float) -> None:
        """Sleep, but wake and raise Cancelled as soon as a stop is asked for."""
        self._event.wait(seconds)
        self.check()

    @contextlib.contextmanager
    def calling(self, hook: Callable[[], None]) -> Iterator[None]:
        """Have ``hook`` called on a stop while the block runs."""
        with self._lock:
            self._hooks.append(hook)
        try:
            if self._event.is_set():
                hook()
            yield
        finally:
            with self._lock:
                self._hooks.remove(hook)


@dataclass(frozen=True)
class Run:
    """One call of the tool. ``url`` is the address of the workflow run, where there is one.

    ``attended`` says that somebody at a terminal asked, and not a step of a workflow. ``image`` is the
    version and revision of the image that it runs in, '' outside of one.
    """

    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    token: Callable[[int], bytes]
    progress: Progress
    url: str | None = None
    stop: Stop = field(default_factory=Stop)
    attended: bool = True
    image: str = ""
