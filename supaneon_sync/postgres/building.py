"""Indexes and key constraints: built in parallel, each table's as soon as its rows are in.

Small tables that travelled together are dealt with together, in a round trip or two: their rows are still
in the server's cache, and what a round trip costs is more than what their indexes do.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from supaneon_sync.errors import NeonError
from supaneon_sync.policy.entries import Entry, Section
from supaneon_sync.policy.facts import Relation
from supaneon_sync.policy.plan import Plan
from supaneon_sync.postgres import statistics
from supaneon_sync.postgres.copying import SMALL
from supaneon_sync.postgres.crew import Crew, Sessions, tolerated
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.violations import VIOLATIONS, Violation, all_taken, naming

_KINDS = ("INDEX", "CONSTRAINT")
_TABLES = ("TABLE", "MATERIALIZED VIEW")


@dataclass(frozen=True)
class Build:
    """Definitions that one worker runs in order, and those that may follow at once.

    Between them the statistics of the ``filled`` tables are taken, under the application's ``search_path``.
    """

    entries: tuple[Entry, ...]
    then: tuple[Build, ...] = ()
    filled: tuple[Relation, ...] = ()
    search_path: str = ""


@dataclass(frozen=True)
class Outcome:
    """What the rows violate, and the tables whose statistics were taken."""

    violations: tuple[Violation, ...] = ()
    analysed: tuple[Relation, ...] = ()


def entries(plan: Plan) -> tuple[Entry, ...]:
    """Return the indexes and key constraints that are built before all else."""
    tables = _tables(plan)
    return tuple(
        entry
        for entry in plan.to_make(Section.POST_DATA)
        if entry.kind in _KINDS and entry.needs & tables.keys()
    )


def builds(plan: Plan) -> dict[int, Build]:
    """Return what is to be built for each table (by its OID on the primary).

    What locks the table against everything (constraints, and indexes that alter their table) comes
    first, in order; plain indexes follow side by side.
    """
    tables = _tables(plan)
    groups: dict[int, list[Entry]] = {}
    for entry in entries(plan):
        groups.setdefault(tables[min(entry.needs & tables.keys())], []).append(entry)
    return {oid: _ordered(group) for oid, group in groups.items()}


def _tables(plan: Plan) -> dict[int, int]:
    return {entry.dump_id: entry.oid for entry in plan.kept() if entry.kind in _TABLES}


def _ordered(group: Sequence[Entry]) -> Build:
    alone = tuple(entry for entry in group if entry.kind != "INDEX" or "ALTER " in entry.definition)
    known = {entry.dump_id for entry in group}
    if any(entry.needs & known for entry in group if entry not in alone):
        return Build(tuple(group))
    plain = tuple(Build((entry,)) for entry in group if entry not in alone)
    return Build(alone, plain)


def _flat(build: Build) -> Iterable[Entry]:
    return (*build.entries, *(entry for part in build.then for entry in part.entries))


class Builders:
    """A crew that builds on the mirror while rows are still on their way.

    ``add`` a table's build when its rows are in; ``finish`` waits for all and returns the violations.
    ``analysed`` are the tables whose statistics have been taken by then.
    Within ``with``, an error elsewhere ends the crew too; what ends the crew ends those that it is `ending`.
    """

    def __init__(self, crew: Crew[Build, Outcome], count: int) -> None:
        self._crew = crew
        self._count = count
        self.analysed: set[Relation] = set()
        self._violations: list[Violation] = []
        self._failure: BaseException | None = None
        self._others: list[Crew[Any, Any]] = []
        self._changing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="builders", daemon=True)

    def add(self, build: Build) -> None:
        """Have this built as soon as somebody is free. Raises what ended the crew, if anything did."""
        self.check()
        self._crew.add(build)

    def check(self) -> None:
        """Raise what ended the crew, if anything did."""
        if self._failure is not None:
            raise self._failure

    @contextmanager
    def ending(self, crew: Crew[Any, Any]) -> Iterator[None]:
        """End ``crew`` too, at once and with the same error, if one ends the builders during the block.

        Raises what has ended the builders before.
        """
        with self._changing:
            self.check()
            self._others.append(crew)
        try:
            yield
        finally:
            with self._changing:
                self._others.remove(crew)

    def finish(self) -> tuple[Violation, ...]:
        """Wait until everything is built. Raises the first error of any worker."""
        self._crew.no_more()
        self._thread.join()
        self.check()
        return tuple(self._violations)

    def _run(self) -> None:
        def done(build: Build, found: Outcome) -> Iterable[Build]:
            self._violations += found.violations
            self.analysed.update(found.analysed)
            return build.then

        try:
            self._crew.work((), done, more=self._count, fed=True)
        except BaseException as error:  # noqa: BLE001 -- raised again by the one who waits
            with self._changing:
                for crew in self._others:
                    crew.give_up(error)
                self._failure = error

    def __enter__(self) -> Builders:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._crew.give_up()
        self._crew.no_more()
        self._thread.join()


_BY_ITSELF = "SET LOCAL max_parallel_maintenance_workers = 0;\n"
"""Sharing one build out among processes costs a fifth more of the server's time than it takes by itself."""


def run(sessions: Sessions, build: Build, *, crowded: bool = False) -> Outcome:
    """Build, all in one round trip where nothing stands in the way; name what the rows violate.

    ``crowded``: others wait to be built as well, so the server's parallel workers have nothing to add.
    Raises NeonError that names the entry for any other refusal.
    """
    session = sessions[0]
    violations = _make(session, build.entries, _BY_ITSELF if crowded else "")
    analysed = build.filled and statistics.analyse(session, build.filled, build.search_path)
    return Outcome(violations, build.filled if analysed else ())


def _make(session: Session, entries: Sequence[Entry], settings: str) -> tuple[Violation, ...]:
    together = settings + "\n".join(entry.definition for entry in entries)
    if len(entries) > 1 and all_taken(session, together):
        return ()
    return _one_by_one(session, entries, settings)


def _one_by_one(session: Session, entries: Sequence[Entry], settings: str) -> tuple[Violation, ...]:
    violations: list[Violation] = []
    for entry in entries:
        if entry.needs & {violation.entry.dump_id for violation in violations}:
            violations.append(Violation(entry, "left out with what it belongs to"))
            continue
        try:
            with naming(entry):
                session.execute(settings + entry.definition)
        except NeonError as error:
            if not tolerated(error, *VIOLATIONS):
                raise
            violations.append(Violation(entry, "left out: the primary's own rows violate it"))
    return tuple(violations)


class Builds:
    """What is still to be built for each table, handed to the builders when its rows are in.

    ``anew``: the tables are filled by nothing but what arrives, so statistics of small ones are taken there
    and then. A large one's wait, since ANALYZE and the building of an index keep each other out.
    """

    def __init__(self, builders: Builders, plan: Plan, *, anew: bool = False) -> None:
        self._builders = builders
        self._waiting = builds(plan)
        self._search_path = plan.search_path
        self._anew = anew

    def ending(self, crew: Crew[Any, Any]) -> AbstractContextManager[None]:
        """End ``crew``, which brings rows, with the error that ends the builders, if any does or did."""
        return self._builders.ending(crew)

    def arrived(self, tables: Sequence[Relation]) -> None:
        """Have the tables' indexes built. Raises what ended the builders, if anything did."""
        small = [table for table in tables if table.pages <= SMALL]
        parts = [self._waiting.pop(table.oid, Build(())) for table in small]
        self._add(Build(tuple(entry for part in parts for entry in _flat(part))), small)
        for table in tables:
            if table not in small:
                self._add(self._waiting.pop(table.oid, Build(())))

    def _add(self, build: Build, tables: Sequence[Relation] = ()) -> None:
        filled = tuple(tables) if self._anew else ()
        if build.entries or build.then or filled:
            self._builders.add(replace(build, filled=filled, search_path=self._search_path))

    def rest(self) -> None:
        """Have everything else built: what belongs to tables that no rows were copied for."""
        while self._waiting:
            self._builders.add(self._waiting.pop(min(self._waiting)))


_MEMORY = """
SELECT set_config('maintenance_work_mem', greatest(m.setting::bigint,
         least(1048576, c.setting::bigint * 8 / (8 * {jobs})))::text || 'kB', false)
FROM pg_settings m, pg_settings c WHERE m.name = 'maintenance_work_mem' AND c.name = 'effective_cache_size';
"""


def memory(jobs: int) -> str:
    """Return what lets index builds use what the server offers: an eighth of its cache for all workers.

    Never less than its own default, never more than 1 GiB each.
    """
    return _MEMORY.format(jobs=int(jobs))
