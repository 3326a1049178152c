"""A TCP line with a delay in each direction, on 127.0.0.1: what a server far away feels like.

Two threads a direction: one takes what comes and notes when, one hands it on when its time has come.
Bytes, connections and round trips are counted, so that the line also tells what crossed, and how often
somebody had to wait for it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import Queue

_CHUNK = 256 * 1024


@dataclass
class Talk:
    """One connection over the line.

    ``opening`` is the first that the client said; ``round_trips`` is how often it spoke after the server had,
    to which TCP's own first one is to be added.
    """

    opening: bytes = b""
    round_trips: int = 0
    received: int = 0
    _answered: bool = True

    def asked(self, chunk: bytes) -> None:
        """Count what comes from the client."""
        self.opening = self.opening or chunk
        if chunk and self._answered:
            self._answered = False
            self.round_trips += 1

    def told(self, chunk: bytes) -> None:
        """Count what comes from the server."""
        self._answered = True
        self.received += len(chunk)


class SlowLine:
    """A listener on a port of its own that leads to ``target`` with ``delay`` seconds each way."""

    def __init__(self, target: int, delay: float) -> None:
        self._target = target
        self._delay = delay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.talks: list[Talk] = []
        """Every connection that was opened."""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def received(self) -> int:
        """Bytes that came from the server."""
        return sum(talk.received for talk in self.talks)

    def close(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            talk = Talk()
            self.talks.append(talk)
            self._carry(client, server, talk.asked)
            self._carry(server, client, talk.told)

    def _carry(self, source: socket.socket, sink: socket.socket, count: Callable[[bytes], None]) -> None:
        line: Queue[tuple[float, bytes]] = Queue(64)

        def take() -> None:
            while True:
                try:
                    chunk = source.recv(_CHUNK)
                except OSError:
                    chunk = b""
                count(chunk)
                line.put((time.monotonic() + self._delay, chunk))
                if not chunk:
                    return

        def hand_on() -> None:
            with contextlib.suppress(OSError):
                while True:
                    due, chunk = line.get()
                    time.sleep(max(0.0, due - time.monotonic()))
                    if not chunk:
                        break
                    sink.sendall(chunk)
                sink.shutdown(socket.SHUT_WR)

        for task in (take, hand_on):
            threading.Thread(target=task, daemon=True).start()


@contextlib.contextmanager
def slow_line(target: int, delay: float) -> Iterator[SlowLine]:
    """Open a line for the block."""
    line = SlowLine(target, delay)
    try:
        yield line
    finally:
        line.close()
