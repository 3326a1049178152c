"""The copy's database: made anew, alike where its server can, and told where it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from supaneon_sync.policy.facts import Locale
from supaneon_sync.postgres import inventory, mirror
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.failures import Side
from supaneon_sync.postgres.session import Session, connect
from supaneon_sync.sandbox.server import Server
from supaneon_sync.secret import Secret
from tests.conftest import MakeServer

PASSWORD = "pw-of-the-owner-1"
PATH = '"$user", public, "odd Schema"'


@pytest.fixture(scope="module", params=[15, 17])
def server(request: pytest.FixtureRequest, make_session_server: MakeServer) -> Server:
    found = make_session_server(request.param)
    found.execute(f"CREATE ROLE owner LOGIN CREATEDB CREATEROLE PASSWORD '{PASSWORD}'")
    return found


def opened(server: Server, database: str = "postgres") -> Session:
    options = {"sslmode": "prefer", "connect_timeout": "5"}
    where = Conninfo("127.0.0.1", server.port, database, "owner", Secret(PASSWORD), options)
    return connect(where, Side.NEON, purpose="test")


@pytest.fixture
def session(server: Server) -> Iterator[Session]:
    with opened(server) as one:
        yield one


def test_a_locale_that_the_server_has_is_taken_and_anything_else_there_is_dropped(
    server: Server, session: Session
) -> None:
    wanted = Locale("UTF8", "c", "C", "C", "")
    for _ in range(2):
        assert mirror.make_anew(session, "copy", wanted, PATH) == ""
        query = "SELECT encoding, datcollate, datctype FROM pg_database WHERE datname = 'copy'"
        assert session.query(query) == [(6, "C", "C")]
        assert server.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'mine'", "copy") == [(0,)]
        server.execute("CREATE SCHEMA mine", "copy")


@pytest.mark.parametrize(
    "wanted",
    [
        Locale("UTF8", "c", "xx_XX.UTF-8", "xx_XX.UTF-8", ""),
        Locale("UTF8", "i", "C", "C", "no-such-locale-at-all"),
    ],
)
def test_a_locale_that_the_server_lacks_is_told_and_stops_nothing(session: Session, wanted: Locale) -> None:
    note = mirror.make_anew(session, "copy", wanted, PATH)
    assert "does not offer the primary's locale" in note
    assert session.value("SELECT count(*) FROM pg_database WHERE datname = 'copy'") == 1


def test_the_applications_search_path_is_stored_as_it_is_whatever_it_names(
    server: Server, session: Session
) -> None:
    mirror.make_anew(session, "copy", Locale("UTF8", "c", "C", "C", ""), PATH)
    query = "SELECT setconfig[1] FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase"
    assert session.query(f"{query} WHERE datname = 'copy'") == [(f"search_path={PATH}",)]


def test_other_versions_of_extensions_and_collations_are_told(session: Session) -> None:
    facts = inventory.read(session)
    assert mirror.version_differences(session, facts) == []
    other = replace(
        facts,
        extensions={"plpgsql": "0.9", "elsewhere": "1"},
        locale=replace(facts.locale, version="999"),
    )
    extensions, collations = mirror.version_differences(session, other)
    assert "plpgsql (1.0, on the primary 0.9)" in extensions
    assert "999" in collations


def test_a_time_zone_that_the_server_lacks_is_not_asked_for(server: Server) -> None:
    for name, found in (("America/New_York", "America/New_York"), ("No/Such_Zone", "")):
        assert mirror.time_zone(name, lambda: opened(server)) == found


def test_a_time_zone_that_every_server_has_costs_no_session() -> None:
    def nobody() -> Session:
        raise AssertionError("asked for a session")

    assert mirror.time_zone("UTC", nobody) == "UTC"
