"""One run of our engine between two databases, without the API around it: `python -m bench.ours JSON`.

The engine has no switch that turns the proof off, nor statistics. To time the copy alone, this module puts
functions that do nothing in the place of the ones that do.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from supaneon_sync.operations import ahead, finishing, syncing
from supaneon_sync.operations.workshop import Workshop
from supaneon_sync.policy import baseline
from supaneon_sync.postgres import mirror, sending, session, statistics
from supaneon_sync.postgres.archive import Archive
from supaneon_sync.postgres.clients import Clients
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.failures import Side
from supaneon_sync.postgres.fingerprint import Fingerprint
from supaneon_sync.postgres.history import Horizon
from supaneon_sync.postgres.house import House
from supaneon_sync.postgres.resting import Here
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.snapshot import Keeper
from supaneon_sync.run import Run, Silent
from supaneon_sync.secret import Secret
from supaneon_sync.settings import Settings


class Stand:
    """What the engine wants of a standby project: settings, a run, and sessions on the mirror."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.run = Run(lambda: datetime.now(UTC), time.monotonic, secrets.token_bytes, Silent())

    def connect(
        self, door: Conninfo, purpose: str, *, database: str | None = None, settings: str = ""
    ) -> Session:
        where = door if database is None else door.database(database)
        return session.connect(where, Side.NEON, purpose=purpose, stop=self.run.stop, settings=settings)


def _without_proof() -> None:
    nothing = Fingerprint(0, "0" * 32)
    for module in (ahead, sending):
        vars(module)["fingerprints"] = lambda _, wanted, *__: (nothing,) * len(wanted)
    vars(syncing)["prove"] = lambda _, claim: _NoProof(claim.tables)


def _without_statistics() -> None:
    vars(statistics)["analyse"] = lambda *_: False
    vars(finishing)["vacuum"] = lambda *_: []
    vars(finishing)["analyse_roots"] = lambda *_: {}


class _NoProof:
    """What a proof that looked at nothing says: no remark of any kind."""

    def __init__(self, tables: object) -> None:
        self.tables = tables
        self.schema = Archive((), "", "")
        self.here = Here(Horizon("", 0), 0, {})
        self.rested: dict[object, object] = {}

    def __getattr__(self, _: str) -> tuple[()]:
        return ()


def measure(order: dict[str, Any]) -> dict[str, Any]:
    """Do one run and return its seconds, phase by phase."""
    if not order["proof"]:
        _without_proof()
    if not order.get("statistics", True):
        _without_statistics()

    def door(port: int) -> Conninfo:
        options = {"sslmode": "disable"}
        return Conninfo("127.0.0.1", port, "bench", order["user"], Secret(order["password"]), options)

    settings = Settings(jobs=order["jobs"])
    if order.get("again"):
        settings = replace(settings, prove_every=timedelta(0))
    stand = Stand(settings)
    client = Clients(order["major"], str(order["major"]), Path(order["clients"]))
    with stand.connect(door(order["target"]), "lock", database="postgres") as lock, Keeper() as keeper:
        target = mirror.describe(lock, order["user"])
        house = House(lock)
        house.build("bench", "bench", "bench", datetime.now(UTC))
        held = SimpleNamespace(
            branch=None, door=door(order["target"]), house=house, target=target, keeper=keeper, session=lock
        )
        began = time.monotonic()
        with Workshop(stand, door(order["source"]), held, client) as workshop:  # type: ignore[arg-type]
            proved = syncing.make_equal(workshop)
        house.write_baseline(baseline.pack(proved.baseline), datetime.now(UTC))
        house.write_manifest("", "", datetime.now(UTC))  # that the run has ended
        whole = time.monotonic() - began
    return {
        "seconds": whole,
        "phases": proved.seconds,
        "rows": proved.rows,
        "bytes": proved.bytes,
        "moved": [one.document() for one in proved.moved][:10],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(json.loads(sys.argv[1]))) + "\n")
