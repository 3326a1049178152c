"""The anomaly brake: what counts as a fall, what does not, and that neither is silent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supaneon_sync.policy import anomaly, names
from supaneon_sync.policy.anomaly import Judgement, Kind, Limits, find, judge
from supaneon_sync.policy.backups import Backup, Drill
from supaneon_sync.policy.holdings import Counted, Holding

SINCE = "backup-20260310T020000Z"
SHOP = {"public.orders": 9000, "public.users": 800, "public.roles": 5}


def holding(tables: dict[str, int], **fields: object) -> Holding:
    """A backup's numbers; tables get their OIDs in their order unless ``oids`` says otherwise."""
    oids = fields.pop("oids", None) or {label: number for number, label in enumerate(tables, 1)}
    assert isinstance(oids, dict)
    given = {
        "backup": SINCE,
        "scope": "s",
        "cluster": "c",
        "dumper": "d",
        "rowless": frozenset(),
        "objects": {},
        "tables": {label: Counted(rows, oids[label]) for label, rows in tables.items()},
    }
    return Holding(**(given | fields))  # type: ignore[arg-type]


def sentences(before: dict[str, int], now: dict[str, int], tolerance: int = 30) -> list[str]:
    return [one.sentence for one in find(before, now, tolerance)]


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (SHOP, SHOP, []),
        (SHOP, {label: rows * 2 for label, rows in SHOP.items()}, []),
        (SHOP, SHOP | {"public.new": 0}, []),
        (SHOP, SHOP | {"public.orders": 6300}, []),
        (
            SHOP,
            SHOP | {"public.orders": 6200},
            ["rows of table public.orders fell from 9000 to 6200 (by 31 %)"],
        ),
        (SHOP, SHOP | {"public.users": 0}, ["rows of table public.users fell from 800 to 0 (by 100 %)"]),
        (SHOP, SHOP | {"public.users": 100}, []),
        (SHOP, SHOP | {"public.roles": 0}, []),
        (
            SHOP,
            {"public.orders": 9000, "public.roles": 5},
            ["table public.users is gone, which held 800 rows"],
        ),
        (SHOP, {"public.orders": 9000, "public.users": 800}, []),
        (
            SHOP,
            {},
            [
                "rows in all fell from 9805 to 0 (by 100 %)",
                "3 of 3 tables are gone",
                "table public.orders is gone, which held 9000 rows",
                "table public.users is gone, which held 800 rows",
            ],
        ),
        ({"public.tiny": 7}, {"public.tiny": 0}, ["rows in all fell from 7 to 0 (by 100 %)"]),
        ({"public.tiny": 7}, {"public.tiny": 2}, []),
        ({f"public.t{n}": 50 for n in range(9)}, {f"public.t{n}": 50 for n in range(6, 9)}, [
            "rows in all fell from 450 to 150 (by 66 %)",
            "6 of 9 tables are gone",
        ]),
        ({}, SHOP, []),
        ({}, {}, []),
    ],
)  # fmt: skip
def test_a_fall_counts_beyond_the_tolerance_and_the_floor(
    before: dict[str, int], now: dict[str, int], told: list[str]
) -> None:
    assert sentences(before, now) == told


@pytest.mark.parametrize(
    ("tolerance", "now", "rings"), [(30, 6999, True), (30, 7000, False), (1, 9899, True), (1, 9900, False)]
)
def test_the_tolerance_is_met_to_the_row(tolerance: int, now: int, rings: bool) -> None:
    assert bool(sentences({"public.t": 10_000}, {"public.t": now}, tolerance)) is rings


def test_at_a_hundred_per_cent_nothing_is_an_anomaly() -> None:
    assert sentences(SHOP, {}, 100) == []
    assert sentences(SHOP, {}, 99) != []


counts = st.dictionaries(st.sampled_from([f"public.t{n}" for n in range(8)]), st.integers(0, 10**7))


@given(counts, counts, st.integers(1, 99))
def test_whatever_is_told_fell_by_more_than_the_tolerance(
    before: dict[str, int], now: dict[str, int], tolerance: int
) -> None:
    for one in find(before, now, tolerance):
        assert 0 <= one.now < one.before
        assert 100 * (one.before - one.now) > tolerance * one.before
        assert one.percent >= tolerance
        assert str(one.before) in one.sentence


@given(counts, counts, st.integers(1, 98))
def test_a_larger_tolerance_never_finds_more(
    before: dict[str, int], now: dict[str, int], tolerance: int
) -> None:
    assert set(find(before, now, tolerance + 1)) <= set(find(before, now, tolerance))


@given(counts, st.integers(1, 99))
def test_growth_is_never_an_anomaly_and_losing_everything_always_is(
    before: dict[str, int], tolerance: int
) -> None:
    assert find(before, {label: rows + 1 for label, rows in before.items()}, tolerance) == ()
    lost = find(before, dict.fromkeys(before, 0), tolerance)
    assert bool(lost) is (sum(before.values()) > 0)


# Against the last backup -----------------------------------------------------------------------


def test_a_first_backup_has_nothing_to_be_compared_with_and_says_so() -> None:
    judged = judge(None, holding(SHOP), Limits())
    assert judged.anomalies == ()
    assert judged.remarks == ("No earlier backup's numbers are known: nothing to compare with.",)


def test_an_emptied_primary_is_told_in_a_few_words_without_a_name() -> None:
    judged = judge(holding(SHOP), holding(dict.fromkeys(SHOP, 0)), Limits())
    assert judged.since == SINCE
    assert judged.brief == "rows in all fell by 100 %, 2 tables lost rows"
    assert not any(label in judged.brief for label in SHOP)


def test_dropped_tables_are_told_in_a_few_words_too() -> None:
    assert judge(holding(SHOP), holding({"public.orders": 9000}), Limits()).brief == "1 table gone"
    many = {f"public.t{n}": 0 for n in range(5)}
    assert judge(holding(many), holding({}), Limits()).brief == "5 tables gone"
    assert Judgement(SINCE).brief == ""


def test_a_table_that_nobody_watches_may_fall() -> None:
    emptied = holding(SHOP | {"public.orders": 0})
    assert judge(holding(SHOP), emptied, Limits()).anomalies != ()
    assert judge(holding(SHOP), emptied, Limits(ignored=frozenset({"public.orders"}))).anomalies == ()


def test_a_renamed_table_is_not_gone_but_one_that_fell_while_it_was_renamed_is_told() -> None:
    oids = {"public.orders": 1, "public.members": 2, "public.roles": 3}
    renamed = {"public.orders": 9000, "public.members": 800, "public.roles": 5}
    assert judge(holding(SHOP), holding(renamed, oids=oids), Limits()).anomalies == ()
    fell = judge(holding(SHOP), holding(renamed | {"public.members": 0}, oids=oids), Limits())
    assert [one.subject for one in fell.anomalies] == ["public.users"]


def test_on_another_server_an_oid_says_nothing() -> None:
    oids = {"public.orders": 1, "public.members": 2, "public.roles": 3}
    moved = holding(
        {"public.orders": 9000, "public.members": 800, "public.roles": 5}, oids=oids, cluster="other"
    )
    judged = judge(holding(SHOP), moved, Limits())
    assert [one.kind for one in judged.anomalies] == [Kind.GONE]
    assert judged.remarks == (f"The primary is another server than that of {SINCE}.",)


def test_another_scope_is_no_anomaly_and_is_told() -> None:
    narrowed = holding({"public.users": 800}, scope="other")
    judged = judge(holding(SHOP), narrowed, Limits())
    assert judged.anomalies == ()
    (told,) = judged.remarks
    assert told.startswith(f"The settings ask for another part of the primary than for {SINCE}")
    assert told.endswith("compared was what both hold, 1 table.")


def test_another_scope_hides_no_fall_of_what_both_hold() -> None:
    judged = judge(holding(SHOP), holding({"public.users": 0}, scope="other"), Limits())
    assert judged.brief == "rows in all fell by 100 %, 1 table lost rows"


def test_rows_that_are_left_out_on_purpose_are_not_gone() -> None:
    without = holding({"public.users": 800, "public.roles": 5}, rowless=frozenset({"public.orders"}))
    assert judge(holding(SHOP), without, Limits()).anomalies == ()


# What is said beside such a backup -------------------------------------------------------------


def backup(day: int, fallen: str = "", drill: Drill | None = None) -> Backup:
    moment = datetime(2026, 3, 1, 2, tzinfo=UTC) + timedelta(days=day)
    return Backup(names.backup(moment), moment, drill=drill, anomaly=fallen)


def test_beside_an_anomaly_stands_the_newest_healthy_backup_without_one() -> None:
    there = [backup(4, "rows in all fell by 97 %"), backup(3, drill=Drill.FAILED), backup(2), backup(1)]
    told = anomaly.remark(there[0], there)
    assert "rows in all fell by 97 %" in told
    assert told.endswith(f"without such a mark is {there[2].name}.")
    assert anomaly.remark(there[2], there) == ""
    assert anomaly.remark(there[0], there[:1]).endswith("is not there.")
