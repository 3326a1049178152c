"""Rows that have arrived, on real servers: their indexes are begun at once, and nothing is copied twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import pytest

from supaneon_sync.errors import Cancelled, NeonError
from supaneon_sync.operations.loaded import Arrivals
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres import sending
from supaneon_sync.postgres.building import Build, Builders, Outcome
from supaneon_sync.postgres.copying import CopiedTable, Load, loads
from supaneon_sync.postgres.crew import Crew, Sessions
from supaneon_sync.postgres.failures import Side
from supaneon_sync.postgres.fingerprint import fingerprint, fingerprints
from supaneon_sync.postgres.session import Session
from supaneon_sync.run import Stop
from tests.postgres.test_copying import SEED, Two, clean, opened, two
from tests.postgres.test_foreign_keys import crew_on

__all__ = ["clean", "two"]  # fixtures


class Site:
    """What arrivals want of a workshop and of builds: to tell of rows that are in, and of tables done."""

    def __init__(self, two: Two) -> None:
        self.two = two
        self.begun = threading.Event()
        self.rows: list[int] = []
        self.done: list[str] = []

    def counter(self, _: int) -> Callable[[str, int], None]:
        return lambda label, _: self.done.append(label)

    def arrived(self, tables: Sequence[Relation]) -> None:
        for table in tables:
            self.two.target.execute(f"CREATE INDEX ON public.{table.name} (id)")
            self.rows += self.two.target.execute(f"SELECT count(*) FROM public.{table.name}")[0]
        self.begun.set()


@pytest.fixture
def site(two: Two) -> Site:
    two.both("CREATE TABLE public.t (id int, body text, twice int GENERATED ALWAYS AS (id * 2) STORED)")
    two.source.execute(
        "INSERT INTO public.t SELECT g, repeat('x', 500) FROM generate_series(1, 9000) g; ANALYZE"
    )
    return Site(two)


def work(
    site: Site,
    *names: str,
    stop: Stop | None = None,
    builders: Builders | None = None,
    told: list[str] | None = None,
) -> tuple[dict[Load, tuple[CopiedTable, ...]], list[str]]:
    arrivals = Arrivals(site, site, 1)  # type: ignore[arg-type]
    told = [] if told is None else told
    with site.two.reader() as (reader, tables):
        crew: Crew[Load, tuple[CopiedTable, ...]] = Crew(
            1,
            site.two.sessions,
            lambda sessions, load: arrivals.transfer(sessions, load, reader),
            stop or Stop(),
            arrivals.again,
        )
        crew.told = told.append
        one_by_one = [(tables[name],) for name in names or ("t",)]
        with nullcontext() if builders is None else builders.ending(crew):
            results = crew.work(one_by_one, lambda _, copied: arrivals.done(copied))
        return results, told


def test_an_index_is_begun_while_the_primary_still_adds_up(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_before(*arguments: Any) -> object:
        assert site.begun.wait(10), "the mirror waited for the primary's fingerprint"
        return fingerprints(*arguments)

    monkeypatch.setattr(sending, "fingerprints", not_before)
    results, told = work(site)
    assert told == []
    assert site.rows == [9000]
    assert [one.source.rows for load in results.values() for one in load] == [9000]
    assert site.done == ["public.t"]


def test_what_has_arrived_is_not_copied_again_when_the_primary_is_lost(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: list[object] = []

    def lost_once(*arguments: Any) -> object:
        if not files:
            assert site.begun.wait(10)
            files.append(where())
            victim = arguments[0].connection.info.backend_pid
            site.two.source.execute(f"SELECT pg_terminate_backend({victim}, 5000)")
        return fingerprints(*arguments)

    def where() -> object:
        return site.two.target.execute(
            "SELECT pg_relation_filenode('public.t'), max(xmin::text) FROM public.t"
        )

    monkeypatch.setattr(sending, "fingerprints", lost_once)
    results, told = work(site)
    assert len(told) == 1
    assert [where()] == files
    assert site.rows == [9000]
    (copied,) = next(iter(results.values()))
    assert copied.bytes > 9000 * 500
    with site.two.reader() as (_, tables), opened(site.two.target, Side.NEON) as mirror:
        assert fingerprint(mirror, tables["t"], SEED, copied.source.method) == copied.source
    assert copied.written is not None


def test_a_stop_between_two_statements_is_not_missed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, began = Stop(), time.monotonic()

    def late(source: Session, *_: Any) -> None:
        assert site.begun.wait(10)
        stop.set()
        source.query("SELECT pg_sleep(30)")

    monkeypatch.setattr(sending, "fingerprints", late)
    with pytest.raises(Cancelled):
        work(site, stop=stop)
    assert time.monotonic() - began < 10


def test_what_has_not_arrived_is_copied_again(site: Site) -> None:
    arrivals = Arrivals(site, site, 1)  # type: ignore[arg-type]
    site.two.both("CREATE TABLE public.small (id int); INSERT INTO public.small VALUES (1), (2)")
    with site.two.reader() as (reader, tables), site.two.sessions() as sessions:
        (load,) = loads([tables["small"]])
        site.two.target.execute("INSERT INTO public.small VALUES (3)")
        arrivals.again(sessions, load)
        arrivals.transfer(sessions, load, reader)
        arrivals.again(sessions, load)
    assert site.two.target.execute("SELECT id FROM public.small ORDER BY 1") == [(1,), (2,)]


class Doomed(Site):
    """Has builds made by builders whose session is lost with the first, while the primary is still busy."""

    def __init__(self, two: Two, builders: Builders) -> None:
        super().__init__(two)
        self._builders = builders

    def arrived(self, tables: Sequence[Relation]) -> None:
        self.rows.append(len(tables))
        self._builders.add(Build(()))
        self.begun.set()


def test_everything_ends_at_once_and_untried_where_the_builders_lose_their_session(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    def long(source: Session, *_: Any) -> None:
        source.query("SELECT pg_sleep(30)")

    def dying(sessions: Sessions, _: Build) -> Outcome:
        sessions[0].execute("SELECT pg_terminate_backend(pg_backend_pid(), 5000)")
        return Outcome()

    two.both("CREATE TABLE public.a (id int); CREATE TABLE public.b (id int)")
    two.source.execute("INSERT INTO public.a VALUES (1); INSERT INTO public.b VALUES (1)")
    monkeypatch.setattr(sending, "fingerprints", long)
    told: list[str] = []
    began = time.monotonic()
    with Builders(crew_on(two.target, dying), 1) as builders:  # type: ignore[arg-type]
        site = Doomed(two, builders)
        with pytest.raises(NeonError, match="lost"):
            work(site, "a", "b", builders=builders, told=told)
    assert time.monotonic() - began < 10
    assert told == []
    assert site.rows == [1]
    assert two.target.execute("SELECT * FROM public.b") == []
