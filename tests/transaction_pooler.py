"""A transaction pooler before a real server: each transaction of a client runs in another session of it.

What the client sent to open its session opens every one of them, over the server's own socket, which asks
for no password; from then on bytes are passed on, message by message, and nothing is made up.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from select import select

from supaneon_sync.sandbox.server import Server

_ENCRYPTION = (80877103, 80877104)
"""What a client's first message says that asks for TLS or GSSAPI: neither is to be had here."""
_CANCEL = 80877102


@contextmanager
def transaction_pooler(server: Server) -> Iterator[int]:
    """Listen on a port of 127.0.0.1 for the block; give the port. TLS is refused."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        stack.callback(listener.shutdown, socket.SHUT_RDWR)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=_serve, args=(client, server), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield int(listener.getsockname()[1])


def _serve(client: socket.socket, server: Server) -> None:
    """Serve a client until it or a session of its goes."""
    with suppress(ConnectionError), client:
        opening = _opening(client)
        while struct.unpack("!i", opening[4:8])[0] in _ENCRYPTION:
            client.sendall(b"N")
            opening = _opening(client)
        if struct.unpack("!i", opening[4:8])[0] == _CANCEL:
            with _reached(server) as session:
                session.sendall(opening)
            return
        with _reached(server) as session:
            session.sendall(opening)
            _carry(client, session)
        while True:
            asked = _message(client)
            with _reached(server) as session:
                session.sendall(opening)
                while not _ready(_message(session)):
                    pass
                session.sendall(asked)
                _carry(client, session)


def _carry(client: socket.socket, session: socket.socket) -> None:
    """Pass messages on both ways until the session is in no transaction."""
    while True:
        if session in select([client, session], [], [])[0]:
            told = _message(session)
            client.sendall(told)
            if _ready(told):
                return
        else:
            session.sendall(_message(client))


def _ready(message: bytes) -> bool:
    """Whether the server says that it waits for what is next, in no transaction."""
    return message[:1] == b"Z" and message[5:] == b"I"


def _reached(server: Server) -> socket.socket:
    reached = socket.socket(socket.AF_UNIX)
    reached.connect(str(server.sockets / f".s.PGSQL.{server.port}"))
    return reached


def _opening(client: socket.socket) -> bytes:
    """Read a first message, which has a length and no kind."""
    length = _exactly(client, 4)
    return length + _exactly(client, struct.unpack("!i", length)[0] - 4)


def _message(end: socket.socket) -> bytes:
    head = _exactly(end, 5)
    return head + _exactly(end, struct.unpack("!i", head[1:])[0] - 4)


def _exactly(end: socket.socket, size: int) -> bytes:
    """Read so many bytes. Raises ConnectionError where the other end is gone."""
    got = end.recv(size, socket.MSG_WAITALL) if size else b""
    if len(got) < size:
        raise ConnectionError
    return got
