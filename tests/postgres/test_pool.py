"""Sessions that are used again: what one user leaves never reaches the next, and none is left open."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from supaneon_sync.errors import Cancelled, NeonError, PrimaryError
from supaneon_sync.postgres import session
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.crew import Crew, Sessions
from supaneon_sync.postgres.failures import Side
from supaneon_sync.postgres.pool import FEWEST, Pool
from supaneon_sync.postgres.session import Session
from supaneon_sync.run import Stop
from supaneon_sync.sandbox.server import Server
from supaneon_sync.secret import Secret

MAJORS = (15, 18)
_BACKEND = "SELECT pg_backend_pid()"
_SHOWN = "SELECT name, setting FROM pg_settings WHERE name <> 'application_name' ORDER BY name"
_OPEN = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'supaneon-sync %'"


@pytest.fixture(scope="module")
def servers(make_session_server: Callable[..., Server]) -> dict[int, Server]:
    found = {major: make_session_server(major) for major in MAJORS}
    for server in found.values():
        server.execute(
            "CREATE ROLE other; CREATE ROLE reader LOGIN PASSWORD 'pw-pw-pw'; GRANT other TO reader"
        )
        server.execute("GRANT CREATE ON SCHEMA public TO reader; CREATE SEQUENCE number")
        server.execute("GRANT USAGE ON SEQUENCE number TO reader")
    return found


@pytest.fixture(params=MAJORS)
def server(request: pytest.FixtureRequest, servers: dict[int, Server]) -> Server:
    found: Server = servers[request.param]
    return found


def pool_on(server: Server, side: Side = Side.NEON, stop: Stop | None = None) -> Pool:
    options = {"sslmode": "prefer", "connect_timeout": "5"}
    where = Conninfo("127.0.0.1", server.port, "postgres", "reader", Secret("pw-pw-pw"), options)

    def opening(purpose: str, *, settings: str) -> Session:
        return session.connect(where, side, purpose=purpose, settings=settings)

    return Pool(opening, stop or Stop())


@pytest.fixture
def pool(server: Server) -> Iterator[Pool]:
    made = pool_on(server)
    yield made
    made.close()


def settled(ask: Callable[[], object], wanted: object) -> bool:
    """Say whether the answer becomes the one that is wanted within some seconds."""
    deadline = time.monotonic() + 5
    while ask() != wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    return ask() == wanted


def backend(pool: Pool) -> int:
    with pool.session("test") as one:
        return int(one.value(_BACKEND))


def test_a_session_that_was_given_back_is_used_again(pool: Pool) -> None:
    assert backend(pool) == backend(pool)


def test_two_users_at_once_have_a_session_each(pool: Pool) -> None:
    with pool.session("one") as one, pool.session("other") as other:
        assert one.value(_BACKEND) != other.value(_BACKEND)


@pytest.mark.parametrize("side", Side, ids=lambda side: side.name)
def test_no_setting_of_one_user_reaches_the_next(server: Server, side: Side) -> None:
    pool = pool_on(server, side)
    wanted = "SET work_mem = '77MB'; SET lock_timeout = '9s';"
    with pool.session("first", wanted) as one, pool.session("fresh") as untouched:
        expected = untouched.query(_SHOWN)  # on a connection that nobody has used before
        used = one.value(_BACKEND)
        assert one.value("SHOW work_mem") == "77MB"
        one.execute("SET search_path = public; SET row_security = on; SET DateStyle = 'German'")
        one.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE; SET ROLE other")
        one.execute("SET my.own = '1'; SET standard_conforming_strings = off")
    with pool.session("next") as one, pool.session("next") as other:
        again = next(found for found in (one, other) if found.value(_BACKEND) == used)
        assert again.query(_SHOWN) == expected
        assert again.value("SELECT current_user = 'reader'")
        assert again.value("SELECT coalesce(current_setting('my.own', true), '')") == ""
        assert again.value("SHOW application_name") == "supaneon-sync next"
    pool.close()


def test_nothing_else_of_one_user_reaches_the_next(pool: Pool) -> None:
    with pool.session("first") as one:
        used = one.value(_BACKEND)
        one.execute("CREATE TEMP TABLE pg_settings (name text, setting text, context text)")
        one.execute("CREATE TEMP TABLE left_behind (a int); LISTEN somebody; PREPARE asked AS SELECT 1")
        one.execute("SELECT pg_advisory_lock(7); SELECT nextval('public.number')")
        one.execute("BEGIN; DECLARE held CURSOR WITH HOLD FOR SELECT 1; COMMIT")
    with pool.session("next") as again:
        assert again.value(_BACKEND) == used
        assert again.value("SELECT to_regclass('left_behind')") is None
        assert again.query("SELECT * FROM pg_listening_channels()") == []
        assert again.query("SELECT name FROM pg_prepared_statements") == []
        assert again.query("SELECT name FROM pg_cursors") == []
        assert again.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
        with pytest.raises(NeonError):
            again.query("SELECT lastval()")


def test_a_session_on_the_primary_still_cannot_write_when_it_is_used_again(server: Server) -> None:
    pool = pool_on(server, Side.PRIMARY)
    with pool.session("first") as one:
        used = one.value(_BACKEND)
        one.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE")
    with pool.session("next") as again:
        assert again.value(_BACKEND) == used
        with pytest.raises(PrimaryError) as failure:
            again.execute("CREATE TABLE public.t (a int)")
    assert failure.value.evidence["sqlstate"] == "25006"
    pool.close()


def test_a_cancelled_session_is_not_given_to_the_next(pool: Pool) -> None:
    with pool.session("first") as one:
        used = one.value(_BACKEND)
        one.cancel()
    assert backend(pool) != used


def test_who_still_knows_a_session_that_was_given_back_cannot_touch_the_next_user(pool: Pool) -> None:
    with pool.session("first") as one:
        used = one.value(_BACKEND)
    with pool.session("next") as again:
        assert again.value(_BACKEND) == used
        slow = threading.Thread(target=again.query, args=("SELECT pg_sleep(0.5)",))
        slow.start()
        one.cancel()
        one.ping()
        one.close()
        slow.join()
        assert again.value("SELECT 1") == 1
        with pytest.raises(RuntimeError, match="given back"):
            one.query("SELECT 1")


def test_a_session_in_a_transaction_is_not_given_to_the_next(pool: Pool) -> None:
    with pool.session("first") as one:
        used = one.value("BEGIN; SELECT pg_backend_pid()")
    assert backend(pool) != used


def test_a_session_whose_user_failed_is_not_given_to_the_next(pool: Pool) -> None:
    used = backend(pool)
    with pytest.raises(NeonError), pool.session("first") as one:
        one.query("SELECT 1 / 0")
    assert backend(pool) != used


def test_a_session_that_died_while_idle_is_replaced_without_a_word(server: Server, pool: Pool) -> None:
    with pool.session("one") as one, pool.session("other") as other:
        used = {one.value(_BACKEND), other.value(_BACKEND)}
    for number in used:
        server.execute(f"SELECT pg_terminate_backend({number})")
    assert backend(pool) not in used


def test_all_are_closed_in_the_end_and_what_comes_back_later_too(server: Server, pool: Pool) -> None:
    with pool.session("late"):
        with pool.session("idle"):
            pass
        pool.close()
        assert settled(lambda: server.execute(_OPEN)[0][0], 1)
    assert settled(lambda: server.execute(_OPEN)[0][0], 0)


def test_no_more_are_open_than_were_in_use_at_once(server: Server, pool: Pool) -> None:
    for _ in range(3):
        with pool.session("one"), pool.session("other"), pool.session("third"):
            pass
    assert server.execute(_OPEN)[0][0] == 3


def test_room_is_made_for_another_program_only_where_it_would_be_one_more(server: Server, pool: Pool) -> None:
    backend(pool)
    pool.make_room()
    assert server.execute(_OPEN)[0][0] == FEWEST - 1
    with pool.session("one"), pool.session("other"), pool.session("third"):
        pool.make_room()  # none is idle
    pool.make_room()
    assert settled(lambda: server.execute(_OPEN)[0][0], 2)
    pool.make_room()
    assert server.execute(_OPEN)[0][0] == 2


def test_nobody_gets_a_session_once_a_stop_was_asked_for(server: Server) -> None:
    stop = Stop()
    pool = pool_on(server, stop=stop)
    backend(pool)
    stop.set()
    with pytest.raises(Cancelled):
        backend(pool)
    pool.close()


def test_a_crew_that_is_given_up_late_cancels_nobody_who_has_its_sessions_now(pool: Pool) -> None:
    @contextmanager
    def lending() -> Iterator[Sessions]:
        with pool.session("crew") as one:
            yield (one,)

    crew: Crew[int, int] = Crew(1, lending, lambda sessions, _: int(sessions[0].value(_BACKEND)), Stop())
    used = crew.work([1])[1]
    with pool.session("next") as again:
        assert again.value(_BACKEND) == used
        late = threading.Timer(0.2, crew.give_up)
        late.start()
        again.query("SELECT pg_sleep(0.5)")
        late.join()
