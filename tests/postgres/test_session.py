"""Sessions: what they pin, what they may not do, and what their errors do not tell."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO

import pytest

from supaneon_sync.errors import Cancelled, NeonError, PrimaryError, QuotaError, SnapshotLost, SupaneonError
from supaneon_sync.postgres import session
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.failures import Side, unreachable
from supaneon_sync.postgres.pins import PINNED
from supaneon_sync.postgres.session import Session
from supaneon_sync.run import Stop
from supaneon_sync.sandbox.server import Server
from supaneon_sync.secret import Secret

CANARY = "canary-77aa"
MAJORS = (15, 17, 18)


def reach(server: Server, password: str = "pw-pw-pw") -> Conninfo:
    options = {"sslmode": "prefer", "connect_timeout": "5"}
    return Conninfo("127.0.0.1", server.port, "postgres", "reader", Secret(password), options)


@pytest.fixture(scope="module")
def servers(make_session_server: Callable[..., Server]) -> dict[int, Server]:
    found = {major: make_session_server(major) for major in MAJORS}
    for server in found.values():
        server.execute(
            "CREATE ROLE reader LOGIN PASSWORD 'pw-pw-pw'; GRANT CREATE ON SCHEMA public TO reader"
        )
    return found


@pytest.fixture(params=MAJORS)
def server(request: pytest.FixtureRequest, servers: dict[int, Server]) -> Server:
    found: Server = servers[request.param]
    return found


@pytest.fixture
def primary(server: Server) -> Iterator[Session]:
    with session.connect(reach(server), Side.PRIMARY, purpose="test") as opened:
        yield opened


@pytest.fixture
def neon(server: Server) -> Iterator[Session]:
    with session.connect(reach(server), Side.NEON, purpose="test") as opened:
        yield opened


def test_every_setting_that_the_server_has_is_pinned(primary: Session) -> None:
    shown = dict(primary.query("SELECT lower(name), setting FROM pg_settings"))
    pinned = {name.lower(): value for name, value in PINNED if name.lower() in shown}
    assert len(pinned) >= len(PINNED) - 2
    for name in ("search_path", "row_security", "extra_float_digits", "datestyle", "timezone"):
        assert shown[name] == pinned[name]


def test_a_session_on_the_primary_cannot_write(primary: Session) -> None:
    with pytest.raises(PrimaryError) as failure:
        primary.execute("CREATE TABLE public.t (a int)")
    assert failure.value.evidence["sqlstate"] == "25006"


def test_a_session_on_the_copy_can(neon: Session) -> None:
    neon.execute("CREATE TEMP TABLE t (a int)")


def test_an_error_tells_the_object_and_not_the_row(neon: Session) -> None:
    neon.execute("CREATE TEMP TABLE t (a text PRIMARY KEY)")
    neon.execute("INSERT INTO t VALUES (%s)", (CANARY,))
    with pytest.raises(NeonError) as failure:
        neon.execute("INSERT INTO t VALUES (%s)", (CANARY,))
    assert failure.value.evidence["sqlstate"] == "23505"
    assert failure.value.evidence["constraint"] == "t_pkey"
    assert CANARY not in str(failure.value) + repr(failure.value.evidence)
    assert failure.value.__cause__ is None


@pytest.mark.parametrize(
    "statement",
    [f"SELECT '{CANARY}'::int", f"DO $$BEGIN RAISE EXCEPTION '{CANARY}'; END$$", f"SELECT '{CANARY}'::date"],
)
def test_messages_that_quote_values_are_withheld(neon: Session, statement: str) -> None:
    with pytest.raises(NeonError) as failure:
        neon.query(statement)
    assert CANARY not in str(failure.value) + repr(failure.value.evidence)
    assert "show-row-values" in str(failure.value)


def test_row_values_are_shown_to_who_asks_for_them(server: Server) -> None:
    opened = session.connect(reach(server), Side.NEON, purpose="test", show_row_values=True)
    with opened, pytest.raises(NeonError, match=CANARY):
        opened.query(f"SELECT '{CANARY}'::int")


def test_a_transaction_that_fails_leaves_nothing_and_a_usable_session(neon: Session) -> None:
    neon.execute("CREATE TEMP TABLE t (a int)")

    def fail() -> None:
        with neon.transaction():
            neon.execute("INSERT INTO t VALUES (1)")
            neon.execute("SELECT 1/0")

    with pytest.raises(NeonError):
        fail()
    assert neon.value("SELECT count(*) FROM t") == 0


def test_a_stop_ends_a_query_at_once(server: Server) -> None:
    stop = Stop()
    with session.connect(reach(server), Side.NEON, purpose="test", stop=stop) as opened:
        timer = threading.Timer(0.3, stop.set)
        began = time.monotonic()
        with stop.calling(opened.cancel):
            timer.start()
            with pytest.raises(NeonError) as failure:
                opened.query("SELECT pg_sleep(30)")
        assert failure.value.evidence["sqlstate"] == "57014"
        assert time.monotonic() - began < 5
    with pytest.raises(Cancelled):
        session.connect(reach(server), Side.NEON, purpose="test", stop=stop)


def test_a_session_that_was_told_to_end_between_two_statements_asks_for_nothing_more(server: Server) -> None:
    with session.connect(reach(server), Side.NEON, purpose="test") as opened:
        opened.execute("CREATE TEMP TABLE t (a int)")

        def work() -> None:
            with opened.transaction():
                opened.execute("INSERT INTO t VALUES (1)")
                opened.cancel()

        with pytest.raises(NeonError) as failure:
            work()
        assert failure.value.evidence["sqlstate"] == "57014"
        with opened.connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM t")
            assert cursor.fetchall() == [(0,)]
        for asking in (opened.query, opened.execute, lambda text: opened.copy_out(text, BytesIO())):
            with pytest.raises(NeonError, match="Nothing more"):
                asking("COPY t TO STDOUT")


def test_a_session_that_the_server_ended_is_a_lost_snapshot_on_the_primary(
    server: Server, primary: Session
) -> None:
    pid = primary.value("SELECT pg_backend_pid()")
    server.execute(f"SELECT pg_terminate_backend({pid})")
    with pytest.raises(PrimaryError):
        primary.query("SELECT 1")


def test_a_full_disk_is_a_quota(neon: Session) -> None:
    with pytest.raises(QuotaError):
        neon.execute("DO $$BEGIN RAISE EXCEPTION 'full' USING ERRCODE = '53100'; END$$")


def test_a_snapshot_that_is_gone_starts_the_run_over(primary: Session) -> None:
    primary.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    with pytest.raises(SupaneonError) as failure:
        primary.execute("SET TRANSACTION SNAPSHOT '00000003-0000001B-1'")
    primary.connection.rollback()
    assert isinstance(failure.value, SnapshotLost | PrimaryError)


def test_a_wrong_password_is_told_and_not_shown(server: Server) -> None:
    with pytest.raises(PrimaryError) as failure:
        session.connect(reach(server, CANARY), Side.PRIMARY, purpose="test")
    assert "the password or the role is wrong" in str(failure.value)
    assert CANARY not in str(failure.value) + repr(failure.value.evidence)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            'could not connect to server: "2600::1", port 5432 failed: Network is unreachable',
            "session pooler",
        ),
        ("FATAL:  Tenant or user not found", "not about the password"),
        ("FATAL: (EMAXCONNSESSION) max clients reached in session mode", "--jobs"),
        ('could not translate host name "db.x.supabase.co" to address', "paused"),
        ("SSL error: certificate verify failed", "root certificate"),
        ("This IP address 1.2.3.4 is not allowed to connect to this endpoint", "fixed addresses"),
        ("timeout expired", "project is running"),
        ("something quite new", "See the cause"),
    ],
)
def test_what_keeps_us_out_is_told_with_its_remedy(said: str, told: str) -> None:
    where = Conninfo("h", 5432, "d", "u", Secret("s3cret-pw"), {})
    assert told in str(unreachable(f"{said} s3cret-pw", where, Side.PRIMARY))
    assert "s3cret-pw" not in repr(unreachable(f"{said} s3cret-pw", where, Side.PRIMARY).evidence)
