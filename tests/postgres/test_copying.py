"""Rows between real servers: equal by an independent method, in both formats, whatever goes wrong."""

# ruff: noqa: E501 -- SQL as it is written

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import psycopg2
import pytest

from supaneon_sync.errors import (
    Cancelled,
    NeonError,
    PrimaryError,
    QuotaError,
    SnapshotLost,
)
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres import copying, inventory, restore
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.copying import CopiedTable, loads, transfer
from supaneon_sync.postgres.crew import Crew, Sessions
from supaneon_sync.postgres.failures import Side
from supaneon_sync.postgres.fingerprint import Fingerprint, Method, Seed, fingerprint, method_for, portable
from supaneon_sync.postgres.pace import Pace
from supaneon_sync.postgres.pins import PINNED
from supaneon_sync.postgres.sending import Reader
from supaneon_sync.postgres.session import Session, connect
from supaneon_sync.postgres.snapshot import export
from supaneon_sync.run import Stop
from supaneon_sync.sandbox.server import Server
from tests.postgres.test_fingerprint import every_type
from tests.small_disk import small_disk

SEED = Seed(3, -4)
WAIT = timedelta(seconds=1)
PAIRS = [(15, 15), (15, 17), (17, 18), (18, 18)]
MakeServer = Callable[..., Server]


@dataclass
class Two:
    """A primary and a mirror, two real servers."""

    source: Server
    target: Server

    def both(self, statements: str) -> None:
        for server in (self.source, self.target):
            server.execute(statements)

    @contextmanager
    def reader(self, **how: object) -> Iterator[tuple[Reader, dict[str, Relation]]]:
        """A snapshot of the primary, held open, and its tables by name."""
        with opened(self.source, Side.PRIMARY) as holder:
            snapshot = export(holder)
            found = inventory.read(holder).relations.values()
            tables = {one.name: one for one in found if one.kind in ("r", "p") and one.schema == "public"}
            yield Reader(snapshot, SEED, WAIT, **how), tables  # type: ignore[arg-type]

    def copy(self, *names: str, spoil: Callable[[Relation], Relation] = lambda one: one) -> list[CopiedTable]:
        """Copy the named tables in one load."""
        with self.reader() as (reader, tables), self.sessions() as (source, target):
            return list(transfer(source, target, tuple(spoil(tables[name]) for name in names), reader))

    @contextmanager
    def sessions(self) -> Iterator[tuple[Session, Session]]:
        with opened(self.source, Side.PRIMARY) as source, opened(self.target, Side.NEON) as target:
            yield source, target

    def texts(self, name: str, order: str = "t::text") -> tuple[str, str]:
        """The rows of both sides, as psql would show them: the judge that shares no code with the engine."""
        found = []
        for server in (self.source, self.target):
            with server.session() as one, one.cursor() as cursor:
                cursor.execute("SET extra_float_digits = 3; SET timezone = 'UTC'; SET lc_monetary = 'C'")
                cursor.execute(f"SELECT string_agg(t::text, chr(10) ORDER BY {order}) FROM {name} t")
                found.append(cursor.fetchall()[0][0])
        return found[0], found[1]


def door(server: Server, role: str) -> Conninfo:
    return Conninfo(str(server.sockets), server.port, "postgres", role, None, {})


@contextmanager
def opened(server: Server, side: Side) -> Iterator[Session]:
    connection = psycopg2.connect(
        host=str(server.sockets), port=server.port, dbname="postgres", user=server.superuser
    )
    connection.autocommit = True
    session = Session(connection, side)
    for name, value in PINNED:
        session.query(
            "SELECT set_config(s.name, %s, false) FROM pg_settings s WHERE lower(s.name) = lower(%s)",
            (value, name),
        )
    if side is Side.PRIMARY:
        session.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
    try:
        yield session
    finally:
        session.close()


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def two(request: pytest.FixtureRequest, make_session_server: MakeServer) -> Iterator[Two]:
    source, target = (make_session_server(major) for major in request.param)
    yield Two(source, target)
    source.stop("immediate")
    target.stop("immediate")


@pytest.fixture(autouse=True)
def clean(two: Two) -> None:
    for server in (two.source, two.target):
        if not server.running():
            server.start()
        server.execute("DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public")


def test_every_built_in_type_arrives_row_for_row(two: Two) -> None:
    two.source.execute(f"CREATE TABLE public.t AS {every_type()}")
    definition = two.source.execute(
        "SELECT string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)"
        " FROM pg_attribute WHERE attrelid = 'public.t'::regclass AND attnum > 0"
    )[0][0]
    two.target.execute(f"CREATE TABLE public.t ({definition})")
    (copied,) = two.copy("t")
    here, there = two.texts("public.t")
    assert here == there
    assert copied.source.rows == 2


def test_every_portable_type_arrives_row_for_row_in_binary(two: Two) -> None:
    two.source.execute(f"CREATE TABLE public.t AS {every_type()}")
    with two.reader() as (_, tables):
        columns = tables["t"].columns
    travelling = [one for one in columns if portable(replace(tables["t"], columns=(one,)))]
    assert len(travelling) > 30
    names = ", ".join(f'"{one.name}"' for one in travelling)
    two.source.execute(f"CREATE TABLE public.b AS SELECT {names} FROM public.t")
    two.target.execute(f"CREATE TABLE public.b ({', '.join(f'{one.name} {one.type}' for one in travelling)})")
    (copied,) = two.copy("b")
    assert copied.source.method is Method.BINARY
    here, there = two.texts("public.b")
    assert here == there
    with opened(two.target, Side.NEON) as target, two.reader() as (_, tables):
        assert fingerprint(target, tables["b"], SEED, Method.BINARY) == copied.source


@pytest.mark.parametrize(
    "kind", ["public.mood", "regclass", "public.pair", "public.mood[]", "xml", "public.few"]
)
def test_a_type_that_may_mean_something_else_elsewhere_travels_as_text(two: Two, kind: str) -> None:
    two.both(
        "CREATE TYPE public.mood AS ENUM ('a', 'b'); CREATE TYPE public.pair AS (a int, b public.mood);"
        " CREATE DOMAIN public.few AS int CHECK (VALUE < 10);"
        f" CREATE TABLE public.t (id int, x {kind})"
    )
    two.source.execute("INSERT INTO public.t VALUES (1, NULL)")
    with two.reader() as (_, tables):
        assert method_for(tables["t"]) is Method.SERVER
    two.copy("t")
    assert two.texts("public.t") == ("(1,)", "(1,)")


def test_awkward_tables_arrive(two: Two) -> None:
    two.both(
        'CREATE TABLE public."a ""b" ("x ""y" int, "select" text);'
        " CREATE TABLE public.nothing ();"
        " CREATE TABLE public.parent (id int); CREATE TABLE public.child (more text) INHERITS (public.parent);"
        " CREATE TABLE public.made (id int GENERATED ALWAYS AS IDENTITY, n int,"
        "   twice int GENERATED ALWAYS AS (n * 2) STORED);"
        " CREATE TABLE public.dropped (a int, gone text, b text); ALTER TABLE public.dropped DROP gone;"
        " CREATE TABLE public.empty (id int)"
    )
    two.source.execute(
        "INSERT INTO public.\"a \"\"b\" VALUES (1, E'tab\\t nl\\n back\\\\ null \\\\N'), (2, '');"
        " INSERT INTO public.nothing DEFAULT VALUES; INSERT INTO public.nothing DEFAULT VALUES;"
        " INSERT INTO public.parent VALUES (1); INSERT INTO public.child VALUES (2, 'two');"
        " INSERT INTO public.made (n) VALUES (1), (2); INSERT INTO public.dropped VALUES (1, 'x')"
    )
    names = ['a "b', "nothing", "parent", "child", "made", "dropped", "empty"]
    copied = two.copy(*names)
    for name in names:
        quoted = '"' + name.replace('"', '""') + '"'
        here, there = two.texts(f"ONLY public.{quoted}")
        assert here == there, name
    assert [one.source.rows for one in copied] == [2, 2, 1, 1, 2, 1, 0]


def test_a_large_table_arrives_frozen(two: Two) -> None:
    two.both("CREATE TABLE public.t (id int, body text)")
    two.source.execute(
        "INSERT INTO public.t SELECT g, repeat(md5(g::text), 30) FROM generate_series(1, 5000) g; ANALYZE"
    )
    (copied,) = two.copy("t")
    assert copied.bytes > 4_000_000
    assert two.texts("public.t", "t.id")[0] == two.texts("public.t", "t.id")[1]
    two.target.execute("CREATE EXTENSION pg_visibility WITH SCHEMA public")
    visible, frozen = two.target.execute("SELECT * FROM public.pg_visibility_map_summary('public.t')")[0]
    assert visible == frozen > 500


@pytest.mark.parametrize(
    "change",
    [
        "TRUNCATE public.t",
        "DROP TABLE public.t",
        "ALTER TABLE public.t ALTER id TYPE bigint",
        "ALTER TABLE public.t RENAME TO other",
        "ALTER TABLE public.t RENAME body TO other",
        "VACUUM FULL public.t",
        "DROP TABLE public.t; CREATE VIEW public.t AS SELECT 1 AS id, 'evil' AS body",
    ],
)
def test_a_table_that_changed_under_the_snapshot_is_noticed(two: Two, change: str) -> None:
    two.both("CREATE TABLE public.t (id int, body text); CREATE TABLE public.other_one (id int)")
    two.source.execute("INSERT INTO public.t VALUES (1, 'x'); INSERT INTO public.other_one VALUES (1)")
    with two.reader() as (reader, tables), two.sessions() as (source, target):
        for statement in change.split("; "):
            two.source.execute(statement)
        with pytest.raises(SnapshotLost):
            transfer(source, target, (tables["other_one"], tables["t"]), reader)


def test_a_table_that_stays_locked_is_named(two: Two) -> None:
    two.both("CREATE TABLE public.t (id int); CREATE TABLE public.free (id int)")
    with (
        two.reader() as (reader, tables),
        two.sessions() as (source, target),
        two.source.session() as migration,
        migration.cursor() as cursor,
    ):
        cursor.execute("BEGIN; LOCK TABLE public.t IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(PrimaryError, match=r"public\.t .*stayed locked"):
            transfer(source, target, (tables["free"], tables["t"]), reader)


def test_a_lock_lasts_no_longer_than_its_load(two: Two) -> None:
    two.both("CREATE TABLE public.t (id int)")
    with two.reader() as (reader, tables), two.sessions() as (source, target):
        transfer(source, target, (tables["t"],), reader)
        two.source.execute("SET lock_timeout = '1s'; ALTER TABLE public.t ADD more int")


def test_a_refusal_of_the_mirror_names_the_table(two: Two) -> None:
    two.source.execute("CREATE TABLE public.t (id int); INSERT INTO public.t VALUES (1), (2)")
    two.target.execute("CREATE TABLE public.t (id int CHECK (id < 2))")
    with pytest.raises(NeonError, match=r"public\.t"):
        two.copy("t")
    assert two.target.execute("SELECT count(*) FROM public.t")[0][0] == 0


def test_a_mirror_whose_disk_is_full_is_a_matter_of_quota_and_takes_the_rows_once_it_has_space(
    two: Two,
) -> None:
    with small_disk(40) as disk:
        two.target.execute(f"CREATE TABLESPACE small LOCATION '{disk.place}'")
        two.source.execute("CREATE TABLE public.t (id int, body text)")
        two.target.execute("CREATE TABLE public.t (id int, body text) TABLESPACE small")
        two.source.execute(
            "INSERT INTO public.t SELECT g, repeat(md5(g::text), 30) FROM generate_series(1, 20000) g"
        )
        disk.fill(leaving=2_000_000)
        with pytest.raises(QuotaError, match=r"public\.t: Neon's compute is full: could not") as failure:
            two.copy("t")
        assert failure.value.exit_code == 5
        assert failure.value.evidence["sqlstate"] == "53100"
        assert "Raise the plan's storage" in failure.value.remedy
        disk.make_room()
        two.copy("t")
        here, there = two.texts("public.t", "t.id")
        assert here == there
        two.target.execute("DROP TABLE public.t")
        two.target.execute("DROP TABLESPACE small")


def test_neons_own_word_for_a_full_project_is_a_matter_of_quota(two: Two) -> None:
    two.both("CREATE TABLE public.t (id int)")
    two.source.execute("INSERT INTO public.t VALUES (1)")
    two.target.execute(
        "CREATE FUNCTION public.is_full() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'project size limit (512 MB) has been exceeded' USING ERRCODE = '53100'; END$$;"
        " CREATE TRIGGER is_full BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.is_full()"
    )
    with pytest.raises(QuotaError) as failure:
        two.copy("t")
    assert failure.value.exit_code == 5


def test_a_session_killed_in_mid_copy_is_replaced_and_no_row_comes_twice(two: Two) -> None:
    two.both("CREATE TABLE public.t (id int, body text)")
    two.source.execute(
        "INSERT INTO public.t SELECT g, md5(g::text) || repeat('x', 900) FROM generate_series(1, 20000) g; ANALYZE"
    )
    for victim in (two.source, two.target):
        killed = threading.Event()

        def moved(_: int, victim: Server = victim, killed: threading.Event = killed) -> None:
            if not killed.is_set():
                killed.set()
                victim.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY \"public\"%'"
                )

        told: list[str] = []
        with two.reader(moved=moved) as (reader, tables):
            crew: Crew[copying.Load, tuple[CopiedTable, ...]] = Crew(
                2,
                two.sessions,
                lambda sessions, load, reader=reader: transfer(sessions[0], sessions[1], load, reader),
                Stop(),
                lambda sessions, load: copying.forget(sessions[1], load),
            )
            crew.told = told.append
            results = crew.work(loads([tables["t"]]))
        assert killed.is_set()
        assert len(told) == 1
        assert [one.source.rows for load in results.values() for one in load] == [20000]
        assert two.target.execute("SELECT count(*), count(DISTINCT id) FROM public.t")[0] == (20000, 20000)


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_server_that_dies_in_mid_copy_ends_the_run_with_an_error_of_its_side(two: Two, side: str) -> None:
    two.both("CREATE TABLE public.t (id int, body text)")
    two.source.execute(
        "INSERT INTO public.t SELECT g, repeat('x', 900) FROM generate_series(1, 20000) g; ANALYZE"
    )
    victim: Server = getattr(two, side)

    @contextmanager
    def opening() -> Iterator[Sessions]:
        with (
            connect(door(two.source, two.source.superuser), Side.PRIMARY, purpose="rows") as source,
            connect(door(two.target, two.target.superuser), Side.NEON, purpose="rows") as target,
        ):
            yield source, target

    def die(_: int) -> None:
        if victim.running():
            victim.stop("immediate")

    with two.reader(moved=die) as (reader, tables):
        crew: Crew[copying.Load, tuple[CopiedTable, ...]] = Crew(
            2,
            opening,
            lambda sessions, load: transfer(sessions[0], sessions[1], load, reader),
            Stop(),
            lambda sessions, load: copying.forget(sessions[1], load),
        )
        began = time.monotonic()
        with pytest.raises(PrimaryError if side == "source" else NeonError):
            crew.work(loads([tables["t"]]))
    assert time.monotonic() - began < 30
    assert not victim.running()
    victim.start()
    assert two.target.execute("SELECT count(*) FROM public.t") == [(0,)]


def scarce(two: Two) -> Callable[[], AbstractContextManager[Sessions]]:
    """How a worker opens a session on the mirror as a role that may have one connection."""
    two.target.execute("DROP ROLE IF EXISTS scarce; CREATE ROLE scarce LOGIN CONNECTION LIMIT 1")

    @contextmanager
    def opening() -> Iterator[Sessions]:
        with connect(door(two.target, "scarce"), Side.NEON, purpose="rows") as one:
            yield (one,)

    return opening


def test_a_server_with_fewer_connections_than_workers_is_served_by_fewer(two: Two) -> None:
    two.both("CREATE TABLE public.a (id int); CREATE TABLE public.b (id int); CREATE TABLE public.c (id int)")
    opening = scarce(two)

    told: list[str] = []
    crew: Crew[int, int] = Crew(
        3, opening, lambda sessions, item: sessions[0].one("SELECT %s, pg_sleep(0.5)", (item,))[0], Stop()
    )
    crew.told = told.append
    assert crew.work([1, 2, 3]) == {1: 1, 2: 2, 3: 3}
    assert len(told) == 2
    assert all("Going on with fewer workers" in text for text in told)


def test_where_every_worker_was_refused_the_last_one_asks_again(two: Two) -> None:
    opening = scarce(two)
    other = connect(door(two.target, "scarce"), Side.NEON, purpose="another program's")

    crew: Crew[int, int] = Crew(
        2, opening, lambda sessions, item: sessions[0].value("SELECT %s", (item,)), Stop()
    )
    leaving = threading.Timer(0.5, other.close)
    leaving.start()
    assert crew.work([1, 2]) == {1: 1, 2: 2}
    leaving.join()


def test_a_snapshot_whose_holder_is_gone_is_lost_and_not_tried_again(two: Two) -> None:
    two.both("CREATE TABLE public.t (id int)")
    two.source.execute("INSERT INTO public.t VALUES (1)")
    with two.reader() as (reader, tables):
        two.source.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'"
        )
        with two.sessions() as (source, target), pytest.raises(SnapshotLost):
            transfer(source, target, (tables["t"],), reader)


def test_small_tables_travel_together_and_large_ones_alone() -> None:
    tables = [
        Relation(n, "public", f"t{n}", "r", "p", 0, (), pages=pages)
        for n, pages in enumerate((1, 9000, 2, 600))
    ]
    assert [[one.oid for one in load] for load in loads(tables)] == [[1], [3], [2, 0]]
    assert loads([]) == []


def test_a_table_of_few_rows_and_large_values_travels_alone(two: Two) -> None:
    two.source.execute(
        "CREATE TABLE public.wide (id int, body bytea); ALTER TABLE public.wide ALTER body SET STORAGE EXTERNAL;"
        " CREATE TABLE public.small (id int); CREATE TABLE public.unseen (id int);"
        " INSERT INTO public.wide SELECT g, decode(repeat(md5(g::text), 10000), 'hex') FROM generate_series(1, 40) g;"
        " INSERT INTO public.small VALUES (1); ANALYZE;"
        " INSERT INTO public.unseen SELECT generate_series(1, 100000); SELECT pg_stat_force_next_flush()"
    )
    with two.reader() as (_, tables):
        assert [[one.name for one in load] for load in loads(list(tables.values()))] == [
            ["wide"],
            ["unseen"],
            ["small"],
        ]


def test_large_values_are_compressed_by_what_costs_least_unless_a_column_says_otherwise(two: Two) -> None:
    two.both("CREATE TABLE public.t (id int, free text, named text COMPRESSION pglz)")
    two.source.execute("INSERT INTO public.t SELECT 1, repeat('row ', 9000), repeat('row ', 9000)")
    with two.reader() as (reader, tables), two.sessions() as (source, target):
        target.execute(restore.DEFINING)
        transfer(source, target, (tables["t"],), reader)
    assert two.target.execute(
        "SELECT pg_column_compression(free), pg_column_compression(named) FROM public.t"
    ) == [("lz4", "pglz")]
    here, there = two.texts("public.t")
    assert here == there


def test_a_fingerprint_that_is_known_is_not_taken_again(two: Two) -> None:
    two.both(
        "CREATE TABLE public.t (id int); CREATE TABLE public.made (n int, m int GENERATED ALWAYS AS (n) STORED);"
        " CREATE TABLE public.other (id int)"
    )
    two.source.execute("INSERT INTO t VALUES (1); INSERT INTO made VALUES (1); INSERT INTO other VALUES (1)")
    told, bare = Fingerprint(1, "a" * 32), Fingerprint(1, "b" * 32)
    with two.reader() as (reader, tables), two.sessions() as (source, target):
        load = (replace(tables["t"], trusted=False), tables["made"], tables["other"])
        known = {load[0]: (told, None), load[1]: (told, bare)}
        copied = transfer(source, target, load, replace(reader, known=known))
    assert [one.source for one in copied[:2]] == [told, told]
    assert [one.written for one in copied] == [None, bare, None]
    assert copied[2].source == two.copy("other")[0].source
    assert two.texts("public.t") == ("(1)", "(1)")


def test_the_pace_is_kept() -> None:
    now, waits = [100.0], []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    pace = Pace(1000, monotonic=lambda: now[0], wait=wait)
    for _ in range(10):
        pace.spend(500)
    assert now[0] - 100.0 == pytest.approx(4.5)
    Pace().spend(10**12)


def test_workers_that_find_no_connection_leave_the_work_to_the_others(two: Two) -> None:
    two.both("CREATE TABLE public.a (id int); CREATE TABLE public.b (id int)")
    opened_ones = []

    @contextmanager
    def scarce() -> Iterator[Sessions]:
        if opened_ones:
            raise PrimaryError("Cannot connect to the primary: no connection is free.")
        opened_ones.append(1)
        with two.sessions() as sessions:
            yield sessions

    crew: Crew[int, int] = Crew(
        4, scarce, lambda sessions, item: item * sessions[0].value("SELECT 2"), Stop()
    )
    told: list[str] = []
    crew.told = told.append
    assert crew.work(range(8)) == {number: number * 2 for number in range(8)}
    assert len(told) == 3


def test_when_no_worker_finds_a_connection_it_is_an_error() -> None:
    @contextmanager
    def none() -> Iterator[Sessions]:
        raise PrimaryError("Cannot connect to the primary: no connection is free.")
        yield ()

    with pytest.raises(PrimaryError, match="no connection is free"):
        Crew(3, none, lambda _, item: item, Stop()).work([1, 2])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="asks Linux for the peak of memory")
def test_memory_is_flat_whatever_the_size_of_a_table(two: Two) -> None:
    def peak(megabytes: int) -> int:
        two.both("DROP TABLE IF EXISTS public.t; CREATE TABLE public.t (id int, body text)")
        two.source.execute(
            "INSERT INTO public.t SELECT g, repeat(md5(g::text), 30)"
            f" FROM generate_series(1, {megabytes * 1000}) g; ANALYZE public.t"
        )
        Path("/proc/self/clear_refs").write_text("5")
        before = _memory("VmRSS")
        (copied,) = two.copy("t")
        assert copied.bytes > megabytes * 900_000
        return _memory("VmHWM") - before

    peak(1)
    small, large = peak(10), peak(100)
    assert large < small + 8_000_000
    assert large < 30_000_000


def _memory(name: str) -> int:
    text = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(name + ":"))


@pytest.mark.parametrize("ending", ["a stop", "an error elsewhere"])
def test_what_is_ended_while_a_session_is_opened_is_not_begun(two: Two, ending: str) -> None:
    stop = Stop()
    begun: list[int] = []

    @contextmanager
    def slowly() -> Iterator[Sessions]:
        with two.sessions() as sessions:
            if ending == "a stop":
                stop.set()
            else:
                crew.give_up()
            yield sessions

    crew: Crew[int, None] = Crew(1, slowly, lambda _, item: begun.append(item), stop)
    with pytest.raises(Cancelled):
        crew.work([1])
    assert begun == []


def test_who_misses_that_it_should_end_is_told_again(two: Two) -> None:
    stop, began = Stop(), time.monotonic()

    def task(sessions: Sessions, _: int) -> None:
        stop.set()
        with sessions[0].connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(30)")

    crew: Crew[int, None] = Crew(1, two.sessions, task, stop)
    with pytest.raises(Cancelled):
        crew.work([1])
    assert time.monotonic() - began < 10


def test_a_crew_that_has_lost_workers_is_crowded_by_what_the_others_cannot_take_up(two: Two) -> None:
    gone, begun = threading.Semaphore(2), threading.Barrier(2)
    said: list[bool] = []
    told: list[str] = []

    @contextmanager
    def scarce() -> Iterator[Sessions]:
        if gone.acquire(blocking=False):
            raise PrimaryError("Cannot connect to the primary: no connection is free.")
        with two.sessions() as sessions:
            yield sessions

    def task(_: Sessions, __: int) -> None:
        while len(told) < 2:
            time.sleep(0.01)
        begun.wait(10)
        said.append(crew.is_crowded())
        begun.wait(10)

    crew: Crew[int, None] = Crew(4, scarce, task, Stop())
    crew.told = told.append
    crew.work(range(4))
    assert said == [True, True, False, False]
