"""The password that a failover branch gets: once, whoever calls, never while an application may know it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from supaneon_sync.errors import NeonError
from supaneon_sync.neon_client import Branch
from supaneon_sync.operations.failover_branch import Cutting
from supaneon_sync.operations.standby import Doors
from supaneon_sync.policy import names
from supaneon_sync.postgres import drilling, serving
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.session import Session
from supaneon_sync.secret import Secret

SHUT_OUT = 60.0
"""Seconds after which a branch that no known password opens is given up."""


@dataclass
class OwnPassword:
    """The owner role's password on the branch of one call.

    That it is not the backup's any more is how anybody sees, from the API, that it was set.
    """

    cutting: Cutting
    _password: Secret | None = None
    _doors: Doors | None = None
    _inherited: Secret | None = None

    def doors(self) -> Doors:
        """Return the way into the branch: with the password that this call has set, else as Neon tells it."""
        if self._doors is None or self._password is None:
            self._doors = self.cutting.standby.doors(self.cutting.there)
        if self._password is None:
            return self._doors
        direct, pooled = self._doors.direct, self._doors.pooled
        return Doors(replace(direct, password=self._password), replace(pooled, password=self._password))

    def settle(self) -> None:
        """Give the owner role a password of its own on this branch, unless it has one already."""
        session = None if self._settled() else self._turn()
        if session is None:
            return
        standby = self.cutting.standby
        with session:
            if self._settled():
                return
            role = standby.settings.neon_db_user
            made = standby.client.reset_password(standby.project.id, self.cutting.there.id, role)
            standby.run.progress.secret(made.reveal())
            self._password = made

    def _settled(self) -> bool:
        """Say whether the branch has a password of its own that opens it.

        Neon tells a new password before its compute knows it, and also where the compute never came to.
        """
        now = self._told(self.cutting.there)
        if now is None or now == self._backups():
            return False
        try:
            self._enter(self.doors().direct).close()
        except NeonError as error:
            if not is_shut(error):
                raise
            return False
        return True

    def _told(self, branch: Branch) -> Secret | None:
        """Return the owner's password on a branch, None where Neon does not tell it."""
        client, role = self.cutting.standby.client, self.cutting.standby.settings.neon_db_user
        return client.reveal_password(self.cutting.standby.project.id, branch.id, role)

    def _backups(self) -> Secret | None:
        """Return the password that the branch was born with, the backup's."""
        if self._inherited is None:
            self._inherited = self._told(self.cutting.order.source.branch)
        return self._inherited

    def _enter(self, door: Conninfo) -> Session:
        return self.cutting.standby.connect(door, "failover", database=names.HOUSE_DATABASE)

    def _turn(self) -> Session | None:
        """Return a session on the branch that holds the turn to prepare it; None where there is no need.

        Another call's new password ends our sessions and our password; so this begins again. Until the
        compute knows a new one, the backup's opens it.
        """
        standby, run = self.cutting.standby, self.cutting.standby.run
        late = run.monotonic() + standby.settings.operation_timeout.total_seconds()
        hopeless = run.monotonic() + SHUT_OUT
        door = self.doors().direct
        inherited = replace(door, password=self._backups() or door.password)
        while True:
            try:
                session = self._enter(inherited)
                if serving.take_turn(session, run.stop.wait, lambda: run.monotonic() > late):
                    return session
                session.close()
                raise NeonError("Another call is preparing the failover branch.", remedy="Run it again.")
            except NeonError as error:
                if self._settled():
                    return None
                if not drilling.lost(error) or run.monotonic() > hopeless:
                    raise
                run.stop.wait(0.3)


def is_shut(error: NeonError) -> bool:
    """Say whether a server did not accept the password."""
    return "password authentication failed" in str(error.evidence.get("cause"))
