"""A transaction reads only with what its session has set, which a transaction pooler forgets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

import pytest

from supaneon_sync.errors import PrimaryError
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres import inventory
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.failures import Side
from supaneon_sync.postgres.session import Session, connect
from supaneon_sync.postgres.snapshot import Snapshot, export, joined, reading
from supaneon_sync.sandbox.server import Server
from supaneon_sync.secret import Secret
from tests.conftest import PRIMARY_PASSWORD, MakeServer
from tests.transaction_pooler import transaction_pooler

WAIT = timedelta(seconds=1)
Way = Callable[[Session, Snapshot, Relation], AbstractContextManager[object]]
each_way_to_read = pytest.mark.parametrize(
    "way",
    [
        pytest.param(lambda reader, _, __: nullcontext(export(reader)), id="export"),
        pytest.param(lambda reader, taken, _: joined(reader, taken), id="joined"),
        pytest.param(lambda reader, taken, table: reading(reader, taken, [table], WAIT), id="reading"),
    ],
)


@pytest.fixture(scope="module")
def server(primary_template: MakeServer, make_session_server: MakeServer) -> Server:
    """The sample primary."""
    return make_session_server(17, copy_of=primary_template(17, True))


@pytest.fixture(scope="module")
def pooled(server: Server) -> Iterator[int]:
    """The port of a transaction pooler before it."""
    with transaction_pooler(server) as port:
        yield port


def session(port: int) -> Session:
    options = {"sslmode": "disable", "connect_timeout": "5"}
    door = Conninfo("127.0.0.1", port, "postgres", "postgres", Secret(PRIMARY_PASSWORD), options)
    return connect(door, Side.PRIMARY, purpose="test")


def read(server: Server, port: int, way: Way) -> None:
    """Read the table of tasks through a port, in a snapshot that a direct session holds."""
    with session(server.port) as holder, session(port) as reader:
        taken = export(holder)
        tables = inventory.read(holder).relations.values()
        with way(reader, taken, next(one for one in tables if one.label == "public.tasks")):
            assert reader.value("SELECT count(*) FROM public.tasks") > 0


@each_way_to_read
def test_a_session_that_keeps_its_settings_may_read(server: Server, way: Way) -> None:
    read(server, server.port, way)


@each_way_to_read
def test_nothing_is_read_in_a_transaction_without_the_sessions_settings(
    server: Server, pooled: int, way: Way
) -> None:
    with pytest.raises(PrimaryError, match="forgets settings between transactions") as failure:
        read(server, pooled, way)
    assert "session pooler (port 5432)" in (failure.value.remedy or "")


def test_the_pooler_of_these_tests_keeps_a_session_for_as_long_as_a_transaction(pooled: int) -> None:
    whose = "SELECT pg_backend_pid()"
    with session(pooled) as client:
        assert len({client.value(whose) for _ in range(5)}) == 5
        with client.transaction():
            assert len({client.value(whose) for _ in range(5)}) == 1
