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
    count = 0

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count == 2:
            raise KeyboardInterrupt

    def listen() -> None:
        heard = 0
        with listener:
            while signals := listener.recv(16):
                heard += len(signals)
                if heard >= 3:
                    os._exit(Cancelled.exit_code)
                stop.set()

    threading.Thread(target=listen, name="signals", daemon=True).start()
    former = {number: signal.signal(number, interrupt) for number in WATCHED}
    former_ringer = signal.set_wakeup_fd(ringer.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(former_ringer)
        for number, handler in former.items():
            signal.signal(number, handler)
        ringer.close()
