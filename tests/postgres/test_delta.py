"""One table brought along between real servers: equal in the end, whatever its key, and little moved."""

# ruff: noqa: E501, ISC004 -- SQL as it is written

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supaneon_sync.policy import grid
from supaneon_sync.policy.baseline import Content, Horizon
from supaneon_sync.policy.divergence import Counts
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres import comparing, delta, history, inventory, keys, quieting, resting
from supaneon_sync.postgres.comparing import Compared, Fate, Known
from supaneon_sync.postgres.delta import Altered, Brought
from supaneon_sync.postgres.failures import Side
from supaneon_sync.postgres.fingerprint import Fingerprint, Seed, Tally, fingerprint, method_for
from supaneon_sync.postgres.resting import Here, Rest
from supaneon_sync.postgres.sending import Reader
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.snapshot import export
from supaneon_sync.sandbox.server import Server
from tests.postgres.test_copying import opened

MakeServer = Callable[..., Server]
SEED = Seed(11, -12)
PAIRS = [(15, 17), (17, 18), (18, 18)]
BLOCKS, VERSIONS = "blocks", "row versions"
ROWS = 3000
NOW = datetime(2026, 11, 27, 3, tzinfo=UTC)


class Two:
    """A primary and a mirror that hold the same table ``t``, and what is known of it."""

    def __init__(self, source: Server, target: Server) -> None:
        self.source = source
        self.target = target
        self.table: Relation
        self.then: Fingerprint
        self.horizon: Horizon
        self.here: Here

    def make(self, *statements: str) -> None:
        """Make the same on both sides, and remember it as proved."""
        for server in (self.source, self.target):
            server.execute("DROP SCHEMA public CASCADE")
            server.execute("CREATE SCHEMA public")
            for statement in statements:
                server.execute(statement)
            server.execute("ANALYZE")
        with self.reading() as (reader, source, target):
            self.here = resting.here(target)
            with source.transaction("ISOLATION LEVEL REPEATABLE READ, READ ONLY"):
                now = history.moment(source).horizon
                self.then = fingerprint(source, self.table, reader.seed, method_for(self.table))
            assert now is not None
            self.horizon = now

    @contextmanager
    def reading(self) -> Iterator[tuple[Reader, Session, Session]]:
        with (
            opened(self.source, Side.PRIMARY) as holder,
            opened(self.source, Side.PRIMARY) as source,
            opened(self.target, Side.NEON) as target,
        ):
            snapshot = export(holder)
            found = inventory.read(holder).relations.values()
            self.table = next(one for one in found if one.label == "public.t")
            yield Reader(snapshot, SEED, timedelta(seconds=5)), source, target

    def bring(self, how: str) -> tuple[Compared, Brought | None]:
        """Bring the mirror's table along, and prove it equal."""
        with self.reading() as (reader, source, target):
            table = self.table
            contents = {}
            if how == VERSIONS:
                then = self.then
                method = then.method.value
                contents = {table: Content(then.rows, then.digest, method, table.file, "", "", NOW)}
            known = Known(keys.read(target, [table]), contents, self.horizon, self.here.horizon)
            (one,) = comparing.compare((source, target), (table,), reader, known)
            took = None
            if one.fate is Fate.DELTA:
                took = delta.bring((source, target), one, known.keys[table], reader, quieting.read(target))
            elif one.fate is Fate.REWRITE:
                took = delta.rewrite((source, target), one, reader, quieting.read(target))
            wanted = one.source if took is None else took.source or one.source
            assert wanted == fingerprint(target, table, SEED, method_for(table))
            if how == VERSIONS and one.fate is not Fate.REWRITE:
                assert wanted == self.rested(target, took)
            self.here = resting.here(target)
        assert self.texts()[0] == self.texts()[1]
        return one, took

    def rested(self, target: Session, took: Brought | None) -> Fingerprint | None:
        """What the mirror's own row versions say that it holds, with nothing read but what is new."""
        kept = Tally.of(self.then) if took is None else took.kept
        place = self.here.places["public", "t"]
        assert kept is not None
        rest = Rest(kept, self.then.method, place, self.here.horizon, NOW)
        assert resting.here(target).bears(self.table, rest)
        return resting.fingerprints(target, {self.table: rest}, SEED).get(self.table)

    def texts(self) -> list[str]:
        """The rows of either side as text: a judge that shares no code with what is judged."""
        found = []
        for server in (self.source, self.target):
            with server.session() as session, session.cursor() as cursor:
                cursor.execute("SET extra_float_digits = 3; SET TimeZone = 'UTC'")
                cursor.execute('SELECT string_agg(t::text, chr(10) ORDER BY t::text COLLATE "C") FROM t')
                found.append(str(cursor.fetchall()[0][0]))
        return found


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def two(request: pytest.FixtureRequest, make_session_server: MakeServer) -> Iterator[Two]:
    source, target = (make_session_server(major) for major in request.param)
    yield Two(source, target)
    source.stop("immediate")
    target.stop("immediate")


KEYS = {
    "small integer": ("smallint", "(g - 1500)::smallint"),
    "integer": ("integer", "g"),
    "huge numbers": (
        "bigint",
        "CASE WHEN g % 2 = 0 THEN 9223372036854775807 - g ELSE -9223372036854775807 + g END",
    ),
    "uuid": ("uuid", "md5(g::text)::uuid"),
    "text": ("text", "'key ' || g || ' \"\\{},'"),
    "numeric": ("numeric", "g / 3.0"),
    "double precision": ("double precision", "g / 7.0"),
    "timestamp": ("timestamptz", "'2026-01-01'::timestamptz + g * interval '1 h'"),
    "bytes": ("bytea", "decode(md5(g::text), 'hex')"),
    "characters": ("char(8)", "'k' || g"),
    "enum": ("public.label", "('l' || g)::public.label"),
}


def table(kind: str, value: str, rows: int = ROWS) -> list[str]:
    enum = ", ".join(f"'l{number}'" for number in range(rows + 200))
    return [
        f"CREATE TYPE public.label AS ENUM ({enum})" if kind == "public.label" else "SELECT",
        f"CREATE TABLE public.t (id {kind} PRIMARY KEY, n int, note text)",
        f"INSERT INTO public.t SELECT {value}, g, repeat(md5(g::text), 5) FROM generate_series(1, {rows}) g",
    ]


@pytest.mark.parametrize("how", [BLOCKS, VERSIONS])
@pytest.mark.parametrize(("kind", "value"), KEYS.values(), ids=KEYS)
def test_rows_are_found_and_brought_whatever_the_key(two: Two, kind: str, value: str, how: str) -> None:
    two.make(*table(kind, value))
    two.source.execute("UPDATE public.t SET note = 'other' WHERE n % 100 = 7")
    two.source.execute("DELETE FROM public.t WHERE n % 200 = 9")
    more = value.replace("g", "(g + 3000)") if kind != "public.label" else "('l' || (g + 3000))::public.label"
    if kind == "bigint":
        more = "g"
    two.source.execute(f"INSERT INTO public.t SELECT {more}, g + 3000, 'new' FROM generate_series(1, 20) g")
    one, took = two.bring(how)
    assert one.fate is Fate.DELTA
    assert took is not None
    assert took.counts == Counts(20, 30, 15)
    whole = ROWS * 180
    assert took.bytes + one.bytes < whole / 4


@pytest.mark.parametrize("how", [BLOCKS, VERSIONS])
def test_an_equal_table_is_left_alone(two: Two, how: str) -> None:
    two.make(*table("bigint", "g"))
    one, took = two.bring(how)
    assert one.fate is Fate.UNCHANGED
    assert took is None
    assert one.proved == (how == BLOCKS)


@pytest.mark.parametrize("how", [BLOCKS, VERSIONS])
@pytest.mark.parametrize(
    ("make", "change"),
    [
        (
            "CREATE TABLE t (a int, b text, v text, PRIMARY KEY (b, a));"
            "INSERT INTO t SELECT g, 'b' || g % 7, 'v' FROM generate_series(1, 3000) g",
            "UPDATE t SET v = 'w' WHERE a < 9; DELETE FROM t WHERE a = 50; UPDATE t SET a = -a WHERE a = 60",
        ),
        (
            "CREATE TABLE t (id int PRIMARY KEY, mail text UNIQUE);"
            "INSERT INTO t SELECT g, 'm' || g FROM generate_series(1, 3000) g",
            "DELETE FROM t WHERE id = 1; UPDATE t SET mail = 'm1' WHERE id = 2;"
            "INSERT INTO t VALUES (5000, 'm2'); UPDATE t SET mail = CASE id WHEN 3 THEN 'x' ELSE mail END;"
            "UPDATE t SET mail = 'm3' WHERE id = 4; UPDATE t SET mail = 'm4' WHERE id = 3",
        ),
        (
            "CREATE TABLE t (id int PRIMARY KEY, during int4range, EXCLUDE USING gist (during WITH &&));"
            "INSERT INTO t SELECT g, int4range(g * 10, g * 10 + 9) FROM generate_series(1, 300) g",
            "UPDATE t SET during = int4range(-9, -1) WHERE id = 1;"
            "UPDATE t SET during = int4range(10, 19) WHERE id = 2",
        ),
        (
            "CREATE TABLE t (id numeric PRIMARY KEY, v text); INSERT INTO t VALUES (1.0, 'a'), ('NaN', 'b'), (2, 'c')",
            "UPDATE t SET id = 1.00 WHERE v = 'a'; UPDATE t SET v = 'bb' WHERE id = 'NaN'; UPDATE t SET id = 3 WHERE id = 2",
        ),
        (
            "CREATE TABLE t (id float8 PRIMARY KEY, v text); INSERT INTO t VALUES (0, 'a'), ('NaN', 'b')",
            "UPDATE t SET id = '-0' WHERE v = 'a'; UPDATE t SET v = 'bb' WHERE v = 'b'",
        ),
        (
            "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v int, w int DEFAULT 7);"
            "INSERT INTO t (v) SELECT g FROM generate_series(1, 3000) g",
            "UPDATE t SET v = 0 WHERE v = 5; DELETE FROM t WHERE v = 6",
        ),
        (
            "CREATE TABLE t (id text COLLATE \"C\" PRIMARY KEY, v int); INSERT INTO t VALUES ('a', 1), ('b', 2)",
            "UPDATE t SET id = 'A' WHERE id = 'a'; UPDATE t SET id = id || ' '",
        ),
    ],
    ids=["composite", "unique", "exclusion", "numeric", "float", "identity", "text"],
)
def test_no_constraint_stands_in_the_way(two: Two, make: str, change: str, how: str) -> None:
    two.make(*make.split(";"))
    for statement in change.split(";"):
        two.source.execute(statement)
    two.bring(how)


@pytest.mark.parametrize("how", [BLOCKS, VERSIONS])
def test_triggers_and_rules_keep_still_and_stay_as_they_were(two: Two, how: str) -> None:
    two.make(
        *table("int", "g"),
        "CREATE TABLE log (what text)",
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO public.log VALUES (TG_NAME); RETURN coalesce(NEW, OLD); END'",
        *(
            f"CREATE TRIGGER {name} BEFORE INSERT OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION note()"
            for name in ("plain", "off", "always", "replica")
        ),
        "ALTER TABLE t DISABLE TRIGGER off, ENABLE ALWAYS TRIGGER always, ENABLE REPLICA TRIGGER replica",
        "CREATE RULE keep AS ON DELETE TO t WHERE old.n = 5 DO INSTEAD NOTHING",
    )
    two.source.execute("ALTER TABLE t DISABLE RULE keep")
    two.source.execute("DELETE FROM t WHERE n = 5")
    two.source.execute("ALTER TABLE t ENABLE RULE keep")
    two.source.execute("UPDATE t SET note = 'x' WHERE n = 6")
    two.bring(how)
    assert two.target.execute("SELECT count(*) FROM log") == [(0,)]
    states = "SELECT string_agg(tgname || tgenabled::text, ' ' ORDER BY tgname) FROM pg_trigger WHERE NOT tgisinternal"
    assert two.target.execute(states) == [("alwaysA offD plainO replicaR",)]
    assert two.target.execute("SELECT ev_enabled FROM pg_rewrite WHERE rulename = 'keep'") == [("O",)]


@pytest.mark.parametrize("how", [BLOCKS, VERSIONS])
def test_checks_that_wait_for_the_end_do_not_hinder_the_triggers_return(two: Two, how: str) -> None:
    two.make(
        "CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent SELECT generate_series(1, 50)",
        "CREATE TABLE t (id int PRIMARY KEY, up int REFERENCES parent DEFERRABLE INITIALLY DEFERRED,"
        " v int, UNIQUE (v) DEFERRABLE INITIALLY DEFERRED)",
        "INSERT INTO t SELECT g, g % 50 + 1, g FROM generate_series(1, 500) g",
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TRIGGER noting BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION note()",
    )
    two.source.execute("UPDATE t SET v = 501 - v WHERE id < 10 OR id > 491")
    _, took = two.bring(how)
    assert took is not None
    assert took.counts == Counts(0, 18, 0)


@pytest.mark.parametrize(
    ("alter", "notice", "counts"),
    [
        ("DELETE FROM t WHERE n < 4", AssertionError, Counts(3, 0, 10)),  # by the proof
        ("UPDATE t SET note = 'x' WHERE n < 4", AssertionError, Counts(0, 3, 10)),
        ("INSERT INTO t VALUES (-1, 0, 'x')", Altered, Counts(0, 0, 11)),
    ],
)
def test_a_mirror_that_was_altered_is_noticed_and_mended_by_blocks(
    two: Two, alter: str, notice: type[BaseException], counts: Counts
) -> None:
    two.make(*table("int", "g"))
    two.target.execute(alter)
    two.source.execute("DELETE FROM t WHERE n > 2990")
    with pytest.raises(notice):
        two.bring(VERSIONS)
    two.target.execute(
        "INSERT INTO t SELECT g, g, repeat(md5(g::text), 5) FROM generate_series(2991, 3000) g ON CONFLICT DO NOTHING"
    )
    _, took = two.bring(BLOCKS)
    assert took is not None
    assert took.counts == counts


@pytest.mark.parametrize("how", [BLOCKS, VERSIONS])
@pytest.mark.parametrize(("kind", "value"), [KEYS["integer"], KEYS["uuid"]], ids=["integer", "uuid"])
def test_a_table_of_which_much_differs_is_copied_whole(two: Two, kind: str, value: str, how: str) -> None:
    two.make(*table(kind, value))
    two.source.execute("UPDATE t SET note = 'x' WHERE n % 5 < 3")
    assert two.bring(how)[0].fate is Fate.REWRITE


@pytest.mark.parametrize("how", [BLOCKS, VERSIONS])
def test_a_table_without_a_key_is_copied_whole_if_it_differs(two: Two, how: str) -> None:
    two.make(
        "CREATE TABLE t (a int, b text)", "INSERT INTO t SELECT g % 3, 'twice' FROM generate_series(1, 900) g"
    )
    assert two.bring(how)[0].fate is Fate.UNCHANGED
    two.source.execute("INSERT INTO t VALUES (1, 'twice')")
    one, _ = two.bring(how)
    assert (one.fate, one.why) == (Fate.REWRITE, "it has no key that tells its rows apart")


def test_a_nullable_or_partial_or_expression_index_is_no_key(two: Two) -> None:
    two.make(
        "CREATE TABLE t (a int UNIQUE, b int NOT NULL, c int NOT NULL)",
        "CREATE UNIQUE INDEX ON t (b) WHERE b > 0",
        "CREATE UNIQUE INDEX ON t ((b + c))",
    )
    with two.reading() as (_, _, target):
        assert keys.read(target, [two.table]) == {}
        target.execute("CREATE UNIQUE INDEX ON public.t (c) INCLUDE (a)")
        assert [c.name for c in keys.read(target, [two.table])[two.table].columns] == ["c"]


def test_blocks_are_sampled_where_they_are_too_coarse_to_tell(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "MOST", 32)
    two.make(*table("uuid", "md5(g::text)::uuid"))
    two.source.execute("UPDATE t SET note = 'x' WHERE n % 20 = 0")
    one, took = two.bring(BLOCKS)
    assert one.fate is Fate.DELTA
    assert took is not None
    assert took.counts == Counts(0, 150, 0)
    two.source.execute("UPDATE t SET note = 'y' WHERE n % 20 < 15")
    assert two.bring(BLOCKS)[0].fate is Fate.REWRITE


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["insert", "update", "delete", "move"]), st.integers(1, 40), st.integers(1, 40)
    ),
    max_size=12,
)


def apply(server: Server, changes: Sequence[tuple[str, int, int]]) -> None:
    for what, one, other in changes:
        server.execute(
            {
                "insert": f"INSERT INTO t VALUES ({one}, {other}) ON CONFLICT DO NOTHING",
                "update": f"UPDATE t SET v = {other} WHERE id = {one}",
                "delete": f"DELETE FROM t WHERE id = {one}",
                "move": f"UPDATE t SET id = {other} WHERE id = {one} AND NOT EXISTS"
                f" (SELECT FROM t WHERE id = {other})",
            }[what]
        )


@given(st.lists(CHANGES, min_size=1, max_size=4), st.booleans())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changes_night_after_night_leave_both_sides_equal(
    two: Two, nights: list[list[tuple[str, int, int]]], by_blocks: bool
) -> None:
    two.make(
        "CREATE TABLE t (id int PRIMARY KEY, v int)",
        "INSERT INTO t SELECT g, g FROM generate_series(1, 20) g",
    )
    for changes in nights:
        apply(two.source, changes)
        with (
            opened(two.source, Side.PRIMARY) as source,
            source.transaction("ISOLATION LEVEL REPEATABLE READ, READ ONLY"),
        ):
            following = history.moment(source).horizon
        one, took = two.bring(BLOCKS if by_blocks else VERSIONS)
        source_now = one.source if took is None else took.source or one.source
        assert source_now is not None
        assert following is not None
        two.then, two.horizon = replace(source_now), following
