"""A COPY on one server that feeds a COPY on another: streamed, its end only an end if it ended well."""

from __future__ import annotations

import os
import threading
from typing import BinaryIO

from psycopg2 import sql

from supaneon_sync.postgres.sending import Reader
from supaneon_sync.postgres.session import Session

_CHUNK = 256 * 1024


def relay(source: Session, out: sql.Composable, target: Session, into: sql.Composable, reader: Reader) -> int:
    """Run COPY … TO STDOUT into COPY … FROM STDIN, at the pace that is allowed; return the bytes.

    Raises what went wrong on either side; where it was the source, the target's COPY has failed too.
    """
    read_end, write_end = os.pipe()
    feed = _Feed(os.fdopen(read_end, "rb", buffering=_CHUNK), reader)
    sender = threading.Thread(target=_send, args=(source, out, write_end, feed), name="relay", daemon=True)
    sender.start()
    try:
        with target.errors(), target.connection.cursor() as cursor:
            cursor.copy_expert(into, feed, size=_CHUNK)
    except BaseException as error:  # noqa: BLE001 -- raised again, or what caused it
        feed.stream.close()
        while sender.is_alive():
            source.cancel()
            sender.join(0.05)
        raise (feed.failure or error) from None
    feed.stream.close()
    sender.join()
    return feed.volume


def _send(source: Session, out: sql.Composable, write_end: int, feed: _Feed) -> None:
    try:
        with os.fdopen(write_end, "wb", buffering=_CHUNK) as pipe:
            source.copy_out(out, pipe)
    except BrokenPipeError:
        source.close()  # it cannot be used in the middle of a COPY, and the target has told why
    except BaseException as error:  # noqa: BLE001 -- raised by the reading side
        feed.failure = error
    finally:
        feed.arrived.set()


class _Feed:
    """What the target's COPY reads."""

    def __init__(self, stream: BinaryIO, reader: Reader) -> None:
        self.stream = stream
        self.volume = 0
        self.failure: BaseException | None = None
        self.arrived = threading.Event()
        self._reader = reader

    def readline(self, size: int = -1) -> bytes:
        """Return a line; the driver asks for this method and never calls it."""
        return self.stream.readline(size)

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes (called by the driver); an error here makes the server drop the rows."""
        chunk = self.stream.read(size)
        if chunk:
            self.volume += len(chunk)
            self._reader.pace.spend(len(chunk))
            self._reader.moved(len(chunk))
            return chunk
        self.arrived.wait()
        if self.failure is not None:
            raise self.failure
        return b""
