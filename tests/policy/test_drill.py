"""Verdicts of a drill, shapes that differ, the user's own checks, and whether the alarm rings: all pure."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supaneon_sync.policy.alarm import Case, Tried, rings, summary
from supaneon_sync.policy.checks import judge, read
from supaneon_sync.policy.drill import Area, Finding, Gravity, Verdict, verdict
from supaneon_sync.policy.shape import Shape, differences

WEIGHTS = {
    Gravity.DEGRADED: Verdict.DEGRADED,
    Gravity.STALE: Verdict.FAIL_STALE,
    Gravity.CHECKS: Verdict.FAIL_CHECKS,
    Gravity.CONNECTIVITY: Verdict.FAIL_CONNECTIVITY,
    Gravity.DATA: Verdict.FAIL_DATA,
}


def area(*gravities: Gravity, name: str = "rows") -> Area:
    return Area(name, "something", tuple(Finding(gravity, "it is so") for gravity in gravities))


def test_a_drill_without_findings_passes_and_skipped_areas_are_no_findings() -> None:
    assert verdict([area(), Area("indexes", "", skipped="no amcheck")]) is Verdict.PASS
    assert Area("indexes", "", skipped="no amcheck").result == "not checked"


@pytest.mark.parametrize(("gravity", "expected"), WEIGHTS.items())
def test_each_gravity_has_its_verdict(gravity: Gravity, expected: Verdict) -> None:
    assert verdict([area(), area(gravity)]) is expected


@pytest.mark.parametrize(("light", "heavy"), list(combinations(WEIGHTS, 2)))
def test_the_heaviest_finding_decides_in_whatever_area_it_is(light: Gravity, heavy: Gravity) -> None:
    assert verdict([area(light), area(heavy)]) is verdict([area(heavy, light)]) is WEIGHTS[heavy]


def test_data_outweighs_a_connection_that_broke_afterwards() -> None:
    assert verdict([area(Gravity.DATA), area(Gravity.CONNECTIVITY)]) is Verdict.FAIL_DATA


@pytest.mark.parametrize(
    ("one", "code", "kind", "condemns"),
    [
        (Verdict.PASS, 0, "", False),
        (Verdict.DEGRADED, 0, "", False),
        (Verdict.FAIL_STALE, 7, "stale", False),
        (Verdict.FAIL_CHECKS, 6, "checks", True),
        (Verdict.FAIL_CONNECTIVITY, 4, "neon", False),
        (Verdict.FAIL_DATA, 6, "data", True),
    ],
)
def test_a_verdict_ends_the_run_so(one: Verdict, code: int, kind: str, condemns: bool) -> None:
    assert (one.exit_code, one.failure_kind, one.condemns) == (code, kind, condemns)


RECORDED = Shape(
    {
        "index": {"public.a_pkey": {"valid": True, "definition": "1"}},
        "trigger": {"t on public.a": {"enabled": "O", "definition": "2"}},
    }
)


def test_a_shape_is_equal_to_itself() -> None:
    assert differences(RECORDED, Shape(dict(RECORDED.kinds))) == ()


def test_what_is_missing_too_many_or_changed_is_told_by_name() -> None:
    found = Shape(
        {
            "index": {"public.a_pkey": {"valid": False, "definition": "3"}},
            "policy": {"p on public.a": {}},
        }
    )
    assert differences(RECORDED, found) == (
        "index public.a_pkey: is defined differently",
        "index public.a_pkey: valid is off, recorded on",
        "policy p on public.a is there and was not recorded",
        "trigger t on public.a is missing",
    )


@given(
    st.dictionaries(
        st.sampled_from(["index", "policy"]),
        st.dictionaries(
            st.text(max_size=3), st.dictionaries(st.sampled_from("ab"), st.booleans()), max_size=3
        ),
    ),
    st.dictionaries(
        st.sampled_from(["index", "policy"]),
        st.dictionaries(
            st.text(max_size=3), st.dictionaries(st.sampled_from("ab"), st.booleans()), max_size=3
        ),
    ),
)
def test_two_shapes_are_told_equal_only_if_they_are(
    first: dict[str, dict[str, dict[str, object]]], second: dict[str, dict[str, dict[str, object]]]
) -> None:
    def objects(shape: dict[str, dict[str, dict[str, object]]]) -> dict[tuple[str, str], object]:
        return {(kind, name): facts for kind, named in shape.items() for name, facts in named.items()}

    assert (not differences(Shape(first), Shape(second))) is (objects(first) == objects(second))


WHOLE = {"name": "orders", "sql": "SELECT 1", "expect": 1}


def test_checks_are_read_with_all_they_may_say() -> None:
    (check,) = read([WHOLE | {"min": 1, "max": "2.5", "rows": 3, "timeout": "2m", "sql": " SELECT 1 ; "}])
    assert (check.sql, check.expect, check.minimum, check.maximum) == (
        "SELECT 1",
        1,
        Decimal(1),
        Decimal("2.5"),
    )
    assert (check.rows, check.timeout, str(check)) == (3, timedelta(minutes=2), "orders")


@pytest.mark.parametrize(
    "sql",
    [
        "select 1",
        "-- why\nSELECT 1",
        "/* a */ /* b */ (SELECT 1)",
        "WITH a AS (SELECT 1) TABLE a",
        "VALUES (1)",
    ],
)
def test_every_way_to_begin_a_query_is_taken(sql: str) -> None:
    assert read([WHOLE | {"sql": sql}])


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("SELECT 1", "must be a list"),
        ({"name": "a"}, "must be a list"),
        (["SELECT 1"], "item 1 must be a mapping"),
        ([WHOLE, WHOLE], "item 2 has the name of another"),
        ([WHOLE | {"exepct": 1}], "unknown key 'exepct'"),
        ([WHOLE | {"name": ""}], "needs a name"),
        ([WHOLE | {"name": "a\nb"}], "needs a name"),
        ([{"name": "a", "expect": 1}], "needs sql"),
        ([WHOLE | {"sql": "DELETE FROM a"}], "begins with SELECT"),
        ([WHOLE | {"sql": "-- SELECT\nDROP TABLE a"}], "begins with SELECT"),
        ([WHOLE | {"sql": ""}], "needs sql"),
        ([{"name": "a", "sql": "SELECT 1"}], "could not fail"),
        ([WHOLE | {"expect": [1]}], "one value for expect"),
        ([WHOLE | {"min": "many"}], "a number for min"),
        ([WHOLE | {"max": True}], "a number for max"),
        ([WHOLE | {"rows": -1}], "whole number for rows"),
        ([WHOLE | {"rows": True}], "whole number for rows"),
        ([WHOLE | {"timeout": "soon"}], "timeout such as"),
        ([WHOLE | {"timeout": 0}], "timeout such as"),
        ([WHOLE | {"timeout": "2h"}], "at most 1h"),
    ],
)
def test_a_malformed_check_is_refused_by_its_number(value: object, told: str) -> None:
    with pytest.raises(ValueError, match=r"must|item") as failure:
        read(value)
    assert told in str(failure.value)
    assert "DELETE" not in str(failure.value)


@pytest.mark.parametrize(
    ("asked", "first", "rows", "told"),
    [
        ({"expect": 5}, 5, 1, ""),
        ({"expect": 5}, Decimal("5.0"), 1, ""),
        ({"expect": 5}, "5", 1, ""),
        ({"expect": 5}, 6, 1, "another value"),
        ({"expect": "a"}, "a", 1, ""),
        ({"expect": "a"}, "A", 1, "another value"),
        ({"expect": True}, True, 1, ""),
        ({"expect": True}, 1, 1, "another value"),
        ({"expect": 1}, True, 1, "another value"),
        ({"expect": None}, None, 1, ""),
        ({"expect": None}, 0, 1, "another value"),
        ({"expect": 0}, None, 1, "another value"),
        ({"expect": 0}, None, 0, "no row"),
        ({"min": 2}, 2, 1, ""),
        ({"min": 2}, 1, 1, "below the minimum of 2"),
        ({"max": 2}, 3, 1, "above the maximum of 2"),
        ({"max": 2}, None, 1, "no number"),
        ({"min": 2}, "NaN", 1, "no number"),
        ({"min": 0}, None, 0, "no row"),
        ({"rows": 0}, None, 0, ""),
        ({"rows": 0}, 1, 4, "gave 4 rows, 0 expected"),
    ],
)
def test_an_answer_is_judged(asked: dict[str, object], first: object, rows: int, told: str) -> None:
    (check,) = read([{"name": "a", "sql": "SELECT 1"} | asked])
    found = judge(check, first, rows, show_values=False)
    assert (told in found) if told else found == ""


def test_a_value_is_quoted_only_when_row_values_may_be_shown() -> None:
    (check,) = read([WHOLE])
    assert "ann@example.org" not in judge(check, "ann@example.org", 1, show_values=False)
    assert "ann@example.org" in judge(check, "ann@example.org", 1, show_values=True)


CASE = Case("a row is deleted", Verdict.FAIL_DATA, "rows")


def tried(got: Verdict | None, *areas: Area) -> Tried:
    return Tried(CASE, "public.a", got, areas)


def test_a_damage_is_caught_only_with_the_right_verdict_in_the_right_place() -> None:
    assert tried(Verdict.FAIL_DATA, area(Gravity.DATA)).caught
    assert not tried(Verdict.FAIL_DATA, area(Gravity.DATA, name="schema")).caught
    assert not tried(Verdict.DEGRADED, area(Gravity.DEGRADED)).caught
    assert not tried(Verdict.PASS).caught
    assert tried(Verdict.PASS).result == "MISSED"


def test_the_alarm_rings_if_every_possible_damage_was_caught_and_the_control_passes() -> None:
    good, bad, none = tried(Verdict.FAIL_DATA, area(Gravity.DATA)), tried(Verdict.PASS), tried(None)
    assert rings([good, none], Verdict.PASS)
    assert summary([good, none], Verdict.PASS) == "caught 1 of 1, control passes"
    assert not rings([good, bad], Verdict.PASS)
    assert summary([good, bad], Verdict.PASS) == "caught 1 of 2, control passes"
    assert not rings([good], Verdict.FAIL_DATA)
    assert summary([good], Verdict.FAIL_DATA) == "caught 1 of 1, control FAILS"
    assert not rings([none], Verdict.PASS)
