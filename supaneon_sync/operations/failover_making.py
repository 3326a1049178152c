"""Making a failover branch ready, step by step; done again, it goes on from where it was.

``policy/failover.py`` says which step comes next and what must hold. Each step here looks first whether
it is done already, so that a second call, or a second person, finds it done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from supaneon_sync.errors import DataDiffers, NeonError, Refused
from supaneon_sync.neon_client import Branch, Endpoint
from supaneon_sync.operations.failover_branch import Cutting
from supaneon_sync.operations.failover_password import OwnPassword, is_shut
from supaneon_sync.operations.standby import Doors, Standby
from supaneon_sync.operations.standing import StandingBackup
from supaneon_sync.policy import failover, marks
from supaneon_sync.policy.failover import Sight, Step
from supaneon_sync.postgres import serving
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.serving import Look

QUICK = 2.0
"""Seconds for counting rows before the branch is handed out."""


@dataclass(frozen=True)
class Served:
    """A failover branch that answered: ``application`` is the way that is handed out.

    ``look`` is None where the branch was handed out before: an application may have changed it.
    """

    source: StandingBackup
    branch: Branch
    endpoint: Endpoint
    doors: Doors
    application: Doors
    document: Mapping[str, Any]
    look: Look | None
    seconds: Mapping[str, float]
    notes: tuple[str, ...]


@dataclass
class Making:
    """One call's work on the branch that ``cutting`` cuts or meets."""

    cutting: Cutting
    seconds: dict[str, float] = field(default_factory=dict)
    _own_password: OwnPassword = field(init=False)
    _doors: Doors | None = None
    _application: Doors | None = None
    _document: Mapping[str, Any] = field(default_factory=dict)
    _look: Look | None = None

    def __post_init__(self) -> None:
        self._own_password = OwnPassword(self.cutting)

    def serve(self) -> Served:
        """Do what is left to do until the branch has answered a query; return it.

        Raises the errors of ``errors.py``. Whatever is raised, calling it again goes on from there.
        """
        run = self._standby.run
        sight = self._sight(Sight())
        while (step := failover.next_step(sight)) is not None:
            run.stop.check()
            run.progress.step(step.value)
            began = run.monotonic()
            self._deeds()[step]()
            took = run.monotonic() - began
            self.seconds[step.value] = self.seconds.get(step.value, 0.0) + took
            sight = self._sight(sight.after(step))
        return Served(
            source=self._source,
            branch=self._branch,
            endpoint=self._standby.endpoint(self._branch),
            doors=self._way(),
            application=self._application or self._way(),
            document=self._document,
            look=self._look,
            seconds=dict(self.seconds),
            notes=tuple(self.cutting.notes),
        )

    @property
    def _standby(self) -> Standby:
        return self.cutting.standby

    @property
    def _branch(self) -> Branch:
        return self.cutting.there

    @property
    def _source(self) -> StandingBackup:
        return self.cutting.order.source

    def _sight(self, known: Sight) -> Sight:
        """Return what was known with what the branch shows. A rehearsal is not named for good."""
        if self.cutting.branch is None:
            return replace(known, exists=False, role=self._standby.settings.role is None)
        starting = self.cutting.starting
        spared = not starting or self.cutting.order.rehearsal
        return replace(
            known,
            exists=True,
            named=known.named or not starting or (self.cutting.order.rehearsal and known.own_password),
            protected=known.protected or self._branch.protected or spared,
            role=known.role or self._standby.settings.role is None,
        )

    def _deeds(self) -> Mapping[Step, Callable[[], None]]:
        return {
            Step.CREATE: self.cutting.create,
            Step.READY: self.cutting.await_ready,
            Step.PROTECT: self.cutting.protect,
            Step.PASSWORD: self._own_password.settle,
            Step.PROVE: self._prove,
            Step.CHECK: self._check,
            Step.ROLE: self._let_role_in,
            Step.NAME: self._name,
            Step.SERVE: self._serve,
        }

    # --- proof, look, role, name

    def _way(self) -> Doors:
        if self._doors is None:
            self._doors = self._own_password.doors()
        return self._doors

    def _prove(self) -> None:
        self._doors = self._own_password.doors()
        self._document = prove(self._standby, self._source, self._branch, self._doors.direct)

    def _check(self) -> None:
        branch, run = self._branch, self._standby.run
        with self._standby.connect(self._way().direct, "look") as session:
            if self.cutting.starting:
                self._look = serving.look(session, self._document, QUICK, run.monotonic)
            written = serving.write_and_take_back(session)
        if self._look is not None and self._look.wrong:
            self.cutting.branch = self._standby.client.branch(self._standby.project.id, branch.id)
            if self.cutting.starting:
                raise _not_as_recorded(self._source, branch, self._look.wrong)
            self._look = None  # another call has handed it out meanwhile: an application may write there
        run.progress.note(f"A row was written to {written} and taken back.")

    def _let_role_in(self) -> None:
        role = self._standby.settings.role
        if role is None:
            return
        application = as_role(self._standby, self._branch, self._way(), role)
        with self._standby.connect(self._way().direct, "role") as session:
            known = serving.login_role(session, role)
            self._check_role(role, known)
            password = application.direct.password
            if known is not None and not known.can_login and password is not None:
                serving.let_in(session, role, password)
            if known is not None and known.unrestrained:
                self.cutting.notes.append(
                    f"Row security does not restrain the role {role}: it may read every row."
                )
        self._application = application

    def _check_role(self, role: str, known: serving.LoginRole | None) -> None:
        copied = ", ".join(self._document.get("roles", ())) or "none"
        if known is None:
            raise Refused(
                f"The branch has no role {role}; nothing was handed out.",
                remedy=f"Run it again with --role and one of: {copied}. It goes on from here.",
            )
        if known.owner:
            raise Refused(
                f"{role} is the owner role itself, which row security does not restrain.",
                remedy=f"Leave --role out to get the owner's URI, or name one of: {copied}.",
            )

    def _name(self) -> None:
        branch = self._branch
        name = failover.final_name(branch, self._source.backup.moment)
        self.cutting.branch = self._standby.client.rename_branch(self._standby.project.id, branch.id, name)

    def _serve(self) -> None:
        door = (self._application or self._way()).direct
        try:
            with self._standby.connect(door, "first query") as session:
                role = serving.serves(session)
        except NeonError as error:
            if self._application is None or not is_shut(error):
                raise
            raise Refused(
                f"The role {door.user} could log in before, with a password that this tool does not know.",
                remedy=f"As the owner, on {self._branch.name}: ALTER ROLE {door.user} NOLOGIN; "
                "then run it again. Whoever uses the role now is cut off by that.",
            ) from error
        if role != door.user:
            raise NeonError(f"The URI of {door.user} leads in as {role}.", remedy="Do not use it.")


def prove(standby: Standby, source: StandingBackup, branch: Branch, door: Conninfo) -> Mapping[str, Any]:
    """Return the backup's manifest after proving that ``door`` leads to this very child of it.

    The API says whose compute the host is and what the branch was cut from; the manifest read through
    the URI must be the one whose digest was written on the backup. Raises Refused or DataDiffers.
    """
    now = standby.client.branch(standby.project.id, branch.id)
    said = marks.read(now.annotations)
    if now.parent_id != source.branch.id or said is None or said.manifest != source.mark.manifest:
        raise Refused(
            f"{now.name} was not cut from {source.name}, or carries another backup's mark.",
            remedy="Do not use it. End it (supaneon-sync failover --end --yes) and call the failover again.",
        )
    return standby.prove_identity(source, door)


def as_role(standby: Standby, branch: Branch, doors: Doors, role: str) -> Doors:
    """Return the way into a failover branch for the application's role, its password masked."""
    if doors.direct.password is None:
        raise NeonError(
            f"The owner's password on {branch.name} is not known.", remedy="Set NEON_DB_PASSWORD."
        )
    password = serving.derived_password(doors.direct.password, branch.id, role)
    standby.run.progress.secret(password.reveal())

    def door(way: Conninfo) -> Conninfo:
        return replace(way, user=role, password=password)

    return Doors(door(doors.direct), door(doors.pooled))


def _not_as_recorded(source: StandingBackup, branch: Branch, wrong: tuple[str, ...]) -> DataDiffers:
    shown = "; ".join(wrong[:10]) + (f"; and {len(wrong) - 10} more" if len(wrong) > 10 else "")
    return DataDiffers(
        f"{branch.name} is not what {source.name} was recorded to be: {shown}. Nothing was handed out.",
        remedy="Take another backup: supaneon-sync failover --end --yes, then supaneon-sync list, then "
        "supaneon-sync failover --backup NAME.",
        differences=list(wrong),
    )
