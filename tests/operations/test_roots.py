"""What the primary's planner knows of partitioned tables as a whole, the copy's knows too, every night."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from supaneon_sync.errors import DataDiffers
from supaneon_sync.operations import workshop
from supaneon_sync.policy import names
from supaneon_sync.sandbox.testing import Sandbox
from tests.operations.test_statistics import run
from tests.tool import Watching, at, perform

PAIRS = ((15, 17), (18, 18))
TABLES = """
CREATE SCHEMA app;
CREATE SCHEMA other;
CREATE TABLE app.days (day int, half int, word text, kind regclass, PRIMARY KEY (day, half)) PARTITION BY RANGE (day);
CREATE TABLE app.days_1 PARTITION OF app.days FOR VALUES FROM (0) TO (1000);
CREATE TABLE app.days_2 PARTITION OF app.days FOR VALUES FROM (1000) TO (2000);
CREATE TABLE app.days_3 PARTITION OF app.days FOR VALUES FROM (2000) TO (3000) PARTITION BY LIST (half);
CREATE TABLE app.days_3_a PARTITION OF app.days_3 FOR VALUES IN (0);
CREATE TABLE other.days_3_b PARTITION OF app.days_3 FOR VALUES IN (1);
CREATE STATISTICS app.together (dependencies) ON day, half FROM app.days;
INSERT INTO app.days SELECT g, g % 2, 'old' FROM generate_series(0, 2999) g;
CREATE TABLE app.never (id int, word text) PARTITION BY HASH (id);
CREATE TABLE app.never_1 PARTITION OF app.never FOR VALUES WITH (MODULUS 1, REMAINDER 0);
INSERT INTO app.never SELECT g, 'old' FROM generate_series(1, 400) g;
CREATE TABLE app.hollow (id int) PARTITION BY HASH (id);
CREATE TABLE app.picky (id int, part int) PARTITION BY HASH (id);
CREATE TABLE app.picky_1 PARTITION OF app.picky FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE STATISTICS app.parts ON (100 / part), (id % 7) FROM app.picky;
INSERT INTO app.picky SELECT g, g % 9 + 1 FROM generate_series(1, 300) g;
CREATE TABLE app.mixed (id int, word text) PARTITION BY LIST (id);
CREATE TABLE app.near PARTITION OF app.mixed FOR VALUES IN (1);
INSERT INTO app.mixed SELECT 1, 'near' FROM generate_series(1, 200);
ANALYZE app.days;
ANALYZE app.never_1;
ANALYZE app.hollow;
ANALYZE app.picky;
INSERT INTO app.picky VALUES (0, 0)
"""  # noqa: E501 -- SQL as it is written
FAR = """
COPY (SELECT 2, 'far' FROM generate_series(1, 100)) TO '{file}';
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE app.far PARTITION OF app.mixed FOR VALUES IN (2)
  SERVER files OPTIONS (filename '{file}');
ANALYZE app.mixed
"""
WHOLE = """
SELECT c.relname::text, c.reltuples::int, s.most_common_vals::text::text[]
FROM pg_class c LEFT JOIN pg_stats s ON (s.schemaname, s.tablename) = ('app', c.relname)
  AND s.attname = 'word' AND s.inherited
WHERE c.relkind = 'p' AND c.relnamespace = 'app'::regnamespace
"""
COUNTS = """
SELECT relname::text, analyze_count FROM pg_stat_user_tables
WHERE relname IN ('days_1', 'days_2', 'days_3_a', 'days_3_b', 'never_1', 'near')
"""


@pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[0]}-to-{pair[1]}")
def world(request: pytest.FixtureRequest, make_sandbox: Callable[..., Sandbox]) -> Sandbox:
    """A primary with partitioned tables of which most were analysed."""
    source, target = request.param
    sandbox = make_sandbox(primary="empty", primary_major=source, major=target)
    assert sandbox.primary_server is not None
    run(sandbox.primary_server, TABLES + ";" + FAR.format(file=sandbox.primary_server.data / "far.csv"))
    return sandbox


def on_primary(sandbox: Sandbox, statement: str) -> None:
    assert sandbox.primary_server is not None
    sandbox.primary_server.execute(statement)


def whole(sandbox: Sandbox) -> dict[str, tuple[int, list[str] | None]]:
    """What the mirror's planner knows of each partitioned table: its rows, the words that are frequent."""
    found = sandbox.execute(names.MIRROR, WHOLE)
    return {name: (rows, None if words is None else sorted(words)) for name, rows, words in found}


def counts(sandbox: Sandbox) -> dict[str, int]:
    """How often each partition of the mirror was analysed by itself, since its server was started."""
    return dict(sandbox.execute(names.MIRROR, COUNTS))


def notes(report: dict[str, object]) -> list[str]:
    manifest = report["manifest"]
    assert isinstance(manifest, dict)
    return [str(note) for note in manifest["notes"]]


def test_a_first_copy_knows_what_the_primary_knows_and_pays_for_no_partition_twice(world: Sandbox) -> None:
    watching = Watching()
    outcome = perform(world, "backup", progress=watching)
    assert whole(world) == {
        "days": (3000, ["old"]),
        "days_3": (1000, ["old"]),
        "never": (-1, None),
        "hollow": (-1, None),
        "picky": (-1, None),
        "mixed": (200, ["near"]),
    }
    together = "SELECT dependencies FROM pg_stats_ext WHERE statistics_name = 'together' AND inherited"
    assert len(world.execute(names.MIRROR, together)) == 1
    assert set(counts(world).values()) == {1}
    said = [note for note in notes(outcome.report) if "as a whole" in note]
    assert [note.split()[2] for note in said] == ["app.picky"]
    assert watching.steps.count("Analyse partitioned tables as a whole") == 1


def test_later_runs_take_them_anew_when_a_twentieth_of_all_rows_came_or_went(world: Sandbox) -> None:
    on_primary(world, "DELETE FROM app.picky WHERE part = 0")
    perform(world, "backup")
    on_primary(world, "UPDATE app.days SET word = 'new' WHERE day < 100")
    watching = Watching()
    perform(world, "backup", progress=watching)
    assert whole(world)["days"] == (3000, ["old"])
    assert not [step for step in watching.steps if step.startswith("Analyse")]
    before = counts(world)
    on_primary(world, "UPDATE app.days SET word = 'new' WHERE day BETWEEN 100 AND 199; ANALYZE app.never")
    perform(world, "backup")
    assert whole(world)["days"] == (3000, ["new", "old"])
    assert whole(world)["never"] == (400, ["old"])
    still = {"days_2", "days_3_a", "days_3_b", "never_1", "near"}
    assert {name: count for name, count in counts(world).items() if name in still} == {
        name: count for name, count in before.items() if name in still
    }
    on_primary(world, "DROP TABLE app.days_2")
    perform(world, "backup")
    assert whole(world)["days"] == (2000, ["new", "old"])


def test_what_a_killed_run_made_anew_is_analysed_by_the_next_which_finds_it_right(world: Sandbox) -> None:
    def die() -> None:
        raise RuntimeError("killed")

    on_primary(world, "DELETE FROM app.picky WHERE part = 0")
    perform(world, "backup")
    world.execute(names.MIRROR, "ALTER TABLE app.days ADD by_hand int")
    with pytest.raises(RuntimeError):
        perform(world, "backup", progress=at("Analyse partitioned", die))
    assert whole(world)["days"] == (-1, None)
    perform(world, "backup")
    assert whole(world)["days"] == (3000, ["old"])
    with pytest.raises(RuntimeError):
        perform(world, "backup", progress=at("Prove the copy", die))
    watching = Watching()
    perform(world, "backup", progress=watching)
    assert not [step for step in watching.steps if step.startswith("Analyse")]


LOGGING = """
CREATE TABLE app.looks (at timestamptz);
CREATE FUNCTION app.look() RETURNS void VOLATILE LANGUAGE sql AS 'INSERT INTO app.looks VALUES (now())';
CREATE FUNCTION app.seen(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
  'BEGIN PERFORM app.look(); RETURN $1; END';
CREATE TABLE app.watched (id int) PARTITION BY HASH (id);
CREATE TABLE app.watched_1 PARTITION OF app.watched FOR VALUES WITH (MODULUS 1, REMAINDER 0);
INSERT INTO app.watched SELECT generate_series(1, 300);
CREATE STATISTICS app.watching ON (app.seen(id)), (id % 7) FROM app.watched;
ANALYZE app.watched;
TRUNCATE app.looks
"""


def test_one_that_cannot_be_analysed_is_told_every_night(
    world: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workshop, "_PATIENCE", "SET lock_timeout = '1s';")
    on_primary(world, LOGGING)
    for _ in range(2):
        notes = perform(world, "backup").notes
        told = [note.split(" as a whole")[0] for note in notes if "as a whole could not" in note]
        assert sorted(told) == ["Statistics of app.picky", "Statistics of app.watched"]
    assert whole(world)["days"] == (3000, ["old"])


TRAP = """
CREATE FUNCTION app.is_admin() RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE ROLE tenant; GRANT USAGE, CREATE ON SCHEMA app TO tenant;
SET ROLE tenant;
CREATE FUNCTION app.spring() RETURNS void VOLATILE LANGUAGE plpgsql AS $$ BEGIN
  EXECUTE $x$CREATE OR REPLACE FUNCTION app.is_admin() RETURNS boolean LANGUAGE sql AS 'SELECT true'$x$;
EXCEPTION WHEN OTHERS THEN NULL; END $$;
CREATE FUNCTION app.plain(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
  'BEGIN PERFORM app.spring(); RETURN $1; END';
CREATE TABLE app.theirs (id int) PARTITION BY HASH (id);
CREATE TABLE app.theirs_1 PARTITION OF app.theirs FOR VALUES WITH (MODULUS 1, REMAINDER 0);
INSERT INTO app.theirs SELECT generate_series(1, 300);
CREATE STATISTICS app.baited ON (app.plain(id)), (id % 7) FROM app.theirs;
ANALYZE app.theirs;
RESET ROLE
"""


def test_what_a_tables_owner_has_analyse_do_to_the_schema_is_not_published(world: Sandbox) -> None:
    perform(world, "backup")
    on_primary(world, TRAP)
    with pytest.raises(DataDiffers, match="is_admin"):
        perform(world, "backup")


def test_more_tables_than_can_be_held_still_are_analysed_all_the_same(
    world: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workshop, "_MOST_LOCKS", 3)
    perform(world, "backup")
    assert whole(world)["days"] == (3000, ["old"])


def test_of_what_the_scope_leaves_of_a_table_the_whole_is_known(world: Sandbox) -> None:
    perform(world, "backup", include_schemas="app", exclude_table_data="app.mixed")
    found = whole(world)
    assert found["days"] == (2500, ["old"])
    assert found["mixed"] == (-1, None)
