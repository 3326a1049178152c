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
from functools import partial
from queue import Queue

_CHUNK = 256 * 1024


class SlowLine:
    """A listener on a port of its own that leads to ``target`` with ``delay`` seconds each way."""

    def __init__(self, target: int, delay: float) -> None:
        self._target = target
        self._delay = delay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.received = 0
        """Bytes that came from the server."""
        self.connections = 0
        """How many were opened."""
        self.round_trips = 0
        """How often a client spoke after the server had; each connection took one more before that, of TCP."""
        self._counting = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

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
            with self._counting:
                self.connections += 1
            answered = threading.Event()
            answered.set()
            self._carry(client, server, partial(self._asked, answered))
            self._carry(server, client, partial(self._told, answered))

    def _asked(self, answered: threading.Event, chunk: bytes) -> None:
        if chunk and answered.is_set():
            answered.clear()
            with self._counting:
                self.round_trips += 1

    def _told(self, answered: threading.Event, chunk: bytes) -> None:
        answered.set()
        with self._counting:
            self.received += len(chunk)

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
