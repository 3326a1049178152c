"""Signals: the first one asks the run to stop, the second interrupts it, the third ends the process.

A handler written in Python waits until the main thread is back from C code, which in a long query
is minutes. So the C handler's own byte, written into a socket at once, wakes a thread that asks for
the stop, whose hooks then cancel that query (`signal.set_wakeup_fd`).
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from supaneon_sync.errors import Cancelled
from supaneon_sync.run import Stop

WATCHED = (signal.SIGINT, signal.SIGTERM)
_NUDGE = signal.SIGUSR1
"""Sent to the main thread by the listening one: a signal to the process may wake another thread, and
would leave the main one asleep in its system call."""


@contextmanager
def stopping(stop: Stop) -> Iterator[None]:
    """Have SIGINT and SIGTERM ask ``stop`` to stop while the block runs.

    Outside the main thread, where Python allows no handlers, the block runs as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    listener, ringer = socket.socketpair()
    ringer.setblocking(False)
    threading.Thread(target=_listen, args=(listener, stop), name="signals", daemon=True).start()
    handlers = {**dict.fromkeys(WATCHED, _nothing), _NUDGE: _interrupt}
    former = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    former_ringer = signal.set_wakeup_fd(ringer.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(former_ringer)
        for number, handler in former.items():
            signal.signal(number, handler)
        ringer.close()


def _listen(listener: socket.socket, stop: Stop) -> None:
    heard = 0
    with listener:
        while numbers := listener.recv(16):
            for _ in filter(WATCHED.__contains__, numbers):
                heard += 1
                if heard == 1:
                    threading.Thread(target=stop.set, daemon=True).start()  # a hook may take its time
                elif heard == 2:
                    signal.pthread_kill(threading.main_thread().ident or 0, _NUDGE)
                else:
                    os._exit(Cancelled.exit_code)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Have a handler at all: what is done, the listening thread does."""


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
