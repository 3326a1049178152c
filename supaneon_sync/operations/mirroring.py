"""Holding the mirror: found or made, proved to be ours, locked, and kept awake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from supaneon_sync import __version__
from supaneon_sync.errors import NeonError, Refused
from supaneon_sync.neon_client import Branch
from supaneon_sync.operations import failover_state
from supaneon_sync.operations.standby import Standby
from supaneon_sync.policy import marks, names
from supaneon_sync.policy.facts import Target
from supaneon_sync.postgres import mirror
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.house import LAYOUT, House
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.snapshot import Keeper


@dataclass(frozen=True)
class HeldMirror:
    """The mirror while this run, and no other, may change it."""

    branch: Branch
    door: Conninfo
    house: House
    target: Target
    keeper: Keeper

    @property
    def session(self) -> Session:
        """The session that holds the lock, on the house database."""
        return self.house.session


@contextmanager
def held(standby: Standby) -> Iterator[HeldMirror]:
    """Find or make the mirror, refuse what is not ours, take its lock, keep it awake.

    Raises Refused (7) for a mirror or database of somebody else's and while a failover is in force,
    Locked (8) for a second run.
    """
    failover_state.refuse_while_in_force(standby)
    branch = standby.mirror()
    if branch is None:
        standby.run.progress.note(f"There is no {names.MIRROR} yet; making it.")
        branch = standby.make_mirror()
    door = standby.mirror_doors(branch).direct
    _make_house(standby, branch, door)
    with standby.house(door, "lock") as house, Keeper() as keeper:
        house.lock()
        keeper.add(house.session)
        _own(standby, branch, house)
        target = mirror.describe(house.session, standby.settings.neon_db_user)
        yield HeldMirror(branch, door, house, target, keeper)


def _is_marked(branch: Branch) -> bool:
    return marks.kind_of(branch.annotations) == marks.MIRROR


def _make_house(standby: Standby, branch: Branch, door: Conninfo) -> None:
    """Make our database on a mirror that holds nothing yet; refuse one that is somebody else's."""
    with standby.connect(door, "ownership", database="postgres") as session:
        if mirror.has_database(session, names.HOUSE_DATABASE):
            return
        filled = mirror.has_database(session, door.dbname)
    if not _is_marked(branch):
        raise Refused(
            f"The branch {names.MIRROR} of project {standby.project.id} was not made by this tool.",
            remedy="Rename it, or use a project that holds nothing else. It was left untouched.",
        )
    if filled:
        with standby.connect(door, "ownership") as session:
            filled = not mirror.is_empty(session)
    if filled:
        raise Refused(
            f"Database {door.dbname} on {names.MIRROR} holds objects, and no marker says that they are ours.",
            remedy="Use a project of its own, or another database (NEON_DATABASE). It was left untouched.",
        )
    standby.client.create_database(standby.project.id, branch.id, names.HOUSE_DATABASE, door.user)


def _own(standby: Standby, branch: Branch, house: House) -> None:
    """Make sure that the marker is there: write it into a house that this tool made and left unfinished."""
    database = standby.settings.neon_database
    marker = house.marker()
    if marker is None and _is_marked(branch):
        house.build(standby.project.id, database, __version__, standby.run.clock())
        return
    if marker is None:
        raise Refused(
            f"Database {names.HOUSE_DATABASE} on {names.MIRROR} holds no marker of this tool.",
            remedy="Rename the branch, or use a project that holds nothing else. It was left untouched.",
        )
    layout, ours = marker
    if layout > LAYOUT:
        newer = f"The mirror was made by a newer version of this tool (layout {layout})."
        raise NeonError(newer, remedy="Use that version.")
    if ours != database:
        raise Refused(
            f"The mirror holds database {ours}, and NEON_DATABASE now names {database}.",
            remedy=f"Set NEON_DATABASE={ours}, or use another project. It was left untouched.",
        )
