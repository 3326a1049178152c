"""What row versions tell of the time between two snapshots: exactly what is new, or nothing at all."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from supaneon_sync.policy.baseline import Horizon
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres import history
from supaneon_sync.postgres.failures import Side
from supaneon_sync.postgres.history import Moment
from supaneon_sync.postgres.session import Session
from supaneon_sync.sandbox.identity import give, identity
from supaneon_sync.sandbox.server import Server

MakeServer = Callable[..., Server]
TABLE = Relation(0, "public", "t", "r", "p", 0, ())


@contextmanager
def opened(server: Server) -> Iterator[Session]:
    connection = psycopg2.connect(
        host=str(server.sockets), port=server.port, dbname="postgres", user=server.superuser
    )
    connection.autocommit = True
    with Session(connection, Side.PRIMARY) as session:
        session.execute("SET search_path = pg_catalog")
        yield session


def moment(server: Server) -> Moment:
    with opened(server) as session, session.transaction("ISOLATION LEVEL REPEATABLE READ, READ ONLY"):
        return history.moment(session)


def horizon(server: Server) -> Horizon:
    found = moment(server).horizon
    assert found is not None
    return found


def news(server: Server, then: Horizon) -> tuple[int, int]:
    """How many rows there are, and how many of them are new."""
    with opened(server) as session, session.transaction("ISOLATION LEVEL REPEATABLE READ, READ ONLY"):
        found = history.news(session, [TABLE], then)[TABLE]
        return found.rows, found.new


@pytest.fixture(params=[15, 17, 18])
def server(request: pytest.FixtureRequest, make_server: MakeServer) -> Server:
    made = make_server(request.param)
    made.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT g FROM generate_series(1, 9) g"
    )
    return made


@pytest.mark.parametrize(
    ("statements", "rows", "new"),
    [
        ("SELECT", 9, 0),
        ("INSERT INTO t VALUES (10)", 10, 1),
        ("UPDATE t SET v = 'x' WHERE id < 4", 9, 3),
        ("UPDATE t SET v = v", 9, 9),
        ("DELETE FROM t WHERE id = 5", 8, 0),
        ("DELETE FROM t WHERE id = 5; INSERT INTO t VALUES (5)", 9, 1),
        ("BEGIN; UPDATE t SET v = 'x'; ROLLBACK", 9, 0),
        ("BEGIN; SELECT FROM t FOR UPDATE; COMMIT", 9, 0),
        ("BEGIN; SAVEPOINT a; INSERT INTO t VALUES (10); RELEASE a; COMMIT", 10, 1),
    ],
)
def test_what_is_new_is_told_and_nothing_else(server: Server, statements: str, rows: int, new: int) -> None:
    then = horizon(server)
    for statement in statements.split("; ") if statements.startswith("DELETE") else [statements]:
        server.execute(statement)
    assert news(server, then) == (rows, new)


def test_old_rows_stay_old_when_they_are_frozen(server: Server) -> None:
    then = horizon(server)
    with server.session() as session, session.cursor() as cursor:
        cursor.execute("VACUUM (FREEZE) t")
    assert news(server, then) == (9, 0)


def test_what_was_not_committed_at_the_first_snapshot_is_new(server: Server) -> None:
    with server.session() as writer:
        writer.autocommit = False
        with writer.cursor() as cursor:
            cursor.execute("INSERT INTO t VALUES (10)")
            then = horizon(server)
            server.execute("INSERT INTO t VALUES (11)")
            writer.commit()
    assert news(server, then) == (11, 2)


def test_numbers_that_come_round_are_told_apart(make_server: MakeServer) -> None:
    server = make_server(17)
    server.execute("VACUUM (FREEZE)")
    server.stop()
    _turn_the_counter(server, 2**32 - 20)
    server.start()
    server.execute("CREATE TABLE t (id int); INSERT INTO t SELECT g FROM generate_series(1, 9) g")
    then = horizon(server)
    for _ in range(40):
        server.execute("INSERT INTO t VALUES (0)")
    assert then.oldest % 2**32 > 2**31 > moment(server).next % 2**32
    assert news(server, then) == (49, 40)
    assert news(server, horizon(server)) == (49, 0)


def _turn_the_counter(server: Server, number: int) -> None:
    """Let the stopped server's next transaction have this number, as after years of work."""
    command = [str(server.binaries.tool("pg_resetwal")), "-x", str(number), "-D", str(server.data)]
    subprocess.run(
        command,
        check=True,
        capture_output=True,
        env=server.binaries.environment(),
        **identity(),
    )
    log = server.data / "pg_xact" / "0FFF"  # the commit log's part for such numbers: a real server has it
    log.write_bytes(bytes(256 * 1024))
    give(log)


def test_one_run_of_the_server_is_one_history(server: Server) -> None:
    then = horizon(server)
    assert moment(server).since(then) == then
    server.stop("immediate")
    server.start()
    assert moment(server).since(then) is None


def test_a_crash_of_one_process_ends_the_run(server: Server) -> None:
    """The postmaster lives on, and what was not on disk is gone: numbers may be given out again."""
    then = horizon(server)
    ready = "database system is ready to accept connections"
    starts = server.log.read_text().count(ready)
    with server.session() as session, session.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid(), pg_postmaster_start_time()")
        pid, started = cursor.fetchall()[0]
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while server.log.read_text().count(ready) == starts and time.monotonic() < deadline:
        time.sleep(0.1)
    assert server.execute("SELECT pg_postmaster_start_time()") == [(started,)]
    assert moment(server).since(then) is None


def test_another_database_is_another_history(server: Server) -> None:
    then = horizon(server)
    here = moment(server)
    assert replace(here, run=here.run + "1").since(then) is None


def test_snapshots_too_far_apart_are_not_compared(server: Server) -> None:
    here = moment(server)
    assert here.since(Horizon(here.run, here.next - 2**30)) is None
    assert here.since(Horizon(here.run, here.next + 1)) is None


def test_a_replica_tells_nothing() -> None:
    replica = Moment("a run", 700, 700, "", frozenset(), datetime.now(UTC))
    assert replica.horizon is None
    assert replica.since(Horizon("a run", 600)) is None


def test_only_what_is_on_disk_is_built_upon(server: Server) -> None:
    here = moment(server)
    with opened(server) as session:
        session.execute("CHECKPOINT")
        assert history.is_lasting(session, here)
        ahead = replace(here, position="FFFF/0", at=here.at + timedelta(hours=1))
        assert not history.is_lasting(session, ahead)
        other = replace(here, run="another run")
        assert not history.is_lasting(session, other)


def test_what_only_tidied_pages_up_may_stay_unwritten(server: Server) -> None:
    """Three rounds of the WAL writer after a snapshot, every commit that it saw is on disk."""
    here = replace(moment(server), position="FFFF/0")
    with opened(server) as session:
        assert not history.is_lasting(session, here)
        time.sleep(0.8)
        assert history.is_lasting(session, here)


def test_tables_of_another_access_method_are_not_asked(server: Server) -> None:
    with opened(server) as session:
        heaps = history.moment(session).heaps
        assert session.value("SELECT 'public.t'::regclass::oid") in heaps
        assert session.value("SELECT 'public.t_pkey'::regclass::oid") not in heaps
