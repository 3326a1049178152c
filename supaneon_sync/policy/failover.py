"""Which failover is in force, which backup to fail over to, and which step comes next.

What must hold, whoever is killed, whatever Neon answers, however many people call at once:

1. There is at most one failover in force. A failover branch is born under one fixed name, and names are
   unique, so of two who call at once one makes the branch and the other finds it. Whoever makes one
   looks again for a failover that got its final name meanwhile, and then takes his own away.
2. A failover is in force from the branch's birth until its name says that it is ended. The mark on the
   branch decides (SQL cannot change it), so a branch that somebody renamed still counts.
3. Nothing that leads to the branch is handed out before the branch has a password of its own, was proved
   to be a child of the backup, and was looked at. The final name is given after that.
4. A password is only ever set where the branch still has its backup's: so never twice, and never once an
   application may know it.
5. Every step can be done again. What is done already is seen on the branch, not remembered by a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol, TypeVar

from supaneon_sync.errors import Refused
from supaneon_sync.policy import marks, names
from supaneon_sync.policy.backups import Backup


class Marked(Protocol):
    """A branch as Neon's API tells of it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def created_at(self) -> datetime:
        """When it was made."""

    @property
    def annotations(self) -> Mapping[str, str]:
        """What was written on it at its birth."""


BranchLike = TypeVar("BranchLike", bound=Marked)


def is_failover(branch: Marked) -> bool:
    """Say whether this tool made the branch to take an application's traffic."""
    said = marks.read(branch.annotations)
    return said is not None and said.kind == marks.FAILOVER


def in_force(branches: Iterable[BranchLike]) -> tuple[BranchLike, ...]:
    """Return the failovers in force: the one that takes the traffic first, then any other.

    More than one is not what this tool makes; it is told of, and nothing is decided by it.
    """
    found = [one for one in branches if is_failover(one) and not names.is_ended_failover(one.name)]
    return tuple(sorted(found, key=lambda one: (one.name == names.STARTING_FAILOVER, one.created_at)))


def ended(branches: Iterable[BranchLike]) -> tuple[BranchLike, ...]:
    """Return the failovers that are over, the newest first."""
    found = [one for one in branches if is_failover(one) and names.is_ended_failover(one.name)]
    return tuple(sorted(found, key=lambda one: one.created_at, reverse=True))


def final_name(branch: Marked, snapshot: datetime) -> str:
    """Return the name of a failover branch that may take traffic: the same, whoever of two asks."""
    return names.failover(snapshot, branch.created_at)


class Step(StrEnum):
    """What is done, in this order. The value is what people read."""

    CREATE = "Cut the failover branch from the backup, with a compute of its own"
    READY = "Wait until the branch and its compute are there"
    PROTECT = "Protect the branch"
    PASSWORD = "Give the owner role a new password on it"  # noqa: S105 no password
    PROVE = "Prove that its URI leads to a child of the backup"
    CHECK = "Look at schema, rows and row security; write and take it back"
    ROLE = "Let the application's role log in"
    NAME = "Give the branch its final name"
    SERVE = "Ask a first query through the URI that is handed out"


@dataclass(frozen=True)
class Sight:
    """What is known of the failover branch. A rehearsal's branch has its final name from birth.

    ``exists``, ``ready`` and ``protected`` (or: its protection was tried) come from the API, as do
    ``own_password`` and ``named``; ``proved``, ``checked``, ``role`` and ``served`` hold for this run
    alone. Where no application role was asked for, ``role`` is true.
    """

    exists: bool = False
    ready: bool = False
    protected: bool = False
    own_password: bool = False
    proved: bool = False
    checked: bool = False
    role: bool = False
    named: bool = False
    served: bool = False

    def after(self, step: Step) -> Sight:
        """Return what is known once a step is done."""
        return replace(self, **{_FIELDS[step]: True})


_FIELDS = {
    Step.CREATE: "exists",
    Step.READY: "ready",
    Step.PROTECT: "protected",
    Step.PASSWORD: "own_password",
    Step.PROVE: "proved",
    Step.CHECK: "checked",
    Step.ROLE: "role",
    Step.NAME: "named",
    Step.SERVE: "served",
}


def next_step(sight: Sight) -> Step | None:
    """Return what has to be done next, None where all is done.

    A branch that has its final name may be serving: it gets no new password, whatever is seen.
    """
    for step, known in _FIELDS.items():
        if step is Step.PASSWORD and sight.named:
            continue
        if not getattr(sight, known):
            return step
    return None


def steps(sight: Sight) -> Iterator[Step]:
    """Yield the steps from here to a served query."""
    while (step := next_step(sight)) is not None:
        yield step
        sight = sight.after(step)


def choose(there: Sequence[Backup], wanted: str | None, impostors: Mapping[str, str]) -> Backup:
    """Return the backup to fail over to: the named one, else the newest healthy one.

    ``there`` are this tool's backups, the newest first; ``impostors`` the branches that have a backup's
    name and are none, with the reason. A backup that is named is taken even if its last drill failed:
    whoever names it decides. Raises Refused with what there is and what is wrong with it.
    """
    if wanted not in (None, "latest"):
        return _named(there, str(wanted), impostors)
    healthy = next((one for one in there if one.healthy), None)
    if healthy is not None:
        return healthy
    if not there:
        raise Refused(
            "There is no backup to fail over to.",
            remedy="Check NEON_PROJECT_ID: this must be the project that the backups are made in.",
        )
    best = there[0]
    raise Refused(
        f"None of the {len(there)} backups is healthy. The best there is: {best.name}; {wrong_with(best)}.",
        remedy=f"To take it all the same, name it: supaneon-sync failover --backup {best.name}",
    )


def _named(there: Sequence[Backup], wanted: str, impostors: Mapping[str, str]) -> Backup:
    found = next((one for one in there if one.name == wanted), None)
    if found is not None:
        return found
    shown = ", ".join(one.name for one in there[:5]) or "none"
    if wanted in impostors:
        raise Refused(
            f"The branch {wanted} is no backup of ours: {impostors[wanted]}.",
            remedy=f"Take one of these: {shown}.",
        )
    raise Refused(f"There is no backup {wanted}.", remedy=f"There are: {shown}.")


def wrong_with(backup: Backup) -> str:
    """Return what is wrong with a backup, '' where nothing is known to be."""
    if not backup.complete:
        return "it is not complete"
    if backup.failed:
        when = (
            "" if backup.drilled_at is None else f" on {backup.drilled_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        )
        return f"its last drill{when} failed, so its data may be wrong"
    return ""
