"""Reading answers: wrong ones are told by name, never by value."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supaneon_sync.neon_client.fields import Fields, Malformed
from supaneon_sync.neon_client.model import Branch, Database, Endpoint, Operation, Project, Role

_TEXT = st.text("aZ0 é\n:-", max_size=8)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=8,
)
_NAMES = st.sampled_from(
    """id project_id branch_id name host type action status current_state created_at default protected
    settings logical_size owner_name password error expires_at autoscaling_limit_min_cu annotation""".split()  # noqa: SIM905
)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-22T10:00:00Z", datetime(2026, 11, 22, 10, tzinfo=UTC)),
        ("2026-11-22T10:00:00.123456789Z", datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)),
        ("2026-11-22T10:00:00.000Z", datetime(2026, 11, 22, 10, tzinfo=UTC)),
        ("2026-11-22T10:00:00+02:00", datetime(2026, 11, 22, 10, tzinfo=timezone(timedelta(hours=2)))),
        ("2026-11-22T10:00:00", datetime(2026, 11, 22, 10, tzinfo=UTC)),
    ],
)
def test_a_time_always_knows_its_zone(text: str, moment: datetime) -> None:
    read = Fields({"at": text}, "x").moment("at")
    assert read == moment
    assert read.tzinfo is not None


@pytest.mark.parametrize(
    ("value", "read"), [(None, None), (0, 0), (2**80, 2**80), (3.0, 3), (1e300, int(1e300))]
)
def test_whole_numbers_may_be_of_any_size(value: object, read: int | None) -> None:
    assert Fields({"n": value}, "x").maybe_integer("n") == read


@pytest.mark.parametrize("value", ["canary", True, 1.5, [], {}, float("inf"), float("nan")])
def test_what_is_not_a_whole_number_is_told_by_name(value: object) -> None:
    with pytest.raises(Malformed, match=r"x\.n is not a whole number") as caught:
        Fields({"n": value}, "x").maybe_integer("n")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (lambda f: f.text("v"), None),
        (lambda f: f.text("v"), ""),
        (lambda f: f.text("v"), 5),
        (lambda f: f.flag("v"), None),
        (lambda f: f.flag("v"), "true"),
        (lambda f: f.moment("v"), "yesterday"),
        (lambda f: f.maybe_moment("v"), 5),
        (lambda f: f.maybe_number("v"), "5"),
        (lambda f: f.maybe_number("v"), 10**400),
        (lambda f: f.each("v"), {}),
        (lambda f: f.each("v"), [5]),
        (lambda f: f.texts("v"), [5]),
        (lambda f: f.texts("v"), "ab"),
        (lambda f: f.inner("v"), [5]),
        (lambda f: f.needed("v"), None),
    ],
)
def test_a_field_of_the_wrong_type_is_malformed(read, value) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(Malformed, match=r"x\.v"):
        read(Fields({"v": value}, "x"))


@given(st.dictionaries(_NAMES, _JSON))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_object_whatever_breaks_the_reading_otherwise(value: dict[str, object]) -> None:
    fields = Fields(json.loads(json.dumps(value)), "answer")
    readers = [Project.read, Endpoint.read, Database.read, Role.read, Operation.read]
    for read in [*readers, lambda f: Branch.read(f, f.inner("annotation"))]:
        with contextlib.suppress(Malformed):
            read(fields)
