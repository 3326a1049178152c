"""Sessions that are used again within a run: opening one takes half a dozen round trips, this takes one.

A pool is for one server and one database. It opens a connection only when none lies idle, so that never
more of them are open than were in use at once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from psycopg2.extensions import connection

from supaneon_sync.errors import SupaneonError
from supaneon_sync.postgres.session import Session
from supaneon_sync.run import Stop

FEWEST = 2
"""Connections that every run needs at once, to one server and database: one that waits and one that works."""


class Opening(Protocol):
    """How a new session is opened."""

    def __call__(self, purpose: str, *, settings: str) -> Session:
        """Open a session for a purpose, with these settings besides what is pinned."""


class Pool:
    """Gives sessions out, takes back those that are sound, and closes them all in the end."""

    def __init__(self, opening: Opening, stop: Stop) -> None:
        self._opening = opening
        self._stop = stop
        self._idle: list[Session] = []
        self._connections: list[connection] = []
        self._most = FEWEST
        self._changing = threading.Lock()
        self._closed = False

    @contextmanager
    def session(self, purpose: str, settings: str = "") -> Iterator[Session]:
        """Lend a session for the block; after an error in it, it is not used again.

        It has what every session has pinned, its purpose in its application_name, and what ``settings``
        set, which are statements; nothing of what anybody else has set. Raises what opening one raises.
        """
        opened = self._take(purpose, settings)
        try:
            yield opened
        except BaseException:
            opened.close()
            raise
        self._give_back(opened)

    def make_room(self) -> None:
        """Close an idle connection if one that another program opens would be one more than ever."""
        idle = self._newest() if self._open() >= self._most else None
        if idle is not None:
            idle.renounce()

    def empty(self) -> None:
        """Close every idle session."""
        while (idle := self._newest()) is not None:
            idle.renounce()

    def close(self) -> None:
        """Close every idle session, and those that are still out as soon as they come back."""
        self._closed = True
        self.empty()

    def _take(self, purpose: str, settings: str) -> Session:
        self._stop.check()
        while (idle := self._newest()) is not None:
            try:
                return idle.renewed(purpose, settings)
            except SupaneonError:
                continue  # it has died since, or its server has an error that a new one will tell
        opened = self._opening(purpose, settings=settings)
        with self._changing:
            self._connections.append(opened.connection)
        self._most = max(self._most, self._open())
        return opened

    def _open(self) -> int:
        with self._changing:
            self._connections = [one for one in self._connections if not one.closed]
            return len(self._connections)

    def _newest(self) -> Session | None:
        with self._changing:
            return self._idle.pop() if self._idle else None

    def _give_back(self, one: Session) -> None:
        if not one.retire():
            return
        with self._changing:
            self._idle.append(one)
        if self._closed:
            self.empty()
