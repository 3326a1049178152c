"""The primary under one snapshot: held open while it is read, with its schema, its facts and the plan."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from supaneon_sync.errors import PrimaryError, Refused
from supaneon_sync.operations.scoping import scope_of
from supaneon_sync.operations.workshop import Workshop
from supaneon_sync.policy import portability
from supaneon_sync.policy.facts import Inventory
from supaneon_sync.policy.plan import Plan
from supaneon_sync.postgres import history, inventory
from supaneon_sync.postgres.archive import Archive
from supaneon_sync.postgres.history import Moment
from supaneon_sync.postgres.snapshot import Snapshot, export


@dataclass(frozen=True)
class Source:
    """The snapshot while it is held open, with what was read in it at once.

    ``mirror`` is the mirror's own schema, where it was asked for; it is read at the same time.
    """

    snapshot: Snapshot
    archive: Archive
    inventory: Inventory
    moment: Moment
    mirror: Archive | None = None

    @property
    def major(self) -> int:
        """The primary's major version."""
        return int(re.split(r"\D", self.inventory.version, maxsplit=1)[0])


@contextmanager
def opened(workshop: Workshop, *, with_mirror: bool) -> Iterator[Source]:
    """Hold a snapshot of the primary open; read its schema, and the mirror's besides where that is wanted."""
    title = "Take a snapshot of the primary and read its schema"
    with (
        ThreadPoolExecutor(2) as helper,
        workshop.phase("snapshot held", title),
        workshop.on_primary("snapshot") as holder,
    ):
        workshop.held.keeper.add(holder)
        try:
            taken, scope = export(holder), scope_of(workshop.settings)
            mirror = helper.submit(workshop.dump_mirror, taken) if with_mirror else None
            dump = partial(workshop.dump_primary, taken)
            with workshop.phase("schema read"):
                whole = None if scope.include or scope.exclude else helper.submit(dump)
                facts = inventory.read(holder)
                source = Source(taken, Archive((), "", ""), facts, history.moment(holder))
                _check_fit(workshop, source)
                facts = inventory.scoped(holder, facts, scope)
                archive = whole.result() if whole else dump(facts.outside)
                source = replace(source, archive=archive, inventory=facts, mirror=_result(mirror))
            yield source
        finally:
            workshop.held.keeper.drop(holder)


def _result(future: Future[Archive] | None) -> Archive | None:
    return None if future is None else future.result()


def _check_fit(workshop: Workshop, source: Source) -> None:
    target = workshop.held.target.major
    if source.major > target:
        raise Refused(
            f"The primary runs PostgreSQL {source.major}, the standby project {target}: "
            "a copy cannot go to an older major version.",
            remedy=f"Make a Neon project of PostgreSQL {source.major} or newer and set NEON_PROJECT_ID.",
        )
    encoding = source.inventory.locale.encoding
    if encoding != "UTF8":
        raise PrimaryError(
            f"The primary's encoding is {encoding}; only UTF8 can be copied without loss.",
            remedy="Move the primary to UTF8.",
        )


def plan_for(workshop: Workshop, source: Source) -> Plan:
    """Return what is to become of all that the snapshot shows. Raises Refused where that would be no copy."""
    plan = portability.decide(
        source.archive.entries,
        source.inventory,
        workshop.held.target,
        scope=scope_of(workshop.settings),
        include_auth_sessions=workshop.settings.include_auth_sessions,
    )
    if plan.blockers:
        raise Refused(
            f"A copy would not hold what the primary holds: {'; '.join(plan.blockers[:20])}.",
            remedy="Bring along what is needed (include-schemas, exclude-table-data), or drop what needs it."
            " An extension that Neon does not offer cannot be brought, nor can a type that only a superuser"
            " may make: give such a column another type, or leave its schema out (exclude-schemas).",
            blockers=plan.blockers,
        )
    return plan
