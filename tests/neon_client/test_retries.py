"""The table itself, the waits, and what Retry-After may say."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supaneon_sync.neon_client.retries import Budget, Mishap, Pace, Patience, Then, retry_after, rule_for

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
WORDS = st.text("Sun, 22Nov10:GMT+-é\n_EXCEDLIMT", max_size=40)

ALWAYS = [423, 429, 503]
LOOKED_UP = [408, 500, 502, 504, 520, 524]
NEVER = [301, 400, 401, 402, 403, 404, 405, 409, 412, 422]


@pytest.mark.parametrize("status", ALWAYS)
def test_what_was_not_processed_is_sent_again(status: int) -> None:
    assert rule_for(status, "", "", False).then is Then.AGAIN


@pytest.mark.parametrize("status", LOOKED_UP)
def test_what_may_have_been_processed_is_unsure(status: int) -> None:
    assert rule_for(status, "", "", False).then is Then.UNSURE


@pytest.mark.parametrize("status", NEVER)
def test_what_was_refused_is_final(status: int) -> None:
    assert rule_for(status, "", "", False).then is Then.NEVER


@pytest.mark.parametrize("status", ALWAYS)
def test_a_limit_is_final_under_whatever_status(status: int) -> None:
    if status < 500:
        assert rule_for(status, "ACTIVE_ENDPOINTS_LIMIT_EXCEEDED", "", False).then is Then.NEVER


def test_lag_is_waited_for_shortly_and_only_where_it_can_be_lag() -> None:
    assert rule_for(404, "", "branch not found", True).budget is Budget.SETTLING
    assert rule_for(422, "", "Branch not ready yet", False).budget is Budget.SETTLING
    assert rule_for(422, "", "cannot delete protected branch", True).then is Then.NEVER


def test_only_a_connection_that_was_never_made_is_harmless_among_mishaps() -> None:
    assert {m: rule_for(m, "", "", False).then for m in Mishap} == {
        Mishap.UNREACHABLE: Then.AGAIN,
        Mishap.UNTRUSTED: Then.NEVER,
        Mishap.TIMED_OUT: Then.UNSURE,
        Mishap.DROPPED: Then.UNSURE,
        Mishap.UNREADABLE: Then.UNSURE,
    }


@UNHURRIED
@given(st.integers(100, 599), WORDS, WORDS, st.booleans())
def test_every_status_has_an_answer(status: int, code: str, message: str, new: bool) -> None:
    rule = rule_for(status, code, message, new)
    if status < 400:
        assert rule.then is Then.NEVER


@pytest.mark.parametrize(
    ("header", "date", "seconds"),
    [
        ("3", None, 3.0),
        ("2.5", None, 2.5),
        ("Sun, 22 Nov 2026 10:00:20 GMT", "Sun, 22 Nov 2026 10:00:05 GMT", 15.0),
        ("Sun, 22 Nov 2026 09:00:00 GMT", "Sun, 22 Nov 2026 10:00:05 GMT", 0.0),
        ("Sun, 22 Nov 2026 10:00:20 -0000", "Sun, 22 Nov 2026 10:00:05 GMT", 15.0),
        ("Sun, 22 Nov 2026 10:00:20 GMT", None, None),
        ("whenever", "Sun, 22 Nov 2026 10:00:05 GMT", None),
        ("-1", None, None),
        ("99999999999999999999", None, None),
        (None, None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(
    header: str | None, date: str | None, seconds: float | None
) -> None:
    assert retry_after(header, date) == seconds


@UNHURRIED
@given(WORDS, WORDS)
def test_no_header_breaks_the_reading_of_retry_after(header: str, date: str) -> None:
    wait = retry_after(header, date)
    assert wait is None or wait >= 0


@UNHURRIED
@given(
    st.lists(st.tuples(st.sampled_from(Budget), st.none() | st.floats(0, 50)), min_size=1, max_size=400),
    st.floats(0, 1),
)
def test_all_waits_together_never_pass_the_budgets(
    troubles: list[tuple[Budget, float | None]], luck: float
) -> None:
    patience, now = Patience(conflict=60, rate=30, outage=20, settling=5), 100.0
    pace = Pace(patience, lambda: now, lambda: luck)
    for budget, asked_for in troubles:
        wait = pace.next_wait(budget, asked_for)
        if wait is None:
            break
        assert wait >= (asked_for or 0)
        now += wait
    longest = sum(patience.of(budget) for budget in Budget)
    assert now - 100 <= longest + patience.longest_wait


def test_waits_grow_to_a_ceiling_and_the_jitter_is_full() -> None:
    pace = Pace(Patience(), lambda: 0.0, lambda: 1.0)
    assert [pace.next_wait(Budget.CONFLICT) for _ in range(8)] == [0.25, 0.5, 1, 2, 4, 8, 10, 10]
    assert Pace(Patience(), lambda: 0.0, lambda: 0.0).next_wait(Budget.CONFLICT) == 0
