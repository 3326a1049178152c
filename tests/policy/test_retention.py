"""The retention policy: one golden file a rule, and the properties that hold for every list."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from supaneon_sync.policy import names
from supaneon_sync.policy.allowance import FREE_BRANCHES, fits
from supaneon_sync.policy.retention import DEFAULT, Backup, Decision, Drill, Hold, Plan, Policy, plan
from supaneon_sync.policy.settling import RESERVE, Leftover, settle
from tests.policy import retention_golden

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Auckland", "America/Havana", "Asia/Kathmandu")


# The golden files ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", retention_golden.files(), ids=lambda path: path.stem)
def test_the_plan_of_a_golden_file_is_the_one_that_was_reviewed(path: Path) -> None:
    above, below = retention_golden.split(path)
    assert retention_golden.written(retention_golden.read(above)) == below


def test_there_is_a_golden_file_for_each_rule() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in retention_golden.files())
    for row in dataclasses.fields(Policy):
        assert row.name.replace("_", "-") in text, row.name
    for hold in Hold:
        assert hold.name in text, hold.name
    assert len(retention_golden.files()) >= 30


# Lists and policies at random ------------------------------------------------------------------


def one_backup(offset: timedelta, facts: tuple[Any, ...]) -> Backup:
    drill, complete, anomaly, holds, delay = facts
    moment = NOW - offset
    drilled_at = moment + delay if drill else None
    return Backup(names.backup(moment), moment, complete, drill, drilled_at, anomaly, holds)


offsets = st.one_of(
    st.integers(-3, 40 * 24 * 60).map(lambda minutes: timedelta(minutes=minutes)),
    st.integers(0, 40).map(lambda days: days * DAY),
    st.integers(-2, 60).map(lambda weeks: weeks * 7 * DAY),
    st.integers(0, 1500).map(lambda days: days * DAY + HOUR),
)
facts = st.tuples(
    st.sampled_from([None, None, Drill.PASSED, Drill.PASSED, Drill.FAILED]),
    st.sampled_from([True] * 9 + [False]),
    st.sampled_from([""] * 9 + ["rows in all fell by 60 %"]),
    st.one_of(st.just(frozenset()), st.frozensets(st.sampled_from(Hold), max_size=2)),
    st.integers(0, 5).map(lambda days: days * DAY),
)
backups_at_random = st.dictionaries(offsets, facts, max_size=40).map(
    lambda rows: [one_backup(offset, row) for offset, row in rows.items()]
)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    counts = {
        f"keep_{word}": draw(st.integers(0, 5))
        for word in ("last", "hourly", "daily", "weekly", "monthly", "yearly")
    }
    within = draw(st.one_of(st.none(), st.integers(1, 60 * 24 * 20).map(lambda m: timedelta(minutes=m))))
    assume(within or any(counts.values()))
    return Policy(
        **counts,
        keep_within=within,
        keep_failed=draw(st.integers(0, 8).map(lambda days: days * DAY)),
        minimum=draw(st.integers(1, 5)),
        max_deletes=draw(st.one_of(st.none(), st.integers(1, 5))),
        freeze=draw(st.booleans()),
        zone=ZoneInfo(draw(st.sampled_from(ZONES))),
    )


rooms = st.one_of(st.none(), st.integers(0, 12))


def staying(result: Plan) -> set[str]:
    """Names of what the policy wants to stay, once everything due has gone."""
    return {item.backup.name for item in result.items if item.decision is Decision.KEEP}


def newest_first(backups: list[Backup]) -> list[Backup]:
    present = [backup for backup in backups if backup.moment <= NOW]
    return sorted(present, key=lambda backup: backup.moment, reverse=True)


@given(backups_at_random, policies(), rooms)
def test_every_backup_is_decided_once_with_a_reason(
    backups: list[Backup], policy: Policy, room: int | None
) -> None:
    result = plan(backups, policy, NOW, room)
    assert sorted(item.backup.name for item in result.items) == sorted(backup.name for backup in backups)
    assert {*result.keep} | {*result.remove} | {*result.wait} == {*backups}
    for item in result.items:
        assert item.reasons
        assert all(item.reasons)
        assert len(set(item.reasons)) == len(item.reasons)


@given(backups_at_random, policies(), rooms)
def test_never_fewer_healthy_backups_than_the_floor(
    backups: list[Backup], policy: Policy, room: int | None
) -> None:
    left = plan(backups, policy, NOW, room).keep
    healthy = [backup for backup in newest_first(backups) if backup.healthy]
    still = [backup for backup in left if backup.healthy and backup.moment <= NOW]
    assert len(still) >= min(policy.minimum, len(healthy))
    if room is None:
        assert set(healthy[: policy.minimum]) <= set(left)


@given(backups_at_random, policies(), rooms)
def test_never_fewer_complete_backups_than_the_floor_even_when_all_failed(
    backups: list[Backup], policy: Policy, room: int | None
) -> None:
    left = plan(backups, policy, NOW, room).keep
    complete = [backup for backup in newest_first(backups) if backup.complete]
    still = [backup for backup in left if backup.complete and backup.moment <= NOW]
    assert len(still) >= min(policy.minimum, len(complete))


@given(backups_at_random, policies(), rooms)
def test_the_newest_healthy_the_newest_drilled_and_the_newest_failed_always_stay(
    backups: list[Backup], policy: Policy, room: int | None
) -> None:
    left = staying(plan(backups, policy, NOW, room))
    ordered = newest_first(backups)
    for chosen in (
        [backup for backup in ordered if backup.healthy],
        [backup for backup in ordered if backup.passed],
        [backup for backup in ordered if backup.failed],
    ):
        for newest in chosen[:1]:
            assert newest.name in left


@given(backups_at_random, policies(), rooms)
def test_what_is_held_incomplete_or_in_the_future_always_stays(
    backups: list[Backup], policy: Policy, room: int | None
) -> None:
    left = staying(plan(backups, policy, NOW, room))
    for backup in backups:
        if backup.holds or not backup.complete or backup.moment > NOW:
            assert backup.name in left


@given(backups_at_random, policies(), rooms)
def test_after_a_failed_drill_nothing_that_passed_goes_until_a_newer_one_passes(
    backups: list[Backup], policy: Policy, room: int | None
) -> None:
    policy = dataclasses.replace(policy, freeze=True)
    result = plan(backups, policy, NOW, room)
    passed = [backup for backup in newest_first(backups) if backup.passed]
    proofs = [backup.moment for backup in passed if not backup.anomaly]
    suspects = [b.moment for b in newest_first(backups) if b.complete and (b.failed or b.anomaly)]
    frozen = bool(suspects) and (not proofs or max(suspects) > max(proofs))
    assert bool(result.frozen) == frozen
    if frozen:
        assert {backup.name for backup in passed if not backup.anomaly} <= staying(result)


@given(backups_at_random, policies(), rooms)
def test_a_second_plan_removes_nothing_more(backups: list[Backup], policy: Policy, room: int | None) -> None:
    policy = dataclasses.replace(policy, max_deletes=None)
    kept = plan(backups, policy, NOW, room).keep
    again = plan(kept, policy, NOW, room)
    assert again.remove == again.wait == ()


@given(backups_at_random, policies(), st.randoms(use_true_random=False))
def test_a_run_that_stopped_half_way_is_finished_by_the_next_with_the_same_result(
    backups: list[Backup], policy: Policy, random: Any
) -> None:
    whole = plan(backups, policy, NOW)
    due = [*whole.remove, *whole.wait]
    gone = set(random.sample(due, random.randint(0, len(due))))
    rest = [backup for backup in backups if backup not in gone]
    assert staying(plan(rest, policy, NOW)) == staying(whole)


@given(backups_at_random, policies(), rooms, st.randoms(use_true_random=False))
def test_the_order_of_the_list_makes_no_difference(
    backups: list[Backup], policy: Policy, room: int | None, random: Any
) -> None:
    shuffled = list(backups)
    random.shuffle(shuffled)
    assert plan(shuffled, policy, NOW, room) == plan(backups, policy, NOW, room)


@given(backups_at_random, policies(), st.data())
def test_a_policy_that_asks_for_more_keeps_at_least_the_same(
    backups: list[Backup], policy: Policy, data: st.DataObject
) -> None:
    row = data.draw(st.sampled_from([f.name for f in dataclasses.fields(Policy) if f.name != "zone"]))
    before = getattr(policy, row)
    if row == "max_deletes":
        more: object = None
    elif row == "freeze":
        more = True
    elif row in ("keep_within", "keep_failed"):
        more = (before or timedelta(0)) + data.draw(st.integers(1, 20)) * DAY
    else:
        more = before + data.draw(st.integers(1, 4))
    larger = dataclasses.replace(policy, **{row: more})
    assert staying(plan(backups, policy, NOW)) <= staying(plan(backups, larger, NOW))


@given(backups_at_random, policies(), st.integers(0, 12), st.integers(0, 12))
def test_more_room_keeps_at_least_the_same(
    backups: list[Backup], policy: Policy, room: int, more: int
) -> None:
    tight, wide = plan(backups, policy, NOW, room), plan(backups, policy, NOW, room + more)
    assert staying(tight) <= staying(wide) <= staying(plan(backups, policy, NOW))


@given(backups_at_random, policies(), st.integers(0, 12))
def test_a_full_project_takes_no_more_than_it_must(backups: list[Backup], policy: Policy, room: int) -> None:
    result = plan(backups, policy, NOW, room)
    wanted = staying(plan(backups, policy, NOW))
    assert len(staying(result)) >= min(room, len(wanted))  # every backup is one branch here
    assert result.lacking == max(0, len(staying(result)) - room)


@given(backups_at_random, policies())
def test_a_run_removes_no_more_than_it_may_and_the_oldest_first(
    backups: list[Backup], policy: Policy
) -> None:
    result = plan(backups, policy, NOW)
    due = [*result.remove, *result.wait]
    assert due == sorted(due, key=lambda backup: backup.moment)
    if policy.max_deletes is not None:
        assert len(result.remove) == min(policy.max_deletes, len(due))
    else:
        assert result.wait == ()


@given(backups_at_random, policies(), facts, st.integers(1, 10**6))
def test_a_backup_dated_in_the_future_changes_nothing_for_the_others(
    backups: list[Backup], policy: Policy, row: tuple[Any, ...], seconds: int
) -> None:
    backups = [backup for backup in backups if backup.moment <= NOW]
    stray = one_backup(timedelta(seconds=-seconds), row)
    assert staying(plan([*backups, stray], policy, NOW)) == staying(plan(backups, policy, NOW)) | {stray.name}


@given(backups_at_random, policies(), st.integers(0, 10**8))
def test_a_clock_that_runs_ahead_removes_nothing_healthy_that_would_have_stayed(
    backups: list[Backup], policy: Policy, seconds: int
) -> None:
    backups = [backup for backup in backups if backup.moment <= NOW]
    later = staying(plan(backups, policy, NOW + timedelta(seconds=seconds)))
    healthy = {backup.name for backup in backups if backup.healthy}
    assert staying(plan(backups, policy, NOW)) & healthy == later & healthy


@given(
    backups_at_random, st.integers(1, 6), st.sampled_from(["hourly", "daily", "weekly", "monthly", "yearly"])
)
def test_a_calendar_rule_keeps_no_more_than_its_count(backups: list[Backup], count: int, word: str) -> None:
    policy = Policy(**{f"keep_{word}": count}, minimum=1)  # type: ignore[arg-type]
    result = plan(backups, policy, NOW)
    by_rule = [item for item in result.items if any(f" {word}" in reason for reason in item.reasons)]
    healthy = [backup for backup in newest_first(backups) if backup.healthy]
    assert len(by_rule) <= count
    assert bool(by_rule) == bool(healthy)


# Months and years of days ----------------------------------------------------------------------


@pytest.mark.parametrize("zone", ZONES)
def test_a_year_of_hours_gives_each_hour_and_day_its_own_period_across_clock_changes(zone: str) -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)
    hours = [Backup(names.backup(now - n * HOUR), now - n * HOUR) for n in range(366 * 24)]
    kept = plan(hours, Policy(keep_hourly=len(hours), zone=ZoneInfo(zone)), now).keep
    assert len(kept) == len(hours)
    days = {backup.moment.astimezone(ZoneInfo(zone)).date() for backup in hours}
    assert len(plan(hours, Policy(keep_daily=400, minimum=1, zone=ZoneInfo(zone)), now).keep) in (
        len(days),
        len(days) + 1,  # the oldest backup of all
    )


class Project:
    """Ten branches, and what a night does to them: backup, drill, prune."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.backups: list[Backup] = []
        self.drills: list[Leftover] = []
        self.most = 0
        self.refused = 0

    def _has_room(self, now: datetime) -> bool:
        """Make room as the operations do, and say whether one more branch fits."""
        if self._taken() == FREE_BRANCHES:
            self.prune(now)
        self.refused += self._taken() == FREE_BRANCHES
        return self._taken() < FREE_BRANCHES

    def _taken(self) -> int:
        count = 2 + len(self.backups) + len(self.drills)
        self.most = max(self.most, count)
        return count

    def backup(self, now: datetime, fallen: str = "") -> None:
        if self._has_room(now):
            self.backups.append(Backup(names.backup(now), now, anomaly=fallen))

    def drill(self, now: datetime, passes: bool) -> None:
        if not self._has_room(now):
            return
        newest = max(self.backups, key=lambda backup: backup.moment)
        drill = Leftover(names.drill(newest.moment, now), now, newest.name)
        verdict = Drill.PASSED if passes else Drill.FAILED
        self.backups.remove(newest)
        self.backups.append(dataclasses.replace(newest, drill=verdict, drilled_at=now))
        self.drills.append(drill)
        self._taken()
        if passes:
            self.drills.remove(drill)

    def prune(self, now: datetime) -> None:
        settled = settle(self.backups, self.drills, self.policy, now, FREE_BRANCHES - 2 - RESERVE)
        self.drills = [row.leftover for row in settled.leftovers if not row.remove]
        kept = {backup.name for backup in settled.backups.keep}
        self.backups = [backup for backup in self.backups if backup.name in kept]
        self._taken()


@pytest.mark.parametrize("step", [HOUR, 6 * HOUR, DAY], ids=["hourly", "six-hourly", "nightly"])
@pytest.mark.parametrize("drill_every", [1, 2, 7])
def test_a_month_of_failing_drills_on_ten_branches_never_stops_a_backup_or_a_drill(
    step: timedelta, drill_every: int
) -> None:
    project = Project(DEFAULT)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    good = 20 * drill_every
    nights = good + int(30 * DAY / step)
    for night in range(nights):
        now = start + night * step
        project.backup(now)
        if night % drill_every == 0:
            project.drill(now + step / 4, passes=night < good)
        project.prune(now + step / 2)
    assert project.refused == 0
    assert project.most <= FREE_BRANCHES
    assert max(backup.moment for backup in project.backups) == start + (nights - 1) * step
    assert sum(backup.passed for backup in project.backups) >= 1
    project.backup(start + nights * step)
    project.drill(start + nights * step, passes=True)
    project.prune(start + nights * step)
    assert project.refused == 0


@pytest.mark.parametrize("drills", [True, False], ids=["drilled", "not drilled"])
@pytest.mark.parametrize("step", [HOUR, DAY], ids=["hourly", "nightly"])
def test_a_month_of_anomalies_on_ten_branches_stops_no_backup_and_costs_none_of_the_good_ones(
    step: timedelta, drills: bool
) -> None:
    project = Project(DEFAULT)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for night in range(20):
        project.backup(start + night * step)
        project.drill(start + night * step + step / 4, passes=True)
        project.prune(start + night * step + step / 2)
    good = {backup.name for backup in project.backups}
    for night in range(20, 20 + int(30 * DAY / step)):
        project.backup(start + night * step, "rows in all fell by 97 %")
        if drills:
            project.drill(start + night * step + step / 4, passes=True)
        project.prune(start + night * step + step / 2)
    assert project.refused == 0
    assert good <= {backup.name for backup in project.backups}


@given(
    st.lists(st.tuples(st.integers(1, 48), st.sampled_from("-pPfF")), min_size=5, max_size=60),
)
def test_random_nights_on_ten_branches_under_the_default_policy_never_stop_a_backup(
    nights: list[tuple[int, str]],
) -> None:
    project = Project(DEFAULT)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for hours, drilled in nights:
        now += hours * HOUR
        project.backup(now)
        if drilled != "-":
            project.drill(now, passes=drilled in "pP")
        project.prune(now)
    assert project.refused == 0


# What is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "setting"),
    [
        ({}, "keep-last"),
        ({"keep_last": 0, "keep_daily": 0}, "keep-last"),
        ({"keep_last": -1}, "keep-last"),
        ({"keep_hourly": -1, "keep_last": 1}, "keep-hourly"),
        ({"keep_daily": -1, "keep_last": 1}, "keep-daily"),
        ({"keep_weekly": -1, "keep_last": 1}, "keep-weekly"),
        ({"keep_monthly": -2, "keep_last": 1}, "keep-monthly"),
        ({"keep_yearly": -2, "keep_last": 1}, "keep-yearly"),
        ({"keep_within": timedelta(0)}, "keep-within"),
        ({"keep_within": -DAY}, "keep-within"),
        ({"keep_last": 1, "keep_failed": -DAY}, "keep-failed"),
        ({"keep_last": 1, "minimum": 0}, "minimum"),
        ({"keep_last": 1, "minimum": -3}, "minimum"),
        ({"keep_last": 1, "max_deletes": 0}, "max-deletes"),
        ({"keep_last": 1, "max_deletes": -1}, "max-deletes"),
    ],
)
def test_a_policy_that_is_empty_negative_or_contradictory_is_refused_by_name(
    values: dict[str, Any], setting: str
) -> None:
    with pytest.raises(ValueError, match=f"^{setting}"):
        Policy(**values)


def test_a_moment_without_a_zone_and_a_name_that_occurs_twice_are_refused() -> None:
    backup = Backup("backup-20260312T020000Z", NOW)
    with pytest.raises(ValueError, match="time zone"):
        plan([backup], DEFAULT, NOW.replace(tzinfo=None))
    with pytest.raises(ValueError, match="time zone"):
        plan([dataclasses.replace(backup, moment=NOW.replace(tzinfo=None))], DEFAULT, NOW)
    with pytest.raises(ValueError, match="twice"):
        plan([backup, dataclasses.replace(backup, moment=NOW - HOUR)], DEFAULT, NOW)


def test_an_empty_list_gives_an_empty_plan() -> None:
    assert plan([], DEFAULT, NOW) == Plan(())


def test_backups_at_the_edges_of_time_do_not_break_the_calendar() -> None:
    edges = [
        Backup("backup-00010101T000000Z", datetime.min.replace(tzinfo=UTC)),
        Backup("backup-99991231T235959Z", datetime.max.replace(tzinfo=UTC)),
    ]
    policy = Policy(keep_hourly=2, keep_weekly=2, keep_within=DAY, zone=ZoneInfo("America/Havana"))
    assert len(plan(edges, policy, NOW).keep) == 2


# The allowance ---------------------------------------------------------------------------------


def test_the_default_policy_needs_exactly_the_branches_of_the_free_plan() -> None:
    fit = fits(DEFAULT, FREE_BRANCHES)
    assert fit.fits
    assert fit.branches == FREE_BRANCHES == sum(count for _, count in fit.parts)


def test_a_policy_too_large_for_the_plan_is_told_by_how_much() -> None:
    fit = fits(Policy(keep_daily=7, keep_weekly=4), FREE_BRANCHES)
    assert not fit.fits
    assert fit.branches == 3 + 6 + 3 + 6
    assert "8 too many" in fit.sentence


def test_keep_within_has_a_bound_only_when_the_schedule_is_known() -> None:
    policy = Policy(keep_within=7 * DAY)
    assert fits(policy, 5000).branches is None
    assert not fits(policy, 5000).fits
    assert fits(policy, 5000, every=HOUR).branches == 7 * 24 + 6


@given(backups_at_random, policies(), st.integers(1, 30))
def test_no_list_makes_the_rules_keep_more_than_the_worst_case(
    backups: list[Backup], policy: Policy, minutes: int
) -> None:
    plain = [
        dataclasses.replace(b, drill=None, anomaly="", complete=True, holds=frozenset()) for b in backups
    ]
    plain = [backup for backup in plain if backup.moment <= NOW]
    policy = dataclasses.replace(policy, keep_within=None, keep_last=max(1, policy.keep_last))
    worst = fits(policy, 0).branches
    assert worst is not None
    assert len(plan(plain, policy, NOW).keep) <= worst - 6
