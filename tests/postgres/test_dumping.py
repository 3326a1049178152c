"""The schema as pg_dump reads it: definitions with every name in quotes, names for people without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest

from supaneon_sync.errors import Cancelled
from supaneon_sync.policy import evolution
from supaneon_sync.postgres import clients
from supaneon_sync.postgres.archive import Archive
from supaneon_sync.postgres.clients import Clients
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.dumping import Part, dump_schema
from supaneon_sync.postgres.failures import Side
from supaneon_sync.run import Stop
from supaneon_sync.sandbox.server import Server

OBJECTS = """
CREATE TYPE mood AS ENUM ('sad', '"glad"');
CREATE TYPE "Odd ""x"" type" AS ENUM ('a');
CREATE TABLE plain (id int, m mood, o "Odd ""x"" type"[], j json);
CREATE FUNCTION "f ""q"" (x)"(a text, m mood, o "Odd ""x"" type") RETURNS text
  LANGUAGE sql AS 'SELECT ''"a"''';
CREATE AGGREGATE longest(text) (SFUNC = textcat, STYPE = text);
CREATE FUNCTION as_text(mood) RETURNS json LANGUAGE sql AS 'SELECT NULL::json';
CREATE CAST (mood AS json) WITH FUNCTION as_text(mood);
COMMENT ON TABLE plain IS 'x';
COMMENT ON COLUMN plain.id IS 'x';
COMMENT ON FUNCTION as_text(mood) IS 'x'
"""
NAMES = {
    "mood",
    'Odd "x" type',
    "plain",
    'f "q" (x)("text", "public"."mood", "public"."Odd ""x"" type")',
    "longest(text)",
    "as_text(public.mood)",
    "CAST (public.mood AS json)",
    "TABLE plain",
    "COLUMN plain.id",
    "FUNCTION as_text(public.mood)",
}
TYPES = """
SET search_path = pg_catalog;
SELECT format_type(atttypid, -1) FROM pg_attribute
WHERE attrelid = 'public.plain'::regclass AND attname IN ('m', 'o')
"""


@pytest.fixture(scope="module", params=[15, 17, 18])
def server(request: pytest.FixtureRequest, make_session_server: Callable[..., Server]) -> Iterator[Server]:
    made = make_session_server(request.param)
    made.execute(OBJECTS)
    yield made
    made.stop("immediate")


def dumped(server: Server, side: Side = Side.NEON, time_zone: str = "") -> Archive:
    options = {"options": "-c extra_float_digits=1"}
    where = Conninfo(str(server.sockets), server.port, "postgres", server.superuser, None, options)
    programs = Clients(server.binaries.major, "", server.binaries.bin_directory)
    return dump_schema(where, side, programs, stop=Stop(), part=Part(time_zone=time_zone))


def test_a_schema_is_read_in_the_same_words_whatever_the_server_quotes_by_default(server: Server) -> None:
    usual = dumped(server)
    server.execute(f"ALTER ROLE {server.superuser} SET quote_all_identifiers = on")
    try:
        assert dumped(server).entries == usual.entries
    finally:
        server.execute(f"ALTER ROLE {server.superuser} RESET quote_all_identifiers")


def test_names_for_people_have_no_more_quotes_than_they_need(server: Server) -> None:
    kinds = {"TYPE", "TABLE", "FUNCTION", "AGGREGATE", "CAST", "COMMENT"}
    assert {one.tag for one in dumped(server).entries if one.kind in kinds} >= NAMES


def test_an_enum_is_known_by_the_type_of_a_column(server: Server) -> None:
    enums = [one.definition for one in dumped(server).entries if one.kind == "TYPE"]
    names = server.execute(TYPES)
    assert len(names) == 2
    for (name,) in names:
        words = f"CREATE TYPE {evolution.quoted(name.removesuffix('[]'))} AS ENUM ("
        assert len([text for text in enums if text.startswith(words)]) == 1


@pytest.mark.parametrize("side", Side)
def test_times_are_shown_in_the_zone_that_is_wanted_on_either_side(server: Server, side: Side) -> None:
    server.execute("CREATE TABLE dated (at timestamptz DEFAULT '2024-02-03 04:05:06+00')")
    try:
        found = dumped(server, side, "America/New_York").entries
    finally:
        server.execute("DROP TABLE dated")
    (table,) = (one.definition for one in found if one.tag == "dated")
    assert "'2024-02-02 23:05:06-05'" in table


def test_neons_proxy_which_passes_on_nothing_but_options_is_asked_by_those(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Mapping[str, str]] = []

    def run(_: object, *, environment: Mapping[str, str], **__: object) -> None:
        seen.append(environment)
        raise Cancelled("enough")

    monkeypatch.setattr(clients, "run", run)
    for side in Side:
        with pytest.raises(Cancelled):
            dumped(server, side, "odd \\ zone")
    assert [one.get("PGTZ") for one in seen] == ["odd \\ zone", None]
    options = [one["PGOPTIONS"] for one in seen]
    assert options == ["-c extra_float_digits=1", r"-c extra_float_digits=1 -c TimeZone=odd\ \\\ zone"]
