"""What changed since the last backup, as people and machines read it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supaneon_sync.policy.holdings import Counted, Holding
from supaneon_sync.report import changes, terminal
from supaneon_sync.report.changes import SHOWN, Changes, SchemaChange, State, TableChange
from supaneon_sync.report.outcome import Outcome

SINCE = "backup-20260310T020000Z"
NIGHT = (
    TableChange("public.users", State.UNCHANGED, 800, 800),
    TableChange("public.roles", State.UNCHANGED, 5, 5),
    TableChange("public.orders", State.ROWS, 9000, 9298, added=300, changed=45, removed=2, moved=71_234),
    TableChange("public.cache", State.REWRITTEN, 4000, 1000, moved=90_000),
    TableChange("public.invoices", State.NEW, None, 10, moved=900),
    TableChange("public.drafts", State.DROPPED, 10, None),
)
GOLDEN = """\
ok: night

What changed since backup-20260310T020000Z
  table            what          rows before  rows now  added  changed  removed    moved
  public.cache     rewritten            4000      1000      ?        ?        ?  90.0 kB
  public.orders    rows changed         9000      9298    300       45        2  71.2 kB
  public.invoices  new                     -        10     10        0        0    900 B
  public.drafts    dropped                10         -      0        0       10      0 B
  2 tables         unchanged             805       805                               0 B

Schema objects that changed
  what     object
  removed  table public.drafts
  changed  function public.total(integer)
  added    table public.invoices
  added    index public.invoices_at"""


def holding(tables: dict[str, int], objects: dict[str, str] | None = None, dumper: str = "17.5") -> Holding:
    counted = {label: Counted(rows, 1) for label, rows in tables.items()}
    return Holding(SINCE, "s", "c", dumper, counted, frozenset(), objects or {})


def shown(found: Changes) -> str:
    return terminal.render(Outcome("backup", "ok", "night", tables=found.shown()))


def test_the_biggest_movers_come_first_and_what_is_unchanged_takes_one_line() -> None:
    schema = SchemaChange(
        ("table public.invoices", "index public.invoices_at"),
        ("function public.total(integer)",),
        ("table public.drafts",),
    )
    found = Changes(SINCE, NIGHT, schema)
    assert shown(found) == GOLDEN
    assert found.facts == (
        (
            f"Since {SINCE}",
            "4 of 6 tables changed: +310 rows, 45 changed, 12 removed; 1 copied whole: +0 rows, -3000 rows",
        ),
        ("Schema since then", "1 removed, 1 changed, 2 added"),
    )


def test_a_night_without_any_change_says_so() -> None:
    found = Changes(SINCE, NIGHT[:2], SchemaChange())
    assert found.headline == "nothing changed in 2 tables"
    assert found.facts[1] == ("Schema since then", "as it was")
    assert [row[:2] for row in found.shown()[0].rows] == [("2 tables", "unchanged")]


def test_more_than_thirty_are_summed_up_and_the_report_has_them_all() -> None:
    tables = tuple(
        TableChange(f"public.t{n:03}", State.ROWS, 100, 100 + n, added=n, changed=0, removed=0)
        for n in range(1, 51)
    )
    found = Changes(SINCE, tables, SchemaChange(added=tuple(f"index i{n}" for n in range(40))))
    rows, objects = (table.rows for table in found.shown())
    assert len(rows) == len(objects) == SHOWN + 1
    assert rows[0][0] == "public.t050"
    assert rows[-1][:4] == ("and 20 more", "in the report", "2000", "2210")
    assert objects[-1] == ("", "and 10 more, in the report")
    document = json.loads(json.dumps(found.document()))
    assert len(document["tables"]) == 50
    assert len(document["schema"]["added"]) == 40


def test_the_document_counts_what_is_unchanged_and_guesses_nothing() -> None:
    document = Changes(SINCE, NIGHT).document()
    assert document["unchanged_tables"] == 2
    assert document["schema"] is None
    by_name = {one["table"]: one for one in document["tables"]}  # type: ignore[attr-defined]
    assert (by_name["public.cache"]["added"], by_name["public.cache"]["rows_now"]) == (None, 1000)
    assert (by_name["public.invoices"]["added"], by_name["public.drafts"]["removed"]) == (10, 10)
    assert "public.users" not in by_name


def test_a_first_backup_says_that_there_is_nothing_to_compare_with() -> None:
    found = changes.of_rebuild(None, holding({"public.t": 1}), {})
    assert found.facts == (("Since the last backup", "no earlier backup's numbers are known"),)
    assert found.shown() == ()
    assert found.document()["tables"] == []


def test_of_a_full_copy_it_is_known_how_many_rows_there_were_and_are() -> None:
    before = holding({"public.a": 10, "public.b": 20, "public.c": 30, "public.old": 4})
    now = holding({"public.a": 10, "public.b": 25, "public.c": 29, "public.new": 3})
    found = changes.of_rebuild(before, now, {"public.a": 100, "public.b": 200})
    assert [(one.label, one.state, one.before, one.now, one.moved) for one in found.tables] == [
        ("public.a", State.REWRITTEN, 10, 10, 100),
        ("public.b", State.REWRITTEN, 20, 25, 200),
        ("public.c", State.REWRITTEN, 30, 29, 0),
        ("public.new", State.NEW, None, 3, 0),
        ("public.old", State.DROPPED, 4, None, 0),
    ]
    assert found.headline == (
        "4 of 5 tables changed: +3 rows, 0 changed, 4 removed; 2 copied whole: +5 rows, -1 rows"
    )
    assert found.shown()[0].rows[-1] == (
        "1 table",
        "copied whole, as many rows",
        "10",
        "10",
        "",
        "",
        "",
        "100 B",
    )
    same = changes.of_rebuild(before, before, {})
    assert same.headline == "no other number of rows in 4 tables"


def test_the_schema_is_compared_by_its_definitions() -> None:
    before = holding({}, {"index a": "1", "index b": "1", "index c": "1"})
    now = holding({}, {"index b": "1", "index c": "2", "index d": "1"})
    assert changes.schema(before, now) == SchemaChange(("index d",), ("index c",), ("index a",))


def test_definitions_that_another_version_wrote_are_not_compared() -> None:
    found = changes.of_rebuild(holding({}, {"index a": "1"}), holding({}, {"index a": "2"}, "18.1"), {})
    assert found.schema is None
    assert "not compared" in found.facts[1][1]


def test_bytes_of_partitions_are_added_up() -> None:
    assert changes.moved_by_label([("a", 1), ("b", 2), ("a", 3)]) == {"a": 4, "b": 2}


numbers = st.one_of(st.none(), st.integers(0, 10**9))
changes_at_random = st.builds(
    TableChange,
    st.text(max_size=8),
    st.sampled_from(State),
    numbers,
    numbers,
    numbers,
    numbers,
    numbers,
    st.integers(0, 10**12),
)


@given(st.lists(changes_at_random, max_size=60))
def test_whatever_is_known_it_can_be_shown_and_every_table_is_accounted_for(many: list[TableChange]) -> None:
    found = Changes(SINCE, tuple(many), SchemaChange())
    (table,) = found.shown()
    assert len(table.rows) <= SHOWN + 3
    assert all(len(row) == len(table.columns) for row in table.rows)
    loud = sum(not one.quiet for one in many)
    summed = [
        int(row[0].split()[0]) for row in table.rows if row[1] in ("unchanged", "copied whole, as many rows")
    ]
    assert loud + sum(summed) == len(many)
    document = found.document()
    assert len(document["tables"]) + document["unchanged_tables"] == len(many)  # type: ignore[arg-type, operator]
    assert found.facts


@pytest.mark.parametrize("state", State)
def test_a_change_without_any_number_is_no_error(state: State) -> None:
    assert Changes(SINCE, (TableChange("t", state),)).headline
