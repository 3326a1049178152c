"""Fingerprints: equal for equal rows on every major, different for any difference."""

# ruff: noqa: E501 -- one value a type, as SQL writes it

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supaneon_sync.policy.facts import Column, Relation
from supaneon_sync.postgres.failures import Side
from supaneon_sync.postgres.fingerprint import Fingerprint, Method, Seed, StreamDigest, fingerprint
from supaneon_sync.postgres.pins import PINNED
from supaneon_sync.postgres.session import Session
from supaneon_sync.sandbox.server import Binaries, Server, free_port

SEED = Seed(7, -9)
EVERY_TYPE = """
SELECT 1::smallint AS a1, 2::int AS a2, 3::bigint AS a3, 1.10::numeric AS a4, 0.1::real AS a5, 1/3::float8 AS a6,
  '12.34'::money AS a7, 'text  '::text AS a8, 'vc '::varchar(9) AS a9, 'ch'::char(5) AS b1, '\\xdeadbeef'::bytea AS b2,
  '2026-02-28 23:59:59.999999'::timestamp AS b3, '2026-02-28 23:59:59.999999+03'::timestamptz AS b4,
  '0044-03-15 BC'::date AS b5, '24:00'::time AS b6, '12:00+05:30'::timetz AS b7, '1 month'::interval AS b8, true AS b9,
  '(1,2)'::point AS c1, '{1,2,3}'::line AS c2, '[(0,0),(1,1)]'::lseg AS c3, '((0,0),(1,1))'::box AS c4,
  '[(0,0),(1,1)]'::path AS c5, '((0,0),(1,1),(2,0))'::polygon AS c6, '<(0,0),1>'::circle AS c7, '10.0.0.0/8'::cidr AS c8,
  '10.1.2.3'::inet AS c9, '08:00:2b:01:02:03'::macaddr AS d1, '08:00:2b:01:02:03:04:05'::macaddr8 AS d2,
  '101'::bit(3) AS d3, '1011'::varbit AS d4, 'a fat cat'::tsvector AS d5, 'fat & cat'::tsquery AS d6,
  'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS d7, '<a>1</a>'::xml AS d8, '{"b": 1,  "a": 1.00}'::json AS d9,
  '{"b": 1, "a": 1.00}'::jsonb AS e1, '$.a[*]'::jsonpath AS e2, '{1,NULL,3}'::int[] AS e3, '{{a,b},{c,NULL}}'::text[] AS e4,
  '[1,5)'::int4range AS e5, '{[1,5),[7,9)}'::int4multirange AS e6, '[2026-01-01,2026-02-01)'::daterange AS e7,
  'pg_class'::regclass AS e8, 'int4'::regtype AS e9, 'NaN'::float8 AS f1, '-0'::float8 AS f2, 'Infinity'::numeric AS f3,
  '1/2'::pg_lsn AS f4, 'name'::name AS f5, 4294967295::oid AS f6, '"x"'::"char" AS f7, 'infinity'::timestamptz AS f8
UNION ALL SELECT NULL{nulls}
"""


def every_type() -> str:
    return EVERY_TYPE.replace("{nulls}", ", NULL" * (EVERY_TYPE.count(" AS ") - 1))


@dataclass
class Bench:
    """One server with a session as the tool opens it."""

    server: Server
    session: Session

    def relation(self, name: str) -> Relation:
        columns = self.server.execute(
            "SELECT attnum, attname::text, format_type(atttypid, atttypmod), attgenerated::text FROM pg_attribute"
            f" WHERE attrelid = '{name}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        )
        return Relation(0, "public", name, "r", "p", 0, tuple(Column(*column) for column in columns))

    def take(self, name: str, seed: Seed = SEED, method: Method = Method.SERVER) -> Fingerprint:
        return fingerprint(self.session, self.relation(name), seed, method)

    def of(self, rows: str, seed: Seed = SEED) -> Fingerprint:
        self.server.execute(f"DROP TABLE IF EXISTS public.t; CREATE TABLE public.t AS {rows}")
        return self.take("t", seed)


def bench(server: Server) -> Bench:
    opened = psycopg2.connect(
        host=str(server.sockets), port=server.port, user=server.superuser, dbname="postgres"
    )
    opened.autocommit = True
    session = Session(opened, Side.NEON)
    for name, value in PINNED:
        if session.value("SELECT count(*) FROM pg_settings WHERE name = %s", (name,)):
            session.execute("SELECT set_config(%s, %s, false)", (name, value))
    return Bench(server, session)


@pytest.fixture(scope="module")
def benches(make_session_server: Callable[..., Server]) -> Iterator[dict[int, Bench]]:
    found = {major: bench(make_session_server(major)) for major in (15, 16, 17, 18)}
    yield found
    for one in found.values():
        one.session.close()


@pytest.fixture(scope="module")
def one(benches: dict[int, Bench]) -> Bench:
    return benches[17]


def test_a_table_of_every_built_in_type_has_one_fingerprint_on_all_majors(benches: dict[int, Bench]) -> None:
    found = {major: bench.of(every_type()) for major, bench in benches.items()}
    assert len(set(found.values())) == 1
    assert found[15].rows == 2


def test_nothing_depends_on_a_servers_defaults(benches: dict[int, Bench]) -> None:
    plain = benches[17].of(every_type())
    strange = benches[17]
    for setting in (
        "extra_float_digits = 0",
        "DateStyle = 'SQL, DMY'",
        "TimeZone = 'Asia/Kathmandu'",
        "IntervalStyle = 'iso_8601'",
        "bytea_output = 'escape'",
        "xmloption = 'document'",
    ):
        strange.server.execute(f"ALTER SYSTEM SET {setting}")
    strange.server.execute("SELECT pg_reload_conf()")
    assert strange.server.execute("SHOW extra_float_digits") == [("0",)]
    again = bench(strange.server)
    try:
        assert again.take("t") == plain
    finally:
        again.session.close()
        strange.server.execute("ALTER SYSTEM RESET ALL")
        strange.server.execute("SELECT pg_reload_conf()")


def test_the_order_of_rows_does_not_matter(one: Bench) -> None:
    up = one.of("SELECT i, md5(i::text) FROM generate_series(1, 500) i ORDER BY 1")
    down = one.of("SELECT i, md5(i::text) FROM generate_series(1, 500) i ORDER BY 1 DESC")
    assert up == down


def test_another_seed_gives_another_fingerprint(one: Bench) -> None:
    assert one.of("SELECT 1 AS a", Seed(1, 2)) != one.of("SELECT 1 AS a", Seed(1, 3))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("SELECT 1 AS a, 2 AS b", "SELECT 2 AS a, 1 AS b"),
        ("VALUES (1, 'a'), (2, 'b')", "VALUES (1, 'b'), (2, 'a')"),
        ("SELECT NULL::text AS a", "SELECT ''::text AS a"),
        ("SELECT '-0'::float8 AS a", "SELECT '0'::float8 AS a"),
        ("SELECT 'x'::text AS a", "SELECT 'x '::text AS a"),
        ("SELECT 'x'::char(2) AS a", "SELECT 'x'::char(3) AS a"),
        ("SELECT 1.0::numeric AS a", "SELECT 1.00::numeric AS a"),
        ("""SELECT '{"a": 1.0}'::jsonb AS a""", """SELECT '{"a": 1.00}'::jsonb AS a"""),
        ("""SELECT '{"a":1}'::json AS a""", """SELECT '{"a": 1}'::json AS a"""),
        ("SELECT '1 month'::interval AS a", "SELECT '30 days'::interval AS a"),
        ("SELECT '12:00+01'::timetz AS a", "SELECT '13:00+02'::timetz AS a"),
        ("SELECT 1 AS a", "SELECT 1 AS a UNION ALL SELECT 1"),
        ("SELECT 1 AS a", "SELECT 1 AS a WHERE false"),
        ("SELECT 'a,b' AS a, 'c' AS b", "SELECT 'a' AS a, 'b,c' AS b"),
        ("SELECT '{NULL}'::text[] AS a", """SELECT '{"NULL"}'::text[] AS a"""),
        ("SELECT 0.1::float8 + 0.2 AS a", "SELECT 0.3::float8 AS a"),
        ("SELECT E'a\\nb' AS a", "SELECT E'a\\\\nb' AS a"),
    ],
)
def test_what_looks_alike_and_is_not_differs(one: Bench, first: str, second: str) -> None:
    assert one.of(first) != one.of(second)


def test_enums_and_domains_count_by_value_and_not_by_oid(benches: dict[int, Bench]) -> None:
    setup = """
      DROP TYPE IF EXISTS public.mood CASCADE; DROP DOMAIN IF EXISTS public.short CASCADE; {extra}
      CREATE TYPE public.mood AS ENUM ('sad', 'ok'); CREATE DOMAIN public.short AS varchar(5);
      DROP TABLE IF EXISTS public.t; CREATE TABLE public.t (m public.mood, ms public.mood[], s public.short);
      INSERT INTO public.t VALUES ('ok', '{{sad,ok}}', 'x'), (NULL, NULL, NULL)
    """
    one, other = benches[15], benches[18]
    one.server.execute(setup.format(extra=""))
    other.server.execute(setup.format(extra="CREATE TYPE public.filler AS ENUM ('a');"))
    assert one.take("t") == other.take("t")


def test_the_stream_and_the_server_count_the_same_rows(one: Bench) -> None:
    one.of("SELECT i, E'line\\nbreak\\\\' || i AS b FROM generate_series(1, 300) i")
    server, stream = one.take("t"), one.take("t", method=Method.STREAM)
    assert server.rows == stream.rows == 300
    assert server != stream
    assert stream == one.take("t", method=Method.STREAM)


def test_the_stream_does_not_care_how_the_bytes_are_cut() -> None:
    whole, cut = StreamDigest(SEED), StreamDigest(SEED)
    text = b"1\tone\n2\ttwo\n3\tthree\n"
    whole.write(text)
    for byte in text:
        cut.write(bytes([byte]))
    assert whole.fingerprint() == cut.fingerprint()


def test_a_table_without_columns_has_its_rows_counted(one: Bench) -> None:
    one.server.execute(
        "DROP TABLE IF EXISTS public.t; CREATE TABLE public.t (); INSERT INTO public.t DEFAULT VALUES"
    )
    assert one.take("t").rows == 1
    assert one.take("t", method=Method.STREAM).rows == 1


VALUES = {
    "int": st.integers(-(2**31), 2**31 - 1),
    "float8": st.floats(allow_nan=False),
    "text": st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12),
    "bytea": st.binary(max_size=12),
    "numeric": st.decimals(
        allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9
    ),
    "bool": st.booleans(),
    "text[]": st.lists(
        st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=4), max_size=3
    ),
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), method=st.sampled_from(Method))
def test_any_change_of_any_row_shows(one: Bench, data: st.DataObject, method: Method) -> None:
    kinds = data.draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=4))
    row = st.tuples(*(st.none() | VALUES[kind] for kind in kinds))
    rows = data.draw(st.lists(row, min_size=1, max_size=6))
    changed = list(rows)
    change = data.draw(st.sampled_from(["alter", "remove", "double", "add"]))
    position = data.draw(st.integers(0, len(rows) - 1))
    if change == "alter":
        changed[position] = data.draw(row)
    elif change == "remove":
        del changed[position]
    elif change == "double":
        changed.append(rows[position])
    else:
        changed.append(data.draw(row))
    before, after = (_of_rows(one, kinds, some, method) for some in (rows, changed))
    alike = sorted(map(repr, _texts(one, kinds, rows))) == sorted(map(repr, _texts(one, kinds, changed)))
    assert (before == after) is alike


def _of_rows(one: Bench, kinds: list[str], rows: list[tuple[Any, ...]], method: Method) -> Fingerprint:
    columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(kinds))
    one.session.execute(f"DROP TABLE IF EXISTS public.t; CREATE TABLE public.t ({columns})")
    for row in rows:
        one.session.execute(f"INSERT INTO public.t VALUES ({', '.join(['%s'] * len(kinds))})", row)
    return one.take("t", method=method)


def _texts(one: Bench, kinds: list[str], rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """What the server makes of the values, so that 1 and 1.0 of a numeric are told apart as it does."""
    casts = ", ".join(f"CAST(%s AS {kind})::text" for kind in kinds)
    return [one.session.one(f"SELECT {casts}", row) for row in rows]


@pytest.fixture(scope="module")
def icu(server_directory: Path) -> Iterator[Bench]:
    """A server that has ICU, which the wheels lack: Debian's. Where CI has none, that is a failure."""
    place = Path("/usr/lib/postgresql/15/bin")
    if not (place / "postgres").exists():
        if os.environ.get("CI"):
            pytest.fail("no PostgreSQL with ICU: apt-get install postgresql-15")
        pytest.skip("no PostgreSQL with ICU on this machine (Debian's postgresql-15 has it)")
    server = Server.create(Binaries(15, place, None), server_directory / "icu", free_port(), tls=None)
    server.start()
    try:
        found = bench(server)
        yield found
        found.session.close()
    finally:
        server.stop("immediate")


def test_what_a_collation_takes_for_equal_still_differs(icu: Bench) -> None:
    icu.server.execute(
        "CREATE COLLATION public.blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
    )
    small = icu.of("SELECT 'straße'::text COLLATE public.blind AS a")
    assert icu.server.execute("SELECT a = 'STRASSE' OR a = 'STRAßE' FROM public.t") == [(True,)]
    assert small != icu.of("SELECT 'STRAßE'::text COLLATE public.blind AS a")


def test_the_collation_of_a_column_does_not_change_its_fingerprint(icu: Bench, one: Bench) -> None:
    rows = "SELECT v COLLATE {} AS a FROM (VALUES ('Ärger'), ('Zebra'), ('apfel'), ('ß')) t (v)"
    assert icu.of(rows.format('"de-x-icu"')) == icu.of(rows.format('"C"')) == one.of(rows.format('"C"'))
