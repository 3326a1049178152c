"""What stands of failovers, and what the ledger says: the questions that other verbs ask before they act."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from supaneon_sync.errors import NeonError, Refused, SupaneonError
from supaneon_sync.neon_client import Branch
from supaneon_sync.operations.standby import Standby
from supaneon_sync.operations.standing import StandingBackup
from supaneon_sync.policy import failover, names
from supaneon_sync.postgres import session
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.failures import Side
from supaneon_sync.postgres.house import House
from supaneon_sync.report.ledger import LedgerRow

PATIENCE = 3.0
"""Seconds that a failover waits for the ledger. The mirror's compute may be as broken as the primary."""

Answer = TypeVar("Answer")


def in_force(standby: Standby, branches: Sequence[Branch] | None = None) -> Branch | None:
    """Return the branch of the failover that is in force, None where there is none.

    Neon's API alone is asked (unless the caller has just listed ``branches``).
    """
    found = failover.in_force(standby.branches() if branches is None else branches)
    return found[0] if found else None


def refuse_while_in_force(standby: Standby) -> None:
    """Raise Refused (7) while a failover is in force.

    The application writes to the failover branch then. A primary that comes back is stale: a backup of
    it would pass for the newest state.
    """
    branch = in_force(standby)
    if branch is None:
        return
    raise Refused(
        f"A failover is in force: {branch.name} takes the application's traffic since "
        f"{branch.created_at:%Y-%m-%d %H:%M} UTC. The mirror and the backups were left as they are.",
        remedy="When the team has decided which side counts: supaneon-sync failover --end --yes",
    )


def parent_of(standby: Standby, branch: Branch, branches: Sequence[Branch]) -> StandingBackup:
    """Return the backup that a failover branch was cut from. Raises Refused where it is none of ours."""
    for one in standby.backups(list(branches)):
        if one.branch.id == branch.parent_id:
            return one
    raise Refused(
        f"{branch.name} was not cut from a backup of this project.",
        remedy="Look at the branch in the Neon console; nothing leads to it from here.",
    )


class Ledger:
    """The ledger on the mirror, asked for no longer than ``PATIENCE``; without it, branches tell.

    ``silence`` says why it cannot be had, '' as long as it can. Once silent it is not asked again.
    """

    def __init__(self, standby: Standby) -> None:
        self._standby = standby
        self._door: Conninfo | None = None
        self.silence = ""

    def rows(self) -> tuple[LedgerRow, ...]:
        """Return the whole ledger, oldest first; empty where it cannot be had."""
        return self._ask(House.ledger) or ()

    def record(self, kind: str, subject: str, verdict: str, details: dict[str, object]) -> None:
        """Append a row, if that can be done."""
        row = LedgerRow(self._standby.run.clock(), kind, subject, verdict, details)
        self._ask(lambda house: house.record(row))

    @property
    def note(self) -> tuple[str, ...]:
        """What to tell of it, nothing where it could be had."""
        if not self.silence:
            return ()
        text = (
            f"The ledger on {names.MIRROR} cannot be had ({self.silence}): what is told here comes from the "
        )
        return (text + "branches' names and annotations alone, and no row was written.",)

    def _ask(self, question: Callable[[House], Answer]) -> Answer | None:
        if self.silence:
            return None
        try:
            return _within(PATIENCE, self._work(question))
        except SupaneonError as error:
            self._standby.run.stop.check()
            self.silence = error.message.rstrip(".")
            return None

    def _work(self, question: Callable[[House], Answer]) -> Callable[[], Answer]:
        door = self._door = self._door or self._find()

        def work() -> Answer:
            with session.connect(door, Side.NEON, purpose="failover") as opened:
                return question(House(opened))

        return work

    def _find(self) -> Conninfo:
        standby = self._standby
        mirror = standby.mirror()
        if mirror is None:
            raise NeonError("there is no such branch")
        if not standby.client.endpoints(standby.project.id, mirror.id):
            raise NeonError("it has no compute")
        door = standby.mirror_doors(mirror).direct.database(names.HOUSE_DATABASE)
        return replace(door, options=dict(door.options) | {"connect_timeout": "3"})


def _within(seconds: float, work: Callable[[], Answer]) -> Answer:
    """Return what the work gives; raise NeonError if it takes longer. What hangs is left to itself."""
    given: list[Answer] = []
    raised: list[SupaneonError] = []

    def whole() -> None:
        try:
            given.append(work())
        except SupaneonError as error:
            raised.append(error)

    thread = threading.Thread(target=whole, name="ledger", daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    if not given:
        raise NeonError(f"it did not answer within {seconds:.0f} seconds")
    return given[0]
