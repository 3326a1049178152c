"""What becomes of drills and half-made backups, and of the backups that they hang on."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from supaneon_sync.policy import names
from supaneon_sync.policy.retention import Backup, Drill, Policy
from supaneon_sync.policy.settling import Leftover, Settlement, settle

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
POLICY = Policy(keep_last=1, minimum=1)


def backup(age: timedelta, drill: Drill | None = None) -> Backup:
    return Backup(
        names.backup(NOW - age), NOW - age, drill=drill, drilled_at=NOW - age + HOUR if drill else None
    )


def drill_of(one: Backup, *, at: datetime | None = None, expires_at: datetime | None = None) -> Leftover:
    at = at or one.moment + HOUR
    return Leftover(names.drill(one.moment, at), at, one.name, expires_at)


def verdicts(settled: Settlement) -> dict[str, bool]:
    return {row.leftover.name: row.remove for row in settled.leftovers}


def test_a_half_made_backup_goes_when_it_has_expired_or_no_run_can_be_at_it_any_more() -> None:
    fresh, expired, old = (
        Leftover(names.staging(NOW - HOUR), NOW - HOUR, "", NOW + HOUR),
        Leftover(names.staging(NOW - 2 * HOUR), NOW - 2 * HOUR, "", NOW),
        Leftover(names.staging(NOW - DAY), NOW - DAY),
    )
    assert verdicts(settle([], [fresh, expired, old], POLICY, NOW)) == {
        fresh.name: False,
        expired.name: True,
        old.name: True,
    }


def test_a_drill_that_has_not_expired_stays_and_holds_its_backup() -> None:
    newest, older = backup(HOUR), backup(DAY)
    running = drill_of(older, expires_at=NOW + HOUR)
    settled = settle([newest, older], [running], POLICY, NOW)
    assert verdicts(settled) == {running.name: False}
    assert settled.backups.remove == ()
    assert "being drilled now" in settled.backups.items[1].reasons


def test_a_drill_that_has_expired_goes_and_lets_its_backup_go() -> None:
    newest, older = backup(HOUR), backup(DAY)
    killed = drill_of(older, expires_at=NOW)
    settled = settle([newest, older], [killed], POLICY, NOW)
    assert verdicts(settled) == {killed.name: True}
    assert settled.backups.remove == (older,)


def test_a_drill_kept_for_diagnosis_stays_as_long_as_its_failed_backup_and_goes_with_it() -> None:
    newest = backup(HOUR)
    young, old, oldest = (backup(days * DAY, Drill.FAILED) for days in (1, 4, 5))
    drills = [drill_of(one) for one in (young, old, oldest)]
    settled = settle([newest, young, old, oldest], drills, POLICY, NOW)
    assert [one.name for one in settled.backups.remove] == [oldest.name, old.name]
    assert verdicts(settled) == {drills[0].name: False, drills[1].name: True, drills[2].name: True}


def test_a_drill_kept_for_diagnosis_stays_while_its_backup_waits_for_another_run() -> None:
    newest, young = backup(HOUR), backup(DAY, Drill.FAILED)
    failed = [backup(days * DAY, Drill.FAILED) for days in (5, 6)]
    drills = [drill_of(one) for one in failed]
    policy = dataclasses.replace(POLICY, max_deletes=1)
    settled = settle([newest, young, *failed], drills, policy, NOW)
    assert [one.name for one in settled.backups.remove] == [failed[1].name]
    assert [one.name for one in settled.backups.wait] == [failed[0].name]
    assert verdicts(settled) == {drills[0].name: False, drills[1].name: True}


def test_a_kept_drill_of_a_backup_that_has_passed_since_goes_after_keep_failed() -> None:
    newest, repaired = backup(HOUR), backup(5 * DAY, Drill.PASSED)
    young, old = drill_of(repaired, at=NOW - 2 * DAY), drill_of(repaired, at=NOW - 3 * DAY)
    settled = settle([newest, repaired], [young, old], POLICY, NOW)
    assert verdicts(settled) == {young.name: False, old.name: True}


def test_a_failed_backup_and_its_drill_count_as_two_branches_in_a_full_project() -> None:
    newest = backup(HOUR)
    failed = [backup(days * 6 * HOUR, Drill.FAILED) for days in (1, 2, 3)]
    drills = [drill_of(one) for one in failed]
    for free, going in ((7, 0), (6, 1), (5, 1), (4, 2), (3, 2), (0, 2)):
        settled = settle([newest, *failed], drills, POLICY, NOW, free)
        assert len(settled.backups.remove) == going, free
        assert sum(verdicts(settled).values()) == going
        assert settled.backups.lacking == max(0, 3 - free)


drills_at_random = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from([Drill.PASSED, Drill.FAILED, None]), st.integers(-30, 30)),
    max_size=12,
    unique_by=lambda row: row[0],
)


@given(drills_at_random, st.one_of(st.none(), st.integers(0, 10)))
def test_nothing_goes_while_something_that_stays_hangs_on_it(
    rows: list[tuple[int, Drill | None, int]], free: int | None
) -> None:
    backups = [backup(days * 6 * HOUR, drill) for days, drill, _ in rows]
    leftovers = [
        drill_of(one, expires_at=None if hours < 0 else NOW + (hours - 10) * HOUR)
        for one, (_, _, hours) in zip(backups, rows, strict=True)
        if hours % 3
    ]
    settled = settle(backups, leftovers, POLICY, NOW, free)
    going = {one.name for one in settled.backups.remove}
    for row in settled.leftovers:
        assert row.reason
        if not row.remove:
            assert row.leftover.backup not in going
    for one in backups:  # a failed backup never stands without the kept drill that tells so
        kept = [
            row
            for row in settled.leftovers
            if row.leftover.backup == one.name and not row.leftover.expires_at
        ]
        if one.failed and one.name not in going:
            assert not any(row.remove for row in kept)


@given(drills_at_random, st.one_of(st.none(), st.integers(0, 10)))
def test_settling_twice_changes_nothing_more(
    rows: list[tuple[int, Drill | None, int]], free: int | None
) -> None:
    backups = [backup(days * 6 * HOUR, drill) for days, drill, _ in rows]
    leftovers = [drill_of(one) for one, (_, _, hours) in zip(backups, rows, strict=True) if hours > 0]
    once = settle(backups, leftovers, POLICY, NOW, free)
    left = [row.leftover for row in once.leftovers if not row.remove]
    cut = [dataclasses.replace(one, holds=frozenset()) for one in once.backups.keep]
    again = settle(cut, left, POLICY, NOW, free)
    assert again.backups.remove == ()
    assert not any(row.remove for row in again.leftovers)
