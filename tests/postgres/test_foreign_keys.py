"""Foreign keys on a real copy: all there and valid, what rows violate named, none deadlocked."""

# ruff: noqa: E501 -- SQL as it is written

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from supaneon_sync.errors import NeonError
from supaneon_sync.policy.entries import Entry, Section
from supaneon_sync.postgres import building, foreign_keys
from supaneon_sync.postgres.building import Build, Builders, Outcome
from supaneon_sync.postgres.crew import Crew, Sessions
from supaneon_sync.postgres.failures import Side, lost
from supaneon_sync.postgres.violations import Violation, all_taken
from supaneon_sync.run import Stop
from supaneon_sync.sandbox.server import Server
from tests.postgres.test_copying import opened


@pytest.fixture(scope="module", params=(15, 17, 18))
def server(request: pytest.FixtureRequest, make_session_server: Callable[..., Server]) -> Iterator[Server]:
    made = make_session_server(request.param)
    yield made
    made.stop("immediate")


@pytest.fixture(autouse=True)
def clean(server: Server) -> None:
    server.execute("DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public")


def key(number: int, table: str, other: str, more: str = "") -> Entry:
    definition = (
        f"ALTER TABLE ONLY public.{table} ADD CONSTRAINT fk_{number}"
        f" FOREIGN KEY (other) REFERENCES public.{other}(id){more};\n"
    )
    return Entry(
        number, 2606, 0, "FK CONSTRAINT", "public", f"{table} fk_{number}", Section.POST_DATA, definition
    )


def index(number: int, definition: str, kind: str = "INDEX") -> Entry:
    return Entry(number, 1259, 0, kind, "public", f"i{number}", Section.POST_DATA, definition)


def crew_on(
    server: Server, task: Callable[..., tuple[Violation, ...]], size: int = 4
) -> Crew[object, tuple[Violation, ...]]:
    @contextmanager
    def opening() -> Iterator[Sessions]:
        with opened(server, Side.NEON) as session:
            yield (session,)

    return Crew(size, opening, task, Stop())


def add(server: Server, *entries: Entry) -> dict[str, str]:
    with opened(server, Side.NEON) as session:
        found = foreign_keys.add(session, crew_on(server, foreign_keys.validate), entries)
    return {violation.entry.tag: violation.outcome for violation in found}


def valid(server: Server) -> dict[str, bool]:
    rows = server.execute(
        "SELECT conname::text, bool_and(convalidated) FROM pg_constraint WHERE contype = 'f' GROUP BY 1"
    )
    return dict(rows)


def test_statements_together_are_taken_all_or_none_and_a_lost_session_is_no_refusal(server: Server) -> None:
    with opened(server, Side.NEON) as session:
        assert all_taken(session, "CREATE TABLE public.a (); CREATE TABLE public.b ()")
        assert not all_taken(session, "CREATE TABLE public.c (); CREATE TABLE public.a ()")
        assert session.value("SELECT to_regclass('public.c')") is None
        with pytest.raises(NeonError) as failure:
            all_taken(session, "SELECT pg_terminate_backend(pg_backend_pid())")
    assert lost(failure.value)


def test_keys_in_every_direction_end_valid_and_none_deadlocks(server: Server) -> None:
    server.execute(
        "".join(
            f"CREATE TABLE public.t{n} (id int PRIMARY KEY, other int); INSERT INTO public.t{n} VALUES (1, 1), (2, NULL);"
            for n in range(8)
        )
    )
    entries = [key(100 + n * 8 + m, f"t{n}", f"t{m}") for n in range(8) for m in range(8)]
    assert add(server, *entries) == {}
    assert valid(server) == {entry.tag.split()[1]: True for entry in entries}


def test_a_key_that_rows_violate_stays_not_valid_and_is_named(server: Server) -> None:
    server.execute(
        "CREATE TABLE public.a (id int PRIMARY KEY, other int); INSERT INTO public.a VALUES (1, 1);"
        "CREATE TABLE public.b (id int PRIMARY KEY, other int); INSERT INTO public.b VALUES (1, 99)"
    )
    said = add(server, key(1, "a", "a"), key(2, "b", "a"))
    assert said == {"b fk_2": "made NOT VALID: the primary's own rows violate it"}
    assert valid(server) == {"fk_1": True, "fk_2": False}


def test_a_key_that_was_not_valid_is_not_looked_at(server: Server) -> None:
    server.execute(
        "CREATE TABLE public.a (id int PRIMARY KEY, other int); INSERT INTO public.a VALUES (1, 99)"
    )
    assert add(server, key(1, "a", "a", " NOT VALID")) == {}
    assert valid(server) == {"fk_1": False}


def test_keys_of_partitioned_tables_are_valid_down_to_the_partitions(server: Server) -> None:
    server.execute(
        "CREATE TABLE public.root (id int PRIMARY KEY, other int) PARTITION BY RANGE (id);"
        "CREATE TABLE public.one PARTITION OF public.root FOR VALUES FROM (0) TO (10);"
        "CREATE TABLE public.plain (id int PRIMARY KEY, other int);"
        "INSERT INTO public.root VALUES (1, 1); INSERT INTO public.plain VALUES (1, 1)"
    )
    from_root = key(2, "root", "plain")
    definition = from_root.definition.replace("TABLE ONLY", "TABLE")
    from_root = Entry(2, 2606, 0, "FK CONSTRAINT", "public", "root fk_2", Section.POST_DATA, definition)
    assert add(server, key(1, "plain", "root"), from_root) == {}
    assert all(valid(server).values())
    assert set(valid(server)) >= {"fk_1", "fk_2"}


def test_a_key_that_cannot_be_made_is_an_error_with_its_name(server: Server) -> None:
    server.execute("CREATE TABLE public.a (id int, other int)")
    with pytest.raises(NeonError, match="fk_1"):
        add(server, key(1, "a", "a"))


def test_indexes_come_as_tables_arrive_and_violated_ones_are_named(server: Server) -> None:
    server.execute("CREATE TABLE public.a (id int, other int); INSERT INTO public.a VALUES (1, 1), (1, 2)")
    crew = crew_on(server, building.run)
    with Builders(crew, 2) as builders:  # type: ignore[arg-type]
        first = index(1, "ALTER TABLE ONLY public.a ADD CONSTRAINT a_pkey PRIMARY KEY (id);", "CONSTRAINT")
        second = index(2, "ALTER TABLE ONLY public.a ADD CONSTRAINT a_other UNIQUE (other);", "CONSTRAINT")
        plain = Build((index(3, "CREATE INDEX a_both ON public.a USING btree (id, other);"),))
        builders.add(Build((first, second), (plain,)))
        found = builders.finish()
    assert [violation.entry.tag for violation in found] == ["i1"]
    names = server.execute(
        "SELECT relname::text FROM pg_class WHERE relkind = 'i' AND relname ~ '^a_' ORDER BY 1"
    )
    assert names == [("a_both",), ("a_other",)]


def test_a_refused_index_ends_the_builders_with_its_name(server: Server) -> None:
    crew = crew_on(server, building.run)
    with Builders(crew, 2) as builders:  # type: ignore[arg-type]
        builders.add(Build((index(1, "CREATE INDEX ON public.nowhere (id);"),)))
        with pytest.raises(NeonError, match="i1"):
            builders.finish()


def test_index_builds_get_memory_from_what_the_server_offers(server: Server) -> None:
    with opened(server, Side.NEON) as session:
        session.execute(building.memory(4))
        assert session.value("SHOW maintenance_work_mem") == "128MB"
        session.execute(building.memory(10_000))
        assert session.value("SHOW maintenance_work_mem") == "128MB"


SEEN = "CREATE TABLE public.seen_{} AS SELECT current_setting('max_parallel_maintenance_workers') AS workers;"


@pytest.mark.parametrize(("crowded", "workers"), [(True, "0"), (False, "2")])
def test_parallel_workers_are_for_builds_that_are_alone(server: Server, crowded: bool, workers: str) -> None:
    several = Build((index(1, SEEN.format(1)), index(2, SEEN.format(2))))
    with opened(server, Side.NEON) as session:
        building.run((session,), several, crowded=crowded)
        building.run((session,), Build((index(3, SEEN.format(3)),)), crowded=crowded)
        seen = [session.value(f"SELECT workers FROM public.seen_{number}") for number in (1, 2, 3)]
        assert seen == [workers] * 3
        assert session.value("SHOW max_parallel_maintenance_workers") == "2"


@pytest.mark.parametrize(
    ("workers", "items", "crowded"),
    [(1, 2, False), (2, 1, False), (2, 2, False), (2, 4, True), (4, 3, False)],
)
def test_a_crew_is_crowded_when_work_waits_for_somebody(
    server: Server, workers: int, items: int, crowded: bool
) -> None:
    begun = threading.Barrier(min(workers, items))
    said: list[bool] = []

    def task(_: Sessions, __: object) -> tuple[Violation, ...]:
        begun.wait(10)
        said.append(crew.is_crowded())
        begun.wait(10)
        return ()

    crew = crew_on(server, task, workers)
    crew.work(range(items))
    assert said[0] is crowded


def test_where_rows_fail_the_builders_are_ended(server: Server) -> None:
    server.execute("CREATE TABLE public.a (id int)")

    def slow(sessions: Sessions, _: Build) -> Outcome:
        sessions[0].execute("SELECT pg_sleep(60)")
        return Outcome()

    def failing() -> None:
        with Builders(crew_on(server, slow), 2) as builders:  # type: ignore[arg-type]
            builders.add(Build(()))
            while not sleeping(server):
                pass
            raise ValueError("rows")

    with pytest.raises(ValueError, match="rows"):
        failing()
    assert sleeping(server) == 0


def sleeping(server: Server) -> int:
    found = server.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep' AND state = 'active'"
    )
    return int(found[0][0])


def test_a_violated_key_among_others_of_one_round_trip_is_named_and_the_others_are_valid(
    server: Server,
) -> None:
    for name in ("a", "b", "c"):
        server.execute(
            f"CREATE TABLE public.{name} (id int PRIMARY KEY, other int); INSERT INTO public.{name} VALUES (1, 1)"
        )
    server.execute("UPDATE public.b SET other = 2")
    found = add(server, key(1, "a", "b"), key(2, "b", "c"), key(3, "c", "a"))
    assert set(found) == {"b fk_2"}
    assert valid(server) == {"fk_1": True, "fk_2": False, "fk_3": True}
