"""One change, one backup: the backup is the primary, and the report says which tables moved, and how far."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from supaneon_sync.neon_client import NeonClient
from supaneon_sync.policy import names
from supaneon_sync.report.outcome import Outcome
from supaneon_sync.sandbox import cluster_copy, service
from supaneon_sync.sandbox.server import Binaries
from supaneon_sync.sandbox.testing import Sandbox
from supaneon_sync.secret import Secret
from tests.operations.nights import steps
from tests.operations.nights.moved import TOLD, moved, strategy
from tests.operations.nights.steps import Step
from tests.operations.nights.town import Town, in_memory
from tests.tool import Watching, at

RELOADED = frozenset(("rewritten", "new"))
WRITTEN = frozenset(("rows changed", "rewritten"))
"""A small table may be written anew where that costs less than finding its changed rows."""
Expected = Mapping[str, Collection[str]]
LARGE = "town.by_integer"


@pytest.fixture(scope="module")
def built() -> Iterator[Town]:
    with Sandbox(in_memory(), primary="empty") as sandbox:
        town = Town(sandbox)
        town.found()
        yield town


@pytest.fixture
def town(built: Town) -> Town:
    """The town that the tests share: whatever the one before did to it, a backup has seen it since."""
    if not built.settled:
        backed_up(built)
    return built


@pytest.fixture
def own_town() -> Iterator[Town]:
    """A town for one test, already backed up."""
    with Sandbox(in_memory(), primary="empty") as sandbox:
        town = Town(sandbox)
        town.found()
        backed_up(town)
        yield town


def backed_up(town: Town, progress: Watching | None = None, **flags: Any) -> Outcome:
    """Back the town up and demand that the backup is the primary."""
    town.settled = False
    outcome = town.backup(progress, **(flags if TOLD else {}))
    town.prove(outcome.outputs["branch-name"])
    town.forget(keep=outcome.outputs["branch-name"])
    town.settled = True
    return outcome


def after(town: Town, change: str, **flags: Any) -> Outcome:
    """Make a change on the primary and back it up."""
    town.settled = False
    with town.citizen() as session, session.cursor() as cursor:
        cursor.execute(f"BEGIN; {change}")
        cursor.execute("COMMIT")
    return backed_up(town, **flags)


def assert_moved(outcome: Outcome, expected: Expected) -> None:
    """Demand that these tables came out in one of the states given, and that no other table moved."""
    if not TOLD:
        return
    assert strategy(outcome) == "delta"
    found = moved(outcome)
    others = {table: one.state for table, one in found.items() if table not in expected}
    assert {table: state for table, state in others.items() if state != "unchanged"} == {}
    for table, states in expected.items():
        assert found[table].state in states, table


def assert_rows(outcome: Outcome, added: int, changed: int, removed: int, table: str = LARGE) -> None:
    """Demand that only these rows of a large table moved, and no other table's."""
    assert_moved(outcome, {table: {"rows changed"}})
    if TOLD:
        one = moved(outcome)[table]
        assert (one.added, one.changed, one.removed) == (added, changed, removed)
        assert one.bytes < 100_000


@pytest.mark.parametrize("leaf", steps.read("leaves.sql"), ids=attrgetter("title"))
def test_what_holds_no_rows_comes_and_goes_without_moving_any(town: Town, leaf: Step) -> None:
    assert_moved(after(town, leaf.text), {})


ANEW_OR_NOT = frozenset(("unchanged", *RELOADED))
ALONE: Mapping[str, tuple[str, Expected]] = {
    "new table": (
        """
        CREATE TABLE town.fresh_table (id integer PRIMARY KEY, family bigint REFERENCES town.families);
        INSERT INTO town.fresh_table SELECT i, i FROM generate_series(1, 10) i
        """,
        {"town.fresh_table": {"new"}},
    ),
    "new column": ("ALTER TABLE town.by_text ADD COLUMN fresh integer DEFAULT 3", {"town.by_text": RELOADED}),
    "new column of a table that others refer to": (
        "ALTER TABLE town.families ADD COLUMN fresh text",
        {"town.families": RELOADED},
    ),
    "new default": (
        "ALTER TABLE town.by_text ALTER COLUMN n SET DEFAULT 7",
        {"town.by_text": ANEW_OR_NOT},
    ),
    "dropped column": ("ALTER TABLE town.letters DROP COLUMN extra", {"town.letters": RELOADED}),
    "renamed column": ("ALTER TABLE town.by_pair RENAME COLUMN body TO words", {"town.by_pair": RELOADED}),
    "changed type": ("ALTER TABLE town.by_uuid ALTER COLUMN n TYPE bigint", {"town.by_uuid": RELOADED}),
    "changed type of a key": (
        "ALTER TABLE town.by_huge ALTER COLUMN id TYPE numeric",
        {"town.by_huge": RELOADED},
    ),
    "dropped table": ("DROP TABLE town.unlogged", {}),
    "renamed table": ("ALTER TABLE town.lenient RENAME TO strict", {"town.strict": RELOADED}),
    "new partition": (
        """
        CREATE TABLE town.events_z PARTITION OF town.events FOR VALUES IN ('z');
        INSERT INTO town.events VALUES (1, 'z', '2026-01-01', NULL, 'first')
        """,
        {"town.events_z": {"new"}},
    ),
    "changed partitioning": (
        """
        CREATE TABLE town.pieces_2 (id integer, v text);
        INSERT INTO town.pieces_2 SELECT * FROM town.pieces;
        DROP TABLE town.pieces;
        CREATE TABLE town.pieces (id integer, v text) PARTITION BY RANGE (id);
        ALTER TABLE town.pieces ATTACH PARTITION town.pieces_2 DEFAULT
        """,
        {"town.pieces_2": RELOADED},
    ),
    "changed bound": (
        """
        CREATE TABLE IF NOT EXISTS town.events_z PARTITION OF town.events FOR VALUES IN ('z');
        DELETE FROM town.event_notes WHERE kind = 'b';
        ALTER TABLE town.events DETACH PARTITION town.events_b;
        ALTER TABLE town.events ATTACH PARTITION town.events_b FOR VALUES IN ('b', 'y')
        """,
        {"town.event_notes": WRITTEN}
        | {f"town.events_{part}": ANEW_OR_NOT for part in ("a1", "a2", "b", "rest", "z")},
    ),
    "changed function that an index uses": (
        """
        CREATE OR REPLACE FUNCTION town.plain(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1)';
        REINDEX TABLE town.people
        """,
        {"town.people": ANEW_OR_NOT},
    ),
    "changed expression of a generated column": (
        """
        ALTER TABLE town.people DROP COLUMN label;
        ALTER TABLE town.people ADD COLUMN label text GENERATED ALWAYS AS (name || '!') STORED
        """,
        {"town.people": RELOADED},
    ),
}


@pytest.mark.parametrize("what", ALONE)
def test_a_table_whose_shape_changed_is_loaded_anew_and_no_other(town: Town, what: str) -> None:
    change, expected = ALONE[what]
    assert_moved(after(town, change), expected)


def test_a_dropped_table_is_gone_from_the_mirror(town: Town) -> None:
    assert_moved(after(town, "DROP TABLE town.measures"), {})
    assert town.sandbox.execute(names.MIRROR, "SELECT to_regclass('town.measures')") == [(None,)]


def test_nothing_changed_moves_nothing(town: Town) -> None:
    outcome = backed_up(town)
    assert_moved(outcome, {})
    if TOLD:
        assert sum(one.bytes for one in moved(outcome).values()) < 200_000


def test_a_changed_row_moves_alone(town: Town) -> None:
    assert_rows(after(town, "UPDATE town.by_integer SET n = -n - 1 WHERE id = 4711"), 0, 1, 0)


def test_rows_that_come_and_go_move_alone(town: Town) -> None:
    change = """
        DELETE FROM town.by_integer WHERE id BETWEEN 300 AND 309;
        INSERT INTO town.by_integer SELECT 900000 + i, i, 'new' FROM generate_series(1, 20) i;
        UPDATE town.by_integer SET body = 'changed' WHERE id % 500 = 7
    """
    assert_rows(after(town, change), 20, 12, 10)


def test_the_value_of_a_key_changes_as_a_row_that_goes_and_one_that_comes(town: Town) -> None:
    assert_rows(after(town, "UPDATE town.by_integer SET id = 800001 WHERE id = 100"), 1, 0, 1)


AGAIN = {
    "empty": """
        ALTER TABLE town.by_integer DROP COLUMN seen;
        ALTER TABLE town.by_integer ADD COLUMN seen timestamptz
        """,
    "with a value of its own": """
        ALTER TABLE town.by_integer DROP COLUMN seen;
        ALTER TABLE town.by_integer ADD COLUMN seen timestamptz DEFAULT '2026-02-02 00:00+00';
        ALTER TABLE town.by_integer ALTER COLUMN seen DROP DEFAULT
        """,
}


@pytest.mark.parametrize("how", AGAIN)
def test_a_column_that_was_dropped_and_made_again_is_not_taken_for_the_old_one(
    own_town: Town, how: str
) -> None:
    """Its rows are no newer than they were, and the table is written as before: other values all the same."""
    backed_up(own_town)
    outcome = after(own_town, AGAIN[how])
    assert moved(outcome)["town.by_integer"].state == "rewritten"


SHOWN = {
    "a composite's attribute": (
        """
        CREATE TYPE town.couple AS (a int, b text);
        CREATE TABLE town.couples (id int PRIMARY KEY, both_of town.couple);
        INSERT INTO town.couples SELECT i, (i, 'b' || i)::town.couple FROM generate_series(1, 9) i
        """,
        "ALTER TYPE town.couple DROP ATTRIBUTE b; ALTER TYPE town.couple ADD ATTRIBUTE b text",
    ),
    "a table's name": (
        """
        CREATE TABLE town.blue (id int PRIMARY KEY); CREATE TABLE town.green (id int PRIMARY KEY);
        CREATE TABLE town.colours (id int PRIMARY KEY, which regclass);
        INSERT INTO town.colours VALUES (1, 'town.blue'), (2, 'town.green')
        """,
        """
        ALTER TABLE town.blue RENAME TO grey; ALTER TABLE town.green RENAME TO blue;
        ALTER TABLE town.grey RENAME TO green
        """,
    ),
}


@pytest.mark.parametrize("what", SHOWN)
def test_values_that_only_the_catalogs_changed_are_not_taken_for_old_ones(own_town: Town, what: str) -> None:
    """No row is newer and no definition another one: the rows show other values all the same."""
    before, change = SHOWN[what]
    after(own_town, before)
    after(own_town, change)


def test_a_run_that_was_ended_before_its_views_leaves_none_stale(own_town: Town) -> None:
    def end() -> None:
        raise KeyboardInterrupt

    after(
        own_town,
        "CREATE TABLE town.sales (id int PRIMARY KEY, n int); INSERT INTO town.sales VALUES (1, 1);"
        "CREATE MATERIALIZED VIEW town.sold AS SELECT sum(n) AS n FROM town.sales",
    )
    with own_town.citizen() as session, session.cursor() as cursor:
        cursor.execute("UPDATE town.sales SET n = 2")
        cursor.execute("REFRESH MATERIALIZED VIEW town.sold")
    with pytest.raises(KeyboardInterrupt):
        own_town.backup(at("Make constraints", end))
    outcome = backed_up(own_town)
    assert any("did not end" in note for note in outcome.notes)


def test_keys_that_change_places_are_rows_that_change(town: Town) -> None:
    change = """
        UPDATE town.by_integer SET id = -id WHERE id IN (201, 202);
        UPDATE town.by_integer SET id = 403 + id WHERE id IN (-201, -202)
    """
    assert_rows(after(town, change), 0, 2, 0)


def test_a_row_of_a_uuid_key_moves_alone(town: Town) -> None:
    change = "UPDATE town.by_uuid SET body = '{\"a\": 1.00}' WHERE n IN (5, 6, 7)"
    assert_rows(after(town, change), 0, 3, 0, "town.by_uuid")


def test_a_partition_moves_alone(town: Town) -> None:
    outcome = after(town, "UPDATE town.events SET body = 'moved alone' WHERE kind = 'c' AND id < 20")
    assert_moved(outcome, {"town.events_rest": WRITTEN})


def test_values_that_are_swapped_arrive(town: Town) -> None:
    change = """
        UPDATE town.people SET seat = -1 WHERE id = 10; UPDATE town.people SET seat = 10 WHERE id = 11;
        UPDATE town.people SET seat = 11 WHERE id = 10;
        UPDATE town.people SET badge = 2000 - badge WHERE id BETWEEN 30 AND 33
    """
    assert_moved(after(town, change), {"town.people": WRITTEN})


def test_a_parent_that_goes_takes_its_children_along_once(town: Town) -> None:
    """On the mirror ON DELETE must neither undo nor double what the primary's own rows already show."""
    change = """
        DELETE FROM town.families WHERE id = 59;
        INSERT INTO town.families (id, name) VALUES (59, 'New family of an old number');
        INSERT INTO town.people (family, seat, name) SELECT 59, 5000 + i, 'New' FROM generate_series(1, 3) i
    """
    changed = ("families", "people", "pets", "journal", "events_a1", "events_a2", "events_b", "events_rest")
    outcome = after(town, change)
    expected = {f"town.{table}": {"unchanged", *WRITTEN} for table in (*changed, "event_notes")}
    assert_moved(outcome, expected)


def test_triggers_and_rules_of_the_mirror_neither_change_nor_swallow_what_arrives(town: Town) -> None:
    change = """
        ALTER TABLE town.sealed DISABLE TRIGGER nobody_writes;
        UPDATE town.sealed SET v = 'x' WHERE id < 5; DELETE FROM town.sealed WHERE id = 6;
        ALTER TABLE town.sealed ENABLE ALWAYS TRIGGER nobody_writes;
        ALTER TABLE town.ruled DISABLE RULE no_updates, DISABLE RULE no_deletes;
        UPDATE town.ruled SET v = 'x' WHERE id < 5; DELETE FROM town.ruled WHERE id = 6;
        ALTER TABLE town.ruled ENABLE RULE no_updates, ENABLE RULE no_deletes;
        UPDATE town.people SET name = name || '.' WHERE id < 9;
        UPDATE town.families SET note = 'noted' WHERE id < 9
    """
    tables = ("sealed", "ruled", "people", "families", "journal")
    assert_moved(after(town, change), {f"town.{table}": WRITTEN for table in tables})


def test_a_table_without_a_key_that_holds_duplicates_is_right_to_the_row(town: Town) -> None:
    change = """
        DELETE FROM town.heap WHERE ctid = (SELECT ctid FROM town.heap WHERE a = 7 LIMIT 1);
        INSERT INTO town.heap VALUES (NULL, NULL), (7, 'b1'), (7, 'b1')
    """
    assert_moved(after(town, change), {"town.heap": WRITTEN})


KEYS = {
    "numeric": """UPDATE town."key numeric" SET id = 1.00 WHERE id = 1;
        UPDATE town."key numeric" SET v = 'not a number' WHERE id = 'NaN'""",
    "float8": """UPDATE town."key float8" SET id = '-0' WHERE id = 0;
        UPDATE town."key float8" SET v = 'not a number' WHERE id = 'NaN'""",
    "extensions.citext": """UPDATE town."key extensions.citext" SET id = 'ALICE' WHERE id = 'alice'""",
    "jsonb": """UPDATE town."key jsonb" SET id = '{"a": 1.00}' WHERE id = '{"a": 1}'""",
    "interval": """UPDATE town."key interval" SET id = '30 days' WHERE id = '1 month'""",
    "timestamptz": """UPDATE town."key timestamptz" SET v = 'never' WHERE id = 'infinity'""",
    "bytea": r"""UPDATE town."key bytea" SET id = '\x0000' WHERE id = '\x00'""",
}


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_that_is_equal_and_written_otherwise_arrives_as_it_is_written(town: Town, kind: str) -> None:
    assert_moved(after(town, KEYS[kind]), {f"town.key {kind}": WRITTEN})


MEDDLING = {
    "rows changed": "UPDATE town.by_integer SET n = 1 WHERE id % 1000 = 1",
    "row added": "INSERT INTO town.by_integer VALUES (-777, 1, 'strange')",
    "row deleted": "DELETE FROM town.by_integer WHERE id = 2000",
}


@pytest.mark.parametrize("what", MEDDLING)
def test_rows_of_the_mirror_that_were_altered_by_hand_are_put_right(town: Town, what: str) -> None:
    town.sandbox.execute(names.MIRROR, MEDDLING[what])
    outcome = backed_up(town)
    assert_moved(outcome, {LARGE: {"rows changed"}})


@pytest.mark.parametrize("damage", steps.read("damage.sql"), ids=attrgetter("title"))
def test_a_mirror_whose_schema_was_altered_by_hand_is_put_right_and_that_is_said(
    town: Town, damage: Step
) -> None:
    town.sandbox.execute(names.MIRROR, damage.text)
    progress = Watching()
    outcome = backed_up(town, progress)
    if TOLD:
        said = [*outcome.notes, *progress.warnings]
        assert any("mirror" in note.lower() for note in said), said


def client(town: Town) -> NeonClient:
    return NeonClient(Secret(town.sandbox.key), api_host=town.sandbox.api_host)


def test_a_mirror_that_was_renamed_is_made_anew(own_town: Town) -> None:
    project = own_town.sandbox.environment["NEON_PROJECT_ID"]
    with client(own_town) as neon:
        neon.rename_branch(project, own_town.sandbox.branch(names.MIRROR).id, "somebody-elses")
    outcome = backed_up(own_town)
    if TOLD:
        assert strategy(outcome) == "rebuild"
        assert {one.state for one in moved(outcome).values()} <= RELOADED


def test_a_mirror_that_was_deleted_is_made_anew(own_town: Town) -> None:
    project = own_town.sandbox.environment["NEON_PROJECT_ID"]
    own_town.forget(keep="")
    with client(own_town) as neon:
        neon.delete_branch(project, own_town.sandbox.branch(names.MIRROR).id)
    outcome = backed_up(own_town)
    if TOLD:
        assert strategy(outcome) == "rebuild"


def test_a_primary_that_was_restored_to_an_older_state_is_followed_back(
    own_town: Town, server_directory: Path
) -> None:
    primary, kept = own_town.primary, server_directory / "kept"
    primary.stop()
    cluster_copy.copy_stopped(primary.data, kept)
    primary.start()
    after(
        own_town,
        "UPDATE town.by_integer SET n = 0 WHERE id % 100 = 0; DROP TABLE town.houses CASCADE;"
        " ALTER TABLE town.by_text ADD COLUMN later integer; SELECT setval('town.ticket', 900000)",
    )
    primary.stop()
    shutil.rmtree(primary.data)
    cluster_copy.copy_stopped(kept, primary.data)
    primary.start()
    outcome = backed_up(own_town)
    reloaded = {"town.houses": RELOADED, "town.rooms": {"unchanged", *RELOADED}, "town.by_text": RELOADED}
    assert_moved(outcome, {LARGE: WRITTEN, **reloaded})


@pytest.mark.parametrize("later", [1, 2, 3])
def test_a_table_that_is_truncated_in_mid_run_leaves_no_half_of_it(town: Town, later: int) -> None:
    """As the primary was before or after, not in between: readers of the old snapshot then see no rows."""
    with town.citizen() as session, session.cursor() as cursor:
        cursor.execute("UPDATE town.by_pair SET region = region || '!'; UPDATE town.heap SET a = a + 1")
    town.settled = False
    before = town.portrait()
    since_the_snapshot: list[str] = []

    def truncate(title: str) -> None:
        if since_the_snapshot or title.startswith("Take a snapshot"):
            since_the_snapshot.append(title)
        if len(since_the_snapshot) == later + 1:
            town.primary.execute("TRUNCATE town.by_pair, town.heap", "postgres")

    outcome = town.backup(Watching(hook=truncate))
    assert len(since_the_snapshot) > later
    likeness = replace(town.likeness, still=False)
    found = town.portrait_of(outcome.outputs["branch-name"])
    assert [] in [likeness.differences(one, found) for one in (before, town.portrait())]
    backed_up(town)


@pytest.mark.parametrize("chosen", ["auto", "delta", "rebuild"])
def test_the_strategy_asked_for_is_the_one_used(town: Town, chosen: str) -> None:
    outcome = after(town, f"UPDATE town.by_integer SET body = '{chosen}' WHERE id = 3000", strategy=chosen)
    if chosen == "rebuild" and TOLD:
        assert strategy(outcome) == "rebuild"
        assert {one.state for one in moved(outcome).values()} <= RELOADED
    else:
        assert_rows(outcome, 0, 1, 0)


@pytest.mark.parametrize(("every", "used"), [("1s", "rebuild"), ("30d", "delta")])
def test_after_so_long_a_mirror_is_made_anew_all_the_same(town: Town, every: str, used: str) -> None:
    outcome = backed_up(town, rebuild_every=every)
    if TOLD:
        assert strategy(outcome) == used


def hashed(outcome: Outcome) -> dict[str, str]:
    """When every row of a table was hashed on the mirror, by the table."""
    manifest: Mapping[str, Any] = outcome.report["manifest"]  # type: ignore[assignment]
    return {f"{one['schema']}.{one['name']}": one["hashed_at"] for one in manifest["tables"]}


def test_rows_that_nobody_touched_rest_on_the_proof_before_and_others_do_not(town: Town) -> None:
    first = hashed(backed_up(town, prove_every="0s"))
    assert len(set(first.values())) == 1
    town.sandbox.execute(names.MIRROR, "UPDATE town.by_integer SET n = n WHERE id = 3001")
    outcome = backed_up(town)
    assert_moved(outcome, {})
    second = hashed(outcome)
    rested = {table for table in second if second[table] == first[table]}
    assert "town.by_text" in rested
    assert LARGE not in rested
    told = dict(outcome.facts)["Rows hashed on the mirror"]
    assert told.startswith(f"all of {len(second) - len(rested)} tables; of {len(rested)} tables the new ones")
    outcome = after(town, "UPDATE town.by_integer SET body = 'at rest' WHERE id = 3001")
    assert_rows(outcome, 0, 1, 0)
    assert hashed(outcome)[LARGE] == second[LARGE]
    whole = backed_up(town, prove_every="0s")
    assert dict(whole.facts)["Rows hashed on the mirror"] == "all"
    assert not set(hashed(whole).values()) & set(first.values())


@pytest.fixture
def icu_town(monkeypatch: pytest.MonkeyPatch) -> Iterator[Town]:
    """A town on servers that have ICU, which the wheels lack: Debian's."""
    place = Path("/usr/lib/postgresql/15/bin")
    monkeypatch.setattr(service, "find_or_fetch", lambda major: Binaries(15, place, None))
    with Sandbox(in_memory(), primary="empty", primary_major=15, major=15) as sandbox:
        town = Town(sandbox)
        town.found()
        yield town


def test_keys_of_an_icu_collation_arrive_in_the_case_that_they_have(icu_town: Town) -> None:
    after(
        icu_town,
        """
        CREATE COLLATION town.blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        CREATE TABLE town.sorted (id text COLLATE "de-x-icu" PRIMARY KEY, v integer);
        CREATE TABLE town.blindly (id text COLLATE town.blind PRIMARY KEY, v integer);
        INSERT INTO town.sorted SELECT chr(192 + i % 60) || i, i FROM generate_series(1, 3000) i;
        INSERT INTO town.blindly SELECT 'straße ' || i, i FROM generate_series(1, 3000) i
        """,
    )
    outcome = after(
        icu_town,
        """
        UPDATE town.sorted SET v = -v WHERE v % 300 = 5; UPDATE town.sorted SET id = lower(id) WHERE v = 77;
        UPDATE town.blindly SET id = upper(id) WHERE v = 44; UPDATE town.blindly SET v = -v WHERE v % 300 = 6
        """,
    )
    assert_moved(outcome, {"town.sorted": WRITTEN, "town.blindly": WRITTEN})
