"""The ground that a drill looks at: a branch that is known to be the backup, and how it is worked on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from supaneon_sync.operations.standby import Standby
from supaneon_sync.policy.drill import Finding, Gravity
from supaneon_sync.policy.facts import Inventory, Relation
from supaneon_sync.postgres import inventory
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.crew import Crew, Item, Result, Sessions
from supaneon_sync.postgres.sequences import Reading
from supaneon_sync.postgres.session import Session

PURPOSE = "drill"
"""What the sessions of a drill are called: another run knows by it that a drill is still at work."""


@dataclass(frozen=True)
class Seen:
    """What one look at an area gave; the fields are those of `policy.drill.Area`."""

    tested: str = ""
    findings: tuple[Finding, ...] = ()
    skipped: str = ""


Looks = tuple[tuple[str, Callable[[], Seen]], ...]


@dataclass(frozen=True)
class Ground:
    """The branch, the way to it, the manifest it must agree with, and what its catalogs say."""

    standby: Standby
    door: Conninfo
    session: Session
    manifest: Mapping[str, Any]
    facts: Inventory

    @classmethod
    def survey(
        cls, standby: Standby, door: Conninfo, session: Session, manifest: Mapping[str, Any]
    ) -> Ground:
        """Return the ground after a look at its catalogs."""
        with session.transaction("READ ONLY"):
            return cls(standby, door, session, manifest, inventory.read(session))

    @property
    def tables(self) -> dict[tuple[str, str], Relation]:
        """Every table that holds rows itself, by schema and name."""
        return {(r.schema, r.name): r for r in self.facts.relations.values() if r.kind == "r"}

    @property
    def sequences(self) -> list[Reading]:
        """Every sequence, as a reading that says nothing yet."""
        return [Reading(r.schema, r.name, 0, False) for r in self.facts.relations.values() if r.kind == "S"]

    def crew(self, task: Callable[[Sessions, Item], Result]) -> Crew[Item, Result]:
        """Return workers with a session on the branch each."""
        return Crew(self.standby.settings.jobs, self._single, task, self.standby.run.stop)

    @contextmanager
    def _single(self) -> Iterator[Sessions]:
        with self.connect() as opened:
            yield (opened,)

    def connect(self) -> Session:
        """Return one more session on the branch."""
        return self.standby.connect(self.door, PURPOSE)


def findings(gravity: Gravity, texts: Sequence[str]) -> tuple[Finding, ...]:
    """Return the texts as findings of one gravity."""
    return tuple(Finding(gravity, text) for text in texts)
