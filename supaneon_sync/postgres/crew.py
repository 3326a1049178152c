"""Several workers, each with sessions of its own, sharing one list of work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from supaneon_sync.errors import SupaneonError
from supaneon_sync.postgres.session import Session
from supaneon_sync.run import Stop

Item = TypeVar("Item")
Result = TypeVar("Result")
Sessions = tuple[Session, ...]


class Crew(Generic[Item, Result]):
    """Does ``task`` for each item, up to ``size`` at a time, and stops at the first error.

    ``opening`` gives a worker its sessions and closes them; a stop, or an error in another worker,
    cancels what they are doing on the servers.
    """

    def __init__(
        self,
        size: int,
        opening: Callable[[], AbstractContextManager[Sessions]],
        task: Callable[[Sessions, Item], Result],
        stop: Stop,
    ) -> None:
        self._size = size
        self._opening = opening
        self._task = task
        self._stop = stop
        self._open: set[Session] = set()
        self._lock = threading.Lock()
        self._failure: BaseException | None = None

    def work(
        self, items: Sequence[Item], done: Callable[[Item, Result], None] | None = None
    ) -> dict[Item, Result]:
        """Return each item's result. ``done`` is told of each as it is finished (one call at a time).

        Raises the first error of any worker, Cancelled when a stop was asked for.
        """
        queue: SimpleQueue[Item] = SimpleQueue()
        for item in items:
            queue.put(item)
        results: dict[Item, Result] = {}

        def finished(item: Item, result: Result) -> None:
            with self._lock:
                results[item] = result
                if done is not None:
                    done(item, result)

        threads = [
            threading.Thread(
                target=self._labour, args=(queue, finished), name=f"worker {number}", daemon=True
            )
            for number in range(min(self._size, len(items)))
        ]
        with self._stop.calling(self._cancel):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self._stop.check()
        if self._failure is not None:
            raise self._failure
        return results

    def _labour(self, queue: SimpleQueue[Item], finished: Callable[[Item, Result], None]) -> None:
        try:
            with self._opening() as sessions:
                with self._lock:
                    self._open.update(sessions)
                while self._failure is None and not self._stop.requested():
                    item = queue.get_nowait()
                    finished(item, self._task(sessions, item))
        except Empty:
            return
        except BaseException as error:  # noqa: BLE001 -- raised again by the one who waits
            with self._lock:
                self._failure = self._failure or error
            self._cancel()

    def _cancel(self) -> None:
        with self._lock:
            sessions = list(self._open)
        for session in sessions:
            session.cancel()


def tolerated(error: SupaneonError, *codes: str) -> bool:
    """Say whether the server's refusal is one of these SQLSTATEs."""
    return error.evidence.get("sqlstate") in codes
