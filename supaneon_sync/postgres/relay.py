"""A COPY on one server that feeds a COPY on another: streamed, its end only an end if it ended well."""

from __future__ import annotations

import os
import threading

from psycopg2 import sql

from supaneon_sync.postgres.sending import CHUNK, Inlet, Reader
from supaneon_sync.postgres.session import Session


def relay(source: Session, out: sql.Composable, target: Session, into: sql.Composable, reader: Reader) -> int:
    """Run COPY … TO STDOUT into COPY … FROM STDIN, at the pace that is allowed; return the bytes.

    Raises what went wrong on either side; where it was the source, the target's COPY has failed too.
    """
    read_end, write_end = os.pipe()
    feed = Inlet(os.fdopen(read_end, "rb", buffering=CHUNK), reader)
    sender = threading.Thread(target=_send, args=(source, out, write_end, feed), name="relay", daemon=True)
    sender.start()
    try:
        with target.errors(), target.connection.cursor() as cursor:
            cursor.copy_expert(into, feed, size=CHUNK)
    except BaseException as error:  # noqa: BLE001 -- raised again, or what caused it
        feed.stream.close()
        while sender.is_alive():
            source.cancel()
            sender.join(0.05)
        raise (feed.failure or error) from None
    feed.stream.close()
    sender.join()
    return feed.volume


def _send(source: Session, out: sql.Composable, write_end: int, feed: Inlet) -> None:
    try:
        with os.fdopen(write_end, "wb", buffering=CHUNK) as pipe:
            source.copy_out(out, pipe)
    except BrokenPipeError:
        source.close()  # it cannot be used in the middle of a COPY, and the target has told why
    except BaseException as error:  # noqa: BLE001 -- raised by the reading side
        feed.failure = error
    finally:
        feed.arrived.set()
