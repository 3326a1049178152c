from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supaneon_sync.errors import Refused
from supaneon_sync.policy import failover, marks, names
from supaneon_sync.policy.backups import Backup, Drill
from supaneon_sync.policy.failover import Sight, Step, next_step, steps
from supaneon_sync.policy.marks import Mark

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
EVERY_SIGHT = [Sight(*flags) for flags in product((False, True), repeat=9)]


@dataclass(frozen=True)
class Branch:
    name: str
    created_at: datetime = NOON
    annotations: dict[str, str] = field(
        default_factory=lambda: Mark(marks.FAILOVER, "0", "digest", NOON).pairs(), hash=False
    )


def test_a_failover_goes_through_every_step_in_the_order_of_the_page() -> None:
    assert list(steps(Sight(role=False))) == list(Step)


def test_without_an_application_role_no_role_is_let_in() -> None:
    assert Step.ROLE not in list(steps(Sight(role=True)))


def test_from_wherever_a_call_was_killed_the_next_one_comes_to_the_end() -> None:
    for sight in EVERY_SIGHT:
        left = list(steps(sight))
        assert len(left) == len(set(left)) <= len(Step)
        done = sight
        for step in left:
            done = done.after(step)
        assert next_step(done) is None
        assert done.served
        assert done.named


def test_nothing_is_named_or_served_before_it_is_proved_looked_at_and_has_its_own_password() -> None:
    asked = [sight for sight in EVERY_SIGHT if next_step(sight) in (Step.NAME, Step.SERVE)]
    assert asked
    for sight in asked:
        assert sight.exists
        assert sight.ready
        assert sight.proved
        assert sight.checked
        assert sight.own_password or sight.named


def test_a_branch_that_may_be_serving_never_gets_a_new_password() -> None:
    assert not any(Step.PASSWORD in list(steps(sight)) for sight in EVERY_SIGHT if sight.named)


def test_a_branch_is_in_force_from_its_birth_until_its_name_says_that_it_is_over() -> None:
    serving = names.failover(NOON, NOON + timedelta(hours=1))
    for name in (names.STARTING_FAILOVER, serving, "renamed-by-somebody"):
        assert failover.in_force([Branch(name)]) == (Branch(name),)
    assert failover.in_force([Branch(names.ended_failover(serving))]) == ()
    assert failover.ended([Branch(names.ended_failover(serving))])


def test_a_branch_without_our_mark_is_no_failover_whatever_its_name() -> None:
    stranger = Branch(names.failover(NOON, NOON), annotations={})
    rehearsed = Branch(names.rehearsal(NOON, NOON), annotations=Mark(marks.REHEARSAL, "0").pairs())
    assert failover.in_force([stranger, rehearsed]) == ()
    assert failover.ended([replace(stranger, name=names.ended_failover(stranger.name))]) == ()


def test_the_branch_that_has_its_final_name_comes_before_one_that_is_being_made() -> None:
    serving = Branch(names.failover(NOON, NOON), NOON + timedelta(minutes=1))
    assert failover.in_force([Branch(names.STARTING_FAILOVER), serving])[0] == serving


@given(st.integers(0, 10_000))
def test_an_ended_failover_is_known_by_its_name_and_is_no_other_kind_of_branch(hours: int) -> None:
    moment = NOON + timedelta(hours=hours)
    name = names.ended_failover(names.failover(moment, moment))
    assert names.is_ended_failover(name)
    assert not names.is_ended_failover(names.failover(moment, moment))
    assert names.failover_moment(name) is None
    assert names.backup_moment(name) is None
    assert names.drill_moment(name) is None


def test_two_who_call_at_once_give_the_branch_the_same_name() -> None:
    branch = Branch(names.STARTING_FAILOVER)
    assert failover.final_name(branch, NOON) == "failover-20260131T120000Z-20260131T120000Z"


def old(hours: int, drill: Drill | None = None) -> Backup:
    moment = NOON - timedelta(hours=hours)
    return Backup(names.backup(moment), moment, drill=drill, drilled_at=NOON if drill else None)


def test_the_newest_healthy_backup_is_taken() -> None:
    there = [old(1, Drill.FAILED), old(2, Drill.PASSED), old(3)]
    assert failover.choose(there, None, {}) == old(2, Drill.PASSED)
    assert failover.choose(there, "latest", {}) == old(2, Drill.PASSED)


def test_a_named_backup_is_taken_even_if_its_drill_failed_and_what_is_wrong_is_told() -> None:
    bad = old(1, Drill.FAILED)
    assert failover.choose([bad, old(2)], bad.name, {}) == bad
    assert (
        failover.wrong_with(bad) == "its last drill on 2026-01-31 12:00 UTC failed, so its data may be wrong"
    )
    assert failover.wrong_with(old(2)) == ""


def test_where_none_is_healthy_the_best_there_is_is_offered_with_what_is_wrong() -> None:
    with pytest.raises(
        Refused, match="The best there is: backup-20260131T110000Z; its last drill"
    ) as refusal:
        failover.choose([old(1, Drill.FAILED), old(2, Drill.FAILED)], None, {})
    assert "--backup backup-20260131T110000Z" in refusal.value.remedy


@pytest.mark.parametrize(
    ("there", "told"),
    [
        (False, "There is no backup backup-20200101T000000Z"),
        (True, "backup-20200101T000000Z is no backup of ours: somebody renamed it"),
    ],
)
def test_a_name_that_is_no_backup_of_ours_is_refused_with_those_there_are(there: bool, told: str) -> None:
    name = "backup-20200101T000000Z"
    with pytest.raises(Refused, match=told) as refusal:
        failover.choose([old(1)], name, {name: "somebody renamed it"} if there else {})
    assert old(1).name in refusal.value.remedy


def test_a_project_without_backups_is_probably_the_wrong_one() -> None:
    with pytest.raises(Refused, match="no backup to fail over to") as refusal:
        failover.choose([], None, {})
    assert "NEON_PROJECT_ID" in refusal.value.remedy
