"""Names of branches: what is made can be read back, and nothing that only looks alike is ours."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from supaneon_sync.policy import names

moments = st.datetimes(min_value=datetime(1000, 1, 2), max_value=datetime(9999, 12, 30)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
READERS: tuple[Callable[[str], datetime | None], ...] = (
    names.backup_moment,
    names.staging_moment,
    names.drill_moment,
    names.failover_moment,
)


@given(moments)
def test_a_stamp_is_read_back_as_the_moment_that_it_was_made_of(moment: datetime) -> None:
    assert names.parse_stamp(names.stamp(moment)) == moment


@given(moments, offsets)
def test_a_stamp_is_the_same_in_every_time_zone(moment: datetime, offset: timezone) -> None:
    assert names.stamp(moment.astimezone(offset)) == names.stamp(moment)


@given(moments, moments)
def test_stamps_sort_as_their_moments_do(one: datetime, other: datetime) -> None:
    assert (names.stamp(one) < names.stamp(other)) == (one < other)


@given(moments, moments)
def test_each_name_is_read_by_its_own_reader_and_by_no_other(moment: datetime, later: datetime) -> None:
    made = (
        names.backup(moment),
        names.staging(moment),
        names.drill(moment, later),
        names.failover(moment, later),
    )
    for index, name in enumerate(made):
        assert [reader(name) for reader in READERS] == [
            moment if position == index else None for position in range(len(READERS))
        ]


@given(moments)
def test_a_name_fits_neon_and_its_command_line(moment: datetime) -> None:
    for name in (names.backup(moment), names.drill(moment, moment), names.failover(moment, moment)):
        assert 1 <= len(name) <= 256
        assert "@" not in name
        assert not name.startswith("br-")


@given(moments, st.integers(0, 60), st.characters())
def test_a_name_with_one_character_more_is_no_backup(moment: datetime, place: int, extra: str) -> None:
    name = names.backup(moment)
    place = min(place, len(name))
    assert names.backup_moment(name[:place] + extra + name[place:]) is None


@given(moments, st.integers(0, 22))
def test_a_name_with_one_character_less_is_no_backup(moment: datetime, place: int) -> None:
    name = names.backup(moment)
    assert names.backup_moment(name[:place] + name[place + 1 :]) is None


@given(moments, st.integers(0, 22), st.characters())
def test_a_name_with_another_character_is_another_moment_or_no_backup(
    moment: datetime, place: int, other: str
) -> None:
    name = names.backup(moment)
    changed = name[:place] + other + name[place + 1 :]
    assume(changed != name)
    assert names.backup_moment(changed) != moment


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    for reader in READERS:
        assert reader(text) is None
    assert names.parse_stamp(text) is None


@pytest.mark.parametrize(
    "name",
    [
        "backup-20260131T020000Z\n",
        " backup-20260131T020000Z",
        "backup-20260131T020000Z-old",
        "backup-20260131T020000z",
        "Backup-20260131T020000Z",
        "my-backup-20260131T020000Z",
        "backup_20260131T020000Z",
        "backup-20260131",
        "backup-2026-01-31T02:00:00Z",
        "backup-20260131020000",
        "backup-20260231T020000Z",
        "backup-20261301T020000Z",
        "backup-20260131T240000Z",
        "backup-20260131T026000Z",
        "backup-20260131T020060Z",
        "backup-00000131T020000Z",
        "backup-２０２６0131T020000Z",
        "backup-٢٠٢٦0131T020000Z",
        "backup-",
        "backup",
        "",
        "backup-20260131T020000Z-20260131T020000Z",
        "debug-restore-20260131T020000Z",
        "staging-20260131T020000Z",
        names.MIRROR,
    ],
)
def test_a_name_that_almost_matches_is_no_backup(name: str) -> None:
    assert names.backup_moment(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "debug-restore-20260131T020000Z",
        "debug-restore-20260131T020000Z-",
        "debug-restore-20260131T020000Z-20260231T020000Z",
        "debug-restore-20260131T020000Z-20260131T020000Z-2",
        "debug-restore-backup-20260131T020000Z-20260131T020000Z",
        "debug-restore-20260131T020000Z-20260131T020000Z\n",
    ],
)
def test_a_name_that_almost_matches_is_no_drill(name: str) -> None:
    assert names.drill_moment(name) is None


def test_a_moment_without_a_zone_has_no_name() -> None:
    naive = datetime(2026, 1, 31, 2)  # noqa: DTZ001
    for make in (names.stamp, names.backup, names.staging):
        with pytest.raises(ValueError, match="time zone"):
            make(naive)


def test_a_fraction_of_a_second_is_cut_and_not_rounded() -> None:
    moment = datetime(2026, 1, 31, 2, 0, 0, 999_999, tzinfo=UTC)
    assert names.backup(moment) == "backup-20260131T020000Z"
