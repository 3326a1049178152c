"""The drill itself: everything that is asked of a throw-away branch of a backup, area by area."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from supaneon_sync.errors import DataDiffers, NeonError, QuotaError, Refused, SupaneonError
from supaneon_sync.neon_client import Branch
from supaneon_sync.operations import handover
from supaneon_sync.operations.drill_areas import PURPOSE, Ground, Seen
from supaneon_sync.operations.drill_probes import Probes
from supaneon_sync.operations.drill_records import Records
from supaneon_sync.operations.standby import Standby
from supaneon_sync.operations.standing import StandingBackup
from supaneon_sync.policy.drill import Area, Finding, Gravity, Verdict, verdict
from supaneon_sync.postgres import drilling
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.snapshot import Keeper
from supaneon_sync.report.manifest import NewerManifest

_UNARCHIVING = "300"
"""Seconds."""


@dataclass(frozen=True)
class Subject:
    """A backup, the drill's branch that was cut from it, and the way to that branch.

    ``door`` is a function, so that a compute that does not start is a finding of the drill.
    """

    backup: StandingBackup
    branch: Branch
    door: Callable[[], Conninfo]


@dataclass(frozen=True)
class Examination:
    """What a drill saw. ``seconds_to_answer`` is the time from the call to the first answered query."""

    areas: tuple[Area, ...]
    seconds_to_answer: float | None = None
    manifest: Mapping[str, Any] | None = None

    @property
    def verdict(self) -> Verdict:
        """What it makes of the backup."""
        return verdict(self.areas)


class Drill:
    """One examination of one subject. ``began`` is the monotonic time of the call."""

    def __init__(self, standby: Standby, subject: Subject, began: float) -> None:
        self._standby = standby
        self._settings = standby.settings
        self._run = standby.run
        self._subject = subject
        self._began = began
        self._areas: list[Area] = []

    def examine(self) -> Examination:
        """Look at everything that can be looked at, and return what was seen.

        Raises Cancelled, and errors that are about this tool or its settings; what is wrong with the
        backup or the way to it is a finding.
        """
        self._look("freshness", self._freshness)
        opened: list[Session] = []
        doors: list[Conninfo] = []
        if not self._look("connection", lambda: self._connect(doors, opened)):
            return Examination(tuple(self._areas))
        seconds = self._run.monotonic() - self._began
        with opened[0] as session, Keeper() as keeper:
            keeper.add(session)
            found: list[Mapping[str, Any]] = []
            if not self._look("identity", lambda: self._identity(doors[0], found)):
                return Examination(tuple(self._areas), seconds)
            ground = Ground.survey(self._standby, doors[0], session, found[0])
            for name, look in (*Records(ground).looks(), *Probes(ground).looks()):
                if not self._look(name, look):
                    break
        return Examination(tuple(self._areas), seconds, found[0])

    def _look(self, name: str, look: Callable[[], Seen]) -> bool:
        """Look at one area and keep what was seen; say whether there is any use in looking further."""
        self._run.stop.check()
        if name in STEPS:
            self._run.progress.step(STEPS[name])
        began = self._run.monotonic()
        try:
            seen = look()
        except NewerManifest:
            raise
        except (NeonError, QuotaError, DataDiffers, Refused) as error:
            self._run.stop.check()
            seen = Seen(findings=(Finding(_gravity(error), error.message.rstrip(".")),))
        seconds = self._run.monotonic() - began
        area = Area(name, seen.tested, seen.findings, seconds, seen.skipped)
        self._areas.append(area)
        for finding in area.findings:
            self._run.progress.warning(f"{name}: {finding.text}.")
        fatal = [one for one in area.findings if one.gravity is Gravity.CONNECTIVITY]
        return not fatal and not (name == "identity" and area.findings)

    def _freshness(self) -> Seen:
        age = self._subject.backup.age(self._run.clock())
        told, limit = handover.age_in_words(age), self._settings.max_age
        if limit is None:
            return Seen(skipped="no max-age is set")
        allowed = handover.age_in_words(limit.total_seconds())
        if age > limit.total_seconds():
            text = f"the backup is {told} old, {allowed} is the limit"
            return Seen(findings=(Finding(Gravity.STALE, text),))
        return Seen(f"{told} old, {allowed} is the limit")

    def _connect(self, doors: list[Conninfo], opened: list[Session]) -> Seen:
        door = self._subject.door()
        endpoint = self._standby.endpoint(self._subject.branch)
        if endpoint.branch_id != self._subject.branch.id or door.host != endpoint.host:
            text = "the URI does not lead to the drill's own compute; nothing was read through it"
            return Seen(findings=(Finding(Gravity.CONNECTIVITY, text),))
        session = self._standby.connect(_patient(door), PURPOSE)
        doors.append(door)
        opened.append(session)
        version = session.value("SELECT current_setting('server_version')")
        return Seen(f"PostgreSQL {version} answers as {door.user}, database {door.dbname}")

    def _identity(self, door: Conninfo, found: list[Mapping[str, Any]]) -> Seen:
        backup, client = self._subject.backup, self._standby.client
        now = client.branch(self._standby.project.id, self._subject.branch.id)
        if now.parent_id != backup.branch.id:
            text = f"{now.name} was not cut from {backup.name}"
            return Seen(findings=(Finding(Gravity.DATA, text),))
        found.append(self._standby.prove_identity(backup, door))
        return Seen("compute, parent, manifest's digest and history are the backup's")


STEPS = {
    "connection": "Wait for the drill's compute to answer",
    "identity": "Prove that this is the backup",
    "schema": "Compare the schema with the manifest",
    "rows": "Compare every table's rows with the manifest",
    "row security": "Look through the eyes of the API's roles",
    "your checks": "Run your own checks",
    "writes": "Write to each table and take it back",
    "indexes": "Look through the indexes",
}


def _patient(door: Conninfo) -> Conninfo:
    """Return the door with time for a compute whose branch Neon has put into its archive: it is taken out
    while the connection waits (https://neon.com/docs/guides/branch-archiving)."""
    return replace(door, options=dict(door.options) | {"connect_timeout": _UNARCHIVING})


def _gravity(error: SupaneonError) -> Gravity:
    if isinstance(error, QuotaError):
        return Gravity.CHECKS
    return Gravity.CONNECTIVITY if drilling.lost(error) else Gravity.DATA
