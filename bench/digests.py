"""What fingerprints cost: the seconds of all tables' fingerprints against binary COPY of them to nowhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from bench import markdown
from bench.contenders import DATABASE, PASSWORD, USER
from supaneon_sync.postgres import inventory, session
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.failures import Side
from supaneon_sync.postgres.fingerprint import Seed, copy_out, fingerprints, method_for
from supaneon_sync.secret import Secret

_SEED = Seed(1, 2)
_TIMES = 3


class _Nowhere:
    """Takes bytes and counts them."""

    def __init__(self) -> None:
        self.bytes = 0

    def write(self, chunk: bytes) -> int:
        self.bytes += len(chunk)
        return len(chunk)


def measure(port: int) -> dict[str, Any]:
    """Return rows, bytes and the best of three times, in seconds: one session, one table after the other."""
    door = Conninfo("127.0.0.1", port, DATABASE, USER, Secret(PASSWORD), {"sslmode": "disable"})
    with session.connect(door, Side.PRIMARY, purpose="digests") as reader:
        relations = inventory.read(reader).relations.values()
        tables = [one for one in relations if one.kind == "r" and one.schema == "public"]
        nowhere = _Nowhere()
        for table in tables:
            reader.copy_out(copy_out(table, binary=True), nowhere)
        wanted = [(table, method_for(table)) for table in tables]
        rows = sum(one.rows for one in fingerprints(reader, wanted, _SEED))
        return {
            "rows": rows,
            "bytes": nowhere.bytes,
            "copy": _best(
                lambda: [reader.copy_out(copy_out(one, binary=True), _Nowhere()) for one in tables]
            ),
            "fingerprints": _best(lambda: fingerprints(reader, wanted, _SEED)),
        }


def _best(task: Callable[[], object]) -> float:
    seconds = []
    for _ in range(_TIMES):
        began = time.monotonic()
        task()
        seconds.append(time.monotonic() - began)
    return min(seconds)


def told(found: dict[str, Any]) -> str:
    """Return the figures as a line for people."""
    rate = found["bytes"] / found["fingerprints"] / 1e6
    return (
        f"Fingerprints, one session: {found['fingerprints']:.2f} s for {found['rows']} rows"
        f" ({found['rows'] / found['fingerprints']:.0f} rows/s, {rate:.0f} MB/s);"
        f" binary COPY of the same to nowhere: {found['copy']:.2f} s"
    )


def table(found: Mapping[str, dict[str, Any]]) -> str:
    """Return the figures of several databases, by their names, as a table in Markdown."""
    heads = ("", "rows", "as binary", "COPY", "fingerprints", "rows a second", "MB a second")
    rows = []
    for name, one in found.items():
        megabytes, seconds = one["bytes"] / 1e6, one["fingerprints"]
        cells = [name, f"{one['rows']}", f"{megabytes:.0f} MB", f"{one['copy']:.2f} s", f"{seconds:.2f} s"]
        rows.append([*cells, f"{one['rows'] / seconds:.0f}", f"{megabytes / seconds:.0f}"])
    return markdown.table(heads, rows)
