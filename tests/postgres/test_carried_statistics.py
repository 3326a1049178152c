"""Statistics carried over between real servers: as the primary has them, or taken anew where it has none."""

# ruff: noqa: E501 -- SQL as it is written

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import pytest

from supaneon_sync.errors import PrimaryError
from supaneon_sync.postgres.carried_statistics import Carrier
from supaneon_sync.postgres.failures import Side
from supaneon_sync.postgres.session import Session
from supaneon_sync.sandbox.server import Server
from tests.postgres.test_copying import Two, opened
from tests.postgres.test_fingerprint import every_type

TABLES = """
CREATE TYPE public.mood AS ENUM ('so''so', 'gr\\at "day"', 'a,b {c}');
CREATE DOMAIN public.short AS varchar(40);
CREATE TABLE public.words (id int PRIMARY KEY, word text, mood public.mood, tags text[], said public.short,
  "Odd ""own"" name" numeric, doc tsvector, plain json);
INSERT INTO public.words SELECT g, CASE WHEN g % 3 > 0 THEN 'common''s \\ "w"' ELSE md5(g::text) END,
  (enum_range(NULL::public.mood))[1 + g % 3], ARRAY['t' || g % 7, 'it''s', NULL], 'x' || g % 4,
  CASE WHEN g % 5 > 0 THEN g / 7.0 END, to_tsvector('simple', 'w' || g % 11 || ' v' || g % 3), '{}' FROM generate_series(1, 900) g;
CREATE TABLE public.other (id int, word text); INSERT INTO public.other SELECT g, 'o' || g % 5 FROM generate_series(1, 100) g;
"""
TAKEN = "SET default_statistics_target = 7; ANALYZE; SET default_statistics_target = 100"
"""As the primary has them: no ANALYZE on the mirror would give the like."""


@pytest.fixture(scope="module", params=[(15, 18), (17, 18), (18, 18)])
def two(request: pytest.FixtureRequest, make_session_server: Callable[..., object]) -> Iterator[Two]:
    found = Two(*(make_session_server(major) for major in request.param))  # type: ignore[arg-type]
    yield found
    found.source.stop("immediate")
    found.target.stop("immediate")


@pytest.fixture(autouse=True)
def filled(two: Two) -> None:
    two.both("DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public")
    two.both(TABLES)
    two.source.execute(TAKEN)


SHOWN = """
SELECT attname::text, null_frac, avg_width, n_distinct, most_common_vals::text, most_common_freqs, histogram_bounds::text,
  correlation, most_common_elems::text, most_common_elem_freqs, elem_count_histogram {ranges}
FROM pg_stats WHERE schemaname = 'public' AND tablename = '{table}' ORDER BY 1
"""
RANGES = ", range_length_histogram::text, range_empty_frac, range_bounds_histogram::text"


def major(server: Server) -> int:
    return int(server.execute("SHOW server_version_num")[0][0]) // 10_000


def known(two: Two, table: str) -> list[dict[str, tuple[object, ...]]]:
    """What both servers show that they know of a table, by column."""
    asked = SHOWN.format(table=table, ranges=RANGES if major(two.source) >= 17 else "")
    return [{row[0]: tuple(row[1:]) for row in one.execute(asked)} for one in (two.source, two.target)]


def analyse(
    two: Two, *names: str, primary: Callable[[], AbstractContextManager[Session]] | None = None
) -> tuple[bool, Carrier]:
    carrier = Carrier(primary or partial(opened, two.source, Side.PRIMARY))
    with two.reader() as (_, tables), opened(two.target, Side.NEON) as target:
        return carrier.analyse(target, [tables[name] for name in names], "public"), carrier


def bounds(two: Two, table: str, column: str) -> int:
    """How many bounds the mirror's histogram of a column has: 8 if carried over, up to 101 if taken anew."""
    rows = two.target.execute(
        "SELECT array_length(histogram_bounds::text::text[], 1) FROM pg_stats"
        f" WHERE schemaname = 'public' AND tablename = '{table}' AND attname = '{column}'"
    )
    return int(rows[0][0])


def test_the_mirror_knows_what_the_primary_knows(two: Two) -> None:
    assert analyse(two, "words", "other")[0]
    for table, columns in (("words", 8), ("other", 2)):
        source, target = known(two, table)
        assert target == source
        assert len(source) == columns
    words = known(two, "words")[1]
    assert words["tags"][7] == "{it's,t0,t1,t2,t3,t4,t5,t6}"
    assert words['Odd "own" name'][5] is not None
    assert words["mood"][3] == r"""{so'so,"gr\\at \"day\"","a,b {c}"}"""


def test_what_is_known_of_ranges_comes_along_or_is_found_out(two: Two) -> None:
    two.both(
        "CREATE TABLE public.spans AS SELECT int4range(g, g + g % 9) AS span FROM generate_series(1, 900) g"
    )
    two.source.execute(TAKEN)
    assert analyse(two, "spans")[0]
    lengths = (
        "SELECT array_length(range_length_histogram::text::text[], 1) FROM pg_stats WHERE tablename = 'spans'"
    )
    assert two.target.execute(lengths) == [(8 if major(two.source) >= 17 else 101,)]


def test_every_built_in_type_can_be_carried(two: Two) -> None:
    two.both(f"CREATE TABLE public.every AS SELECT e.* FROM ({every_type()}) e, generate_series(1, 40)")
    ranges = two.source.execute(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = 'public.every'::regclass AND atttypid IN"
        " (SELECT oid FROM pg_type WHERE typtype IN ('r', 'm'))"
    )
    if major(two.source) < 17:
        two.both("".join(f"ALTER TABLE public.every DROP {name};" for (name,) in ranges))
    two.source.execute(TAKEN)
    assert analyse(two, "every")[0]
    source, target = known(two, "every")
    assert target == source
    assert len(source) > 30


def test_a_table_that_the_primary_never_analysed_is_analysed(two: Two) -> None:
    two.both("CREATE TABLE public.fresh AS SELECT g AS id FROM generate_series(1, 1000) g")
    assert analyse(two, "words", "fresh")[0]
    assert (bounds(two, "fresh", "id"), bounds(two, "words", "id")) == (101, 8)


def test_a_table_of_which_a_column_is_unknown_is_analysed_whole(two: Two) -> None:
    two.both("ALTER TABLE public.words ADD late int DEFAULT 3")
    assert analyse(two, "words")[0]
    assert bounds(two, "words", "id") == 101
    assert known(two, "words")[1]["late"][3] == "{3}"


def test_a_table_that_has_changed_much_is_analysed(two: Two) -> None:
    two.both("UPDATE public.words SET word = 'new' WHERE id % 5 = 0")
    two.source.execute("SELECT pg_stat_force_next_flush()")
    assert analyse(two, "words", "other")[0]
    assert bounds(two, "words", "id") == 101


def test_where_the_primary_cannot_be_asked_all_is_analysed_and_it_is_asked_once(two: Two) -> None:
    asked: list[int] = []

    @contextmanager
    def nobody() -> Iterator[Session]:
        asked.append(1)
        raise PrimaryError("sorry, too many clients already")
        yield

    done, carrier = analyse(two, "words", primary=nobody)
    assert done
    assert bounds(two, "words", "id") == 101
    with two.reader() as (_, tables), opened(two.target, Side.NEON) as target:
        assert carrier.analyse(target, [tables["other"]], "public")
    assert len(asked) == 1


def test_what_the_mirror_does_not_take_is_analysed(two: Two) -> None:
    two.target.execute("ALTER TABLE public.words DROP word")
    assert analyse(two, "words", "other")[0]
    assert bounds(two, "words", "id") == 101
    two.target.execute("ALTER TABLE public.other ALTER word TYPE int USING 7")
    assert analyse(two, "other")[0]
    assert known(two, "other")[1]["word"][3] == "{7}"
