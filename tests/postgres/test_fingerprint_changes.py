"""Fingerprints by each method: alike on every major, never alike after a change of a value of any type."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from supaneon_sync.postgres.fingerprint import Fingerprint, Method, portable
from supaneon_sync.sandbox.server import Server
from tests.postgres.test_fingerprint import Bench, bench, every_type

Chance = random.Random


def text(chance: Chance) -> str:
    return "".join(chance.choices(string.ascii_letters + " \t\n\\,{}()\"'äß€😀", k=chance.randrange(9)))


def number(chance: Chance) -> str:
    return f"{chance.randrange(-(10**12), 10**12)}.{chance.randrange(10**6):06d}"[: chance.randrange(3, 20)]


def moment(chance: Chance) -> datetime:
    return datetime(1900, 1, 1, tzinfo=UTC) + timedelta(microseconds=chance.randrange(10**16))


def array(of: Callable[[Chance], object]) -> Callable[[Chance], str]:
    def literal(chance: Chance) -> str:
        quoted = (
            str(of(chance)).replace("\\", "\\\\").replace('"', '\\"') for _ in range(chance.randrange(4))
        )
        return "{" + ",".join(chance.choice([f'"{one}"', "NULL"]) for one in quoted) + "}"

    return literal


def json(chance: Chance) -> str:
    inner = chance.choice(["1", "1.0", "1.00", '"1"', "null", "[]", "{}", '[1, "a"]', "true"])
    return chance.choice([inner, f'{{"a": {inner}, "b": 2}}', f'{{"b":{inner}}}', f"[{inner},{inner}]"])


TYPES: dict[str, Callable[[Chance], object]] = {
    "smallint": lambda c: c.randrange(-(2**15), 2**15),
    "bigint": lambda c: c.randrange(-(2**63), 2**63),
    "numeric": number,
    "numeric(9,3)": lambda c: Decimal(c.randrange(-(10**8), 10**8)) / 1000,
    "real": lambda c: c.choice(["-0", "0", "NaN", "Infinity", repr(c.uniform(-9, 9))]),
    "double precision": lambda c: c.choice(["-0", "0", "NaN", "1e-300", repr(c.uniform(-9, 9))]),
    "money": lambda c: f"{c.randrange(10**6)}.{c.randrange(100):02d}",
    "text": text,
    "varchar(9)": text,
    "character(9)": text,
    '"char"': lambda c: c.choice(string.ascii_letters),
    "name": text,
    "bytea": lambda c: c.randbytes(c.randrange(9)),
    "boolean": lambda c: c.choice([True, False]),
    "uuid": lambda c: str(UUID(int=c.getrandbits(128))),
    "date": lambda c: c.choice(
        [date(2000, 1, 1) + timedelta(days=c.randrange(9999)), "infinity", "4714-11-24 BC"]
    ),
    "time": lambda c: c.choice([moment(c).time(), "24:00"]),
    "timetz": lambda c: f"{moment(c).time()}{c.choice(['+00', '+05:30', '-08'])}",
    "timestamp": lambda c: moment(c).replace(tzinfo=None),
    "timestamptz": moment,
    "interval": lambda c: c.choice(["1 month", "30 days", "720 hours", f"{c.randrange(99)} days 1 second"]),
    "json": json,
    "jsonb": json,
    "xml": lambda c: f"<a>{c.randrange(99)}</a>",
    "inet": lambda c: f"10.{c.randrange(256)}.0.1/{c.choice([8, 32])}",
    "macaddr": lambda c: ":".join(f"{c.randrange(256):02x}" for _ in range(6)),
    "bit(5)": lambda c: "".join(c.choices("01", k=5)),
    "varbit": lambda c: "".join(c.choices("01", k=c.randrange(6))),
    "point": lambda c: f"({c.uniform(-9, 9)},{c.randrange(9)})",
    "tsvector": lambda c: " ".join(f"{w}:{c.randrange(1, 9)}" for w in c.sample(["fat", "cat", "rat"], 2)),
    "int4range": lambda c: f"[{c.randrange(9)},{c.randrange(10, 20)})",
    "nummultirange": lambda c: f"{{[{c.randrange(9)},10.{c.randrange(9)}]}}",
    "tstzrange": lambda c: f"[{moment(c).isoformat()},)",
    "int[]": array(lambda c: c.randrange(99)),
    "text[]": array(text),
    "public.mood": lambda c: c.choice(["sad", "ok", "OK", "a,b", "(x)"]),
    "public.mood[]": array(lambda c: c.choice(["sad", "ok"])),
    "public.short": lambda c: c.choice(["a", "a ", "", "ab"]),
    "public.pair": lambda c: f'({c.randrange(9)},"{c.choice(["", "x", "a b"])}")',
    "public.citext": lambda c: c.choice(["a", "A", "aA", "Aa"]),
}
SETUP = """
CREATE EXTENSION IF NOT EXISTS citext SCHEMA public;
CREATE TYPE public.mood AS ENUM ('sad', 'ok', 'OK', 'a,b', '(x)');
CREATE DOMAIN public.short AS varchar(5); CREATE TYPE public.pair AS (a int, b text);
"""


@pytest.fixture(scope="module")
def benches(make_session_server: Callable[..., Server]) -> Iterator[dict[int, Bench]]:
    found = {major: bench(make_session_server(major)) for major in (15, 16, 17, 18)}
    for one in found.values():
        one.server.execute(SETUP)
    yield found
    for one in found.values():
        one.session.close()


def methods(one: Bench, table: str = "t") -> list[Method]:
    return [method for method in Method if method is not Method.BINARY or portable(one.relation(table))]


def all_of(one: Bench) -> dict[Method, Fingerprint]:
    return {method: one.take("t", method=method) for method in methods(one)}


def fill(one: Bench, types: list[str], rows: list[tuple[object, ...]]) -> None:
    columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(types))
    one.session.execute(f"DROP TABLE IF EXISTS public.t; CREATE TABLE public.t ({columns})")
    for row in rows:
        one.session.execute(f"INSERT INTO public.t VALUES ({', '.join(['%s'] * len(types))})", row)


def written(one: Bench) -> list[tuple[str, ...]]:
    """The rows as text, for a judgement without any hash."""
    shown = ", ".join(f"quote_nullable({column.name}::text)" for column in one.relation("t").columns)
    return sorted(one.session.query(f"SELECT {shown} FROM public.t"))


@pytest.mark.parametrize("seed", range(12))
def test_a_random_change_of_random_rows_of_random_types_is_always_seen(
    benches: dict[int, Bench], seed: int
) -> None:
    chance, one = random.Random(seed), benches[(15, 16, 17, 18)[seed % 4]]
    types = [chance.choice(TEXTS), *chance.sample(sorted(TYPES), chance.randrange(6))]
    rows = [tuple(_value(kind, chance) for kind in types) for _ in range(chance.randrange(1, 9))]
    fill(one, types, rows)
    before, text_before = all_of(one), written(one)
    for _ in range(20):
        place, column = chance.randrange(len(rows)), chance.randrange(len(types))
        changed = list(rows)
        what = chance.choice(["alter", "nearly", "nearly", "copy", "remove", "double", "add"])
        if what in ("alter", "nearly", "copy"):
            value = {
                "alter": _value(types[column], chance),
                "nearly": _nearly(types[column], rows[place][column], chance),
                "copy": rows[chance.randrange(len(rows))][column],
            }[what]
            changed[place] = (*rows[place][:column], value, *rows[place][column + 1 :])
        elif what == "remove":
            del changed[place]
        else:
            changed.append(rows[place] if what == "double" else tuple(_value(kind, chance) for kind in types))
        chance.shuffle(changed)
        fill(one, types, changed)
        for method, found in all_of(one).items():
            assert (found == before[method]) is (written(one) == text_before), (method, types, what)


TEXTS = ("text", "varchar(9)", "character(9)", "name", "public.short", "public.citext")


def _nearly(kind: str, value: object, chance: Chance) -> object:
    """Another value that a careless comparison takes for the same."""
    if kind not in TEXTS or not isinstance(value, str):
        return _value(kind, chance)
    return chance.choice([value.swapcase(), f"{value} ", f" {value}"[:9], value.strip(), value or None])


def _value(kind: str, chance: Chance) -> object:
    return None if chance.random() < 0.1 else TYPES[kind](chance)


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_each_types_values_are_told_apart_and_alike_on_every_major(
    benches: dict[int, Bench], kind: str
) -> None:
    chance = random.Random(kind)
    rows = [(TYPES[kind](chance),) for _ in range(20)]
    found: list[dict[Method, Fingerprint]] = []
    for one in benches.values():
        fill(one, [kind], rows)
        found.append(all_of(one))
    assert all(other == found[0] for other in found)
    one = benches[17]
    values = written(one)
    one.session.execute("DELETE FROM public.t WHERE ctid = '(0,1)'")
    assert all(found[0][method] != now for method, now in all_of(one).items())
    fill(one, [kind], [*rows[1:], (TYPES[kind](chance),)])
    same = written(one) == values
    assert all((found[0][method] == now) is same for method, now in all_of(one).items())


def test_every_built_in_type_that_a_column_may_have_is_compared_across_majors(
    benches: dict[int, Bench],
) -> None:
    """The table of `every_type` and the rest here are all there are, but for what no column has."""
    rest = (
        "SELECT '[1,5)'::int8range AS a, '[1.0,5)'::numrange AS b, '[2026-01-01,)'::tsrange AS c,"
        " '[2026-01-01,)'::tstzrange AS d, '{[1,5)}'::int8multirange AS e, '{[1.0,5)}'::nummultirange AS f,"
        " '{[2026-01-01,)}'::tsmultirange AS g, '{[2026-01-01,)}'::tstzmultirange AS h,"
        "'{[2026-01-01,)}'::datemultirange AS i, '(1,2)'::tid AS j, '7'::xid AS k, '7'::xid8 AS l,"
        " '7'::cid AS m, 'pi'::regproc AS n, 'now()'::regprocedure AS o, '+(int4,int4)'::regoperator AS p,"
        " 'pg_catalog'::regnamespace AS q, 'english'::regconfig AS r, 'simple'::regdictionary AS s,"
        " '\"C\"'::regcollation AS t, '10:20:10,14'::pg_snapshot AS u, '10:20:'::txid_snapshot AS v,"
        " '1 2'::int2vector AS w, '1 2'::oidvector AS x, '$'::refcursor AS y, '-'::regrole AS z,"
        " '||/'::regoper AS aa"
    )
    for rows in (every_type(), rest):
        found = []
        for one in benches.values():
            one.of(rows)
            found.append(all_of(one))
        assert all(other == found[0] for other in found)
    one = benches[17]
    one.server.execute(f"CREATE TABLE public.all_types AS SELECT * FROM ({every_type()}) a, ({rest}) b")
    missing = one.server.execute(
        "SELECT typname::text FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace"
        " AND typtype IN ('b', 'r', 'm') AND typcategory <> 'A' AND typname !~ '^pg_(n|dep|mcv|brin|node)'"
        " AND oid NOT IN (SELECT atttypid FROM pg_attribute WHERE attrelid = 'public.all_types'::regclass)"
        " AND typname NOT IN ('aclitem', 'gtsvector') ORDER BY 1"
    )
    assert missing == []


ALIKE = [
    ("text", "NULL", "''"),
    ("text", "'x'", "'x '"),
    ("float8", "'-0'", "'0'"),
    ("numeric", "1.0", "1.00"),
    ("jsonb", """'{"a": 1.0}'""", """'{"a": 1.00}'"""),
    ("json", """'{"a":1}'""", """'{"a": 1}'"""),
    ("interval", "'1 month'", "'30 days'"),
    ("timetz", "'12:00+01'", "'13:00+02'"),
    ("text[]", "'{NULL}'", """'{"NULL"}'"""),
    ("citext", "'a'", "'A'"),
    ("char(3)", "'a'", "'b'"),
]


@pytest.mark.parametrize(("kind", "first", "second"), ALIKE)
def test_what_looks_alike_differs_by_every_method(
    benches: dict[int, Bench], kind: str, first: str, second: str
) -> None:
    one, found = benches[18], []
    for value in (first, second):
        one.session.execute(
            f"SET search_path = pg_catalog, public; DROP TABLE IF EXISTS public.t; "
            f"CREATE TABLE public.t (a {kind}); INSERT INTO public.t VALUES ({value})"
        )
        one.session.execute("SET search_path = pg_catalog")
        found.append(all_of(one))
    assert all(found[0][method] != found[1][method] for method in methods(one))
