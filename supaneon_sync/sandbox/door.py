"""The door of a compute that sleeps: it keeps the port open, and a knock wakes the compute.

Neon's proxy holds a client's connection while the compute starts; so does this. Once a compute has
slept, its server listens elsewhere and the door passes the bytes on, so no connection is refused
between two naps. A compute that never slept has no door: clients speak with the server itself.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)
_CHUNK = 256 * 1024


class Door:
    """Listens on a loopback port and joins each connection to the server that ``wake`` tells.

    ``wake`` starts the server if need be and returns its port; it may raise OSError or RuntimeError,
    and then the knock is not answered.
    """

    def __init__(self, port: int, wake: Callable[[], int]) -> None:
        self._wake = wake
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        threading.Thread(target=self._listen, name=f"door-{port}", daemon=True).start()

    def close(self) -> None:
        """Stop listening. Connections that were let in go on until their server ends them."""
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            _log.debug("the door was shut already")
        self._listener.close()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._let_in, args=(client,), daemon=True).start()

    def _let_in(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._wake()))
        except (OSError, RuntimeError) as error:
            _log.warning("a knock was not answered: %s", error)
            client.close()
            return
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_pump, args=(server, client), daemon=True).start()
        _pump(client, server)


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Pass bytes on until the source ends, then tell the target so."""
    try:
        while data := source.recv(_CHUNK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for one in (source, target):
            one.close()
