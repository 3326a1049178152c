"""The client: every call that supaneon-sync makes to Neon's API."""

from __future__ import annotations

import random as randomness
import time
from collections.abc import Callable
from types import TracebackType

from supaneon_sync.neon_client.creation import CreationCalls
from supaneon_sync.neon_client.databases import DatabaseCalls
from supaneon_sync.neon_client.projects import ProjectCalls
from supaneon_sync.neon_client.retries import Patience
from supaneon_sync.neon_client.transport import Transport
from supaneon_sync.secret import Secret

DEFAULT_HOST = "https://console.neon.tech/api/v2"


class NeonClient(ProjectCalls, CreationCalls, DatabaseCalls):
    """Neon's API v2 for one key.

    ``api_host``: base URL, https (http for loopback alone), else ConfigError. ``clock`` and ``sleep``
    count seconds; ``random`` gives numbers from 0 to 1 (waits and request ids). Every call may raise
    NeonError, or QuotaError at a limit of the plan, or ConfigError for an unknown project; the error's
    evidence holds status, code, message and request id.
    """

    def __init__(
        self,
        key: Secret,
        *,
        api_host: str = DEFAULT_HOST,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = randomness.random,
        patience: Patience | None = None,
    ) -> None:
        super().__init__(Transport(key, api_host, clock, sleep, random, patience or Patience()))

    def __repr__(self) -> str:
        return f"NeonClient({self._transport!r})"

    def __enter__(self) -> NeonClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()
