"""A limit on how fast the primary's rows are read, shared by all workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pace:
    """Lets ``rate`` bytes a second pass (None: any number); half a second's worth may pass at once."""

    def __init__(
        self,
        rate: int | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = rate
        self._monotonic = monotonic
        self._wait = wait
        self._free_at = float("-inf")
        self._lock = threading.Lock()

    def spend(self, count: int) -> None:
        """Say that ``count`` bytes passed; return when the next may."""
        if self._rate is None:
            return
        with self._lock:
            now = self._monotonic()
            self._free_at = max(self._free_at, now - 0.5) + count / self._rate
            ahead = self._free_at - now
        if ahead > 0:
            self._wait(ahead)
