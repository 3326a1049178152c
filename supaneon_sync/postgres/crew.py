"""Several workers, each with sessions of its own, sharing one list of work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Generic, TypeVar

from supaneon_sync.errors import Cancelled, SupaneonError
from supaneon_sync.postgres.failures import crowded, lost
from supaneon_sync.postgres.session import Session
from supaneon_sync.run import Stop

Item = TypeVar("Item")
Result = TypeVar("Result")
Sessions = tuple[Session, ...]

TRIES = 4
"""How often a piece of work is tried when its sessions are lost, each time with new ones."""
_PATIENCE = 0.5
"""Seconds after which sessions are asked to end once more: the server may have missed it the first time."""
_PAUSE = 0.25
"""Seconds before the second try; twice as many before each further one."""


class Crew(Generic[Item, Result]):
    """Does ``task`` for each item, up to ``size`` at a time, and stops at the first error.

    ``opening`` gives a worker its sessions and closes them; a stop, or an error in another worker,
    cancels what they are doing on the servers. With ``again``, an item whose sessions were lost is
    tried again with new ones, after ``again`` has taken away what it may have left behind. Where no
    connection is free for a worker, the others do its share.
    """

    def __init__(
        self,
        size: int,
        opening: Callable[[], AbstractContextManager[Sessions]],
        task: Callable[[Sessions, Item], Result],
        stop: Stop,
        again: Callable[[Sessions, Item], None] | None = None,
    ) -> None:
        self._size = size
        self._opening = opening
        self._task = task
        self._stop = stop
        self._again = again
        self._open: set[Session] = set()
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._workers = 0
        self._todo: list[Item] = []
        self._busy = 0
        self._fed = True
        self.told: Callable[[str], None] = lambda _: None
        """Whom to tell what went wrong and was mended."""

    def work(
        self,
        items: Iterable[Item],
        done: Callable[[Item, Result], Iterable[Item] | None] | None = None,
        *,
        more: int = 0,
        fed: bool = False,
    ) -> dict[Item, Result]:
        """Return each item's result; items are taken in the order given.

        ``done`` is told of each as it is finished (one call at a time), and may return further items,
        which are taken before all others (``more``: how many to be ready for). With
        ``fed``, the crew waits for what `add` brings until `no_more` is said. Raises the first error
        of any worker, Cancelled when a stop was asked for.
        """
        self._todo += items
        self._fed = self._fed and fed
        results: dict[Item, Result] = {}

        def finished(item: Item, result: Result) -> None:
            with self._changed:
                results[item] = result
                further = done(item, result) if done is not None else None
                self._todo[:0] = further or ()
                self._busy -= 1
                self._changed.notify_all()

        size = min(self._size, len(self._todo) + more)
        threads = [
            threading.Thread(target=self._labour, args=(finished,), name=f"worker {number}", daemon=True)
            for number in range(size)
        ]
        self._workers = size
        with self._stop.calling(self._cancel):
            for thread in threads:
                thread.start()
            with self._insisting():
                for thread in threads:
                    thread.join()
        self._stop.check()
        if self._failure is not None:
            raise self._failure
        return results

    def is_crowded(self) -> bool:
        """Say whether there are several workers, and more to do than they can take up at once."""
        with self._changed:
            return 1 < self._workers < self._busy + len(self._todo)

    def add(self, item: Item) -> None:
        """Bring one more item to a crew that is fed."""
        with self._changed:
            self._todo.append(item)
            self._changed.notify()

    def no_more(self) -> None:
        """Say that nothing more will be brought."""
        with self._changed:
            self._fed = False
            self._changed.notify_all()

    def give_up(self, failure: BaseException | None = None) -> None:
        """End what the workers are doing, and take nothing more: `work` raises ``failure``."""
        with self._changed:
            self._failure = self._failure or failure or _given_up()
            self._changed.notify_all()
        self._cancel()

    @contextmanager
    def _insisting(self) -> Iterator[None]:
        """Have sessions asked to end again and again, once the crew has, by a thread nobody waits for."""
        over = threading.Event()

        def insist() -> None:
            while not over.wait(_PATIENCE):
                if self._ended():
                    self._cancel()

        threading.Thread(target=insist, name="insisting", daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def _ended(self) -> bool:
        return self._failure is not None or self._stop.requested()

    def _labour(self, finished: Callable[[Item, Result], None]) -> None:
        tries = 0
        try:
            item = self._take()
            while item is not None:
                try:
                    with self._opening() as sessions:
                        self._enter(sessions)
                        if tries and self._again is not None:
                            self._again(sessions, item)
                        while item is not None or (item := self._take()) is not None:
                            finished(item, self._task(sessions, item))
                            item, tries = None, 0
                        return
                except SupaneonError as error:
                    tries += 1
                    if item is not None and tries == 1 and crowded(error) and self._step_aside(item, error):
                        return
                    if not self._worth_another_try(error, item, tries):
                        raise
                    if not crowded(error):
                        self.told(f"{error.message} Trying this piece again with a new connection.")
                    self._stop.wait(_PAUSE * 2 ** (tries - 1))
        except BaseException as error:  # noqa: BLE001 -- raised again by the one who waits
            self.give_up(error)

    def _worth_another_try(self, error: SupaneonError, item: Item | None, tries: int) -> bool:
        if item is None or self._ended() or tries >= TRIES:
            return False
        broken = lost(error) or (tries > 1 and "connection" in error.message)
        return crowded(error) or (self._again is not None and broken)

    def _take(self) -> Item | None:
        """Return the next item; None when there is none and none can come any more."""
        with self._changed:
            while not self._ended():
                if self._todo:
                    self._busy += 1
                    return self._todo.pop(0)
                if not self._busy and not self._fed:
                    self._changed.notify_all()
                    return None
                self._changed.wait(1)
            return None

    def _enter(self, sessions: Sequence[Session]) -> None:
        """Have the sessions cancelled with the others. Raises Cancelled where that was done meanwhile."""
        with self._changed:
            self._open = {session for session in self._open if not session.connection.closed}
            self._open.update(sessions)
            self._stop.check()
            if self._failure is not None:
                raise _given_up()

    def _step_aside(self, item: Item, error: SupaneonError) -> bool:
        """Leave the item to the others; False where there are none: a server may refuse all at once."""
        with self._changed:
            if self._workers == 1:
                return False
            self._todo.insert(0, item)
            self._busy -= 1
            self._workers -= 1
            self._changed.notify_all()
        self.told(f"{error.message} Going on with fewer workers.")
        return True

    def _cancel(self) -> None:
        with self._changed:
            sessions = list(self._open)
            self._changed.notify_all()
        for session in sessions:
            session.cancel()


def _given_up() -> Cancelled:
    return Cancelled("Given up, because other work failed.")


def tolerated(error: SupaneonError, *codes: str) -> bool:
    """Say whether the server's refusal is one of these SQLSTATEs."""
    return error.evidence.get("sqlstate") in codes
