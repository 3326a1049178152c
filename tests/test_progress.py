from __future__ import annotations

import io
import re
from datetime import UTC, datetime

import pytest

from supaneon_sync.console import Console
from supaneon_sync.progress import ActionProgress, Face, LiveProgress, LogProgress, Times
from supaneon_sync.redaction import Redactor
from tests.test_workflow_commands import read_command


class Clock:
    """Time that moves when it is told to."""

    seconds = 0.0

    def times(self) -> Times:
        return Times(clock=lambda: datetime(2026, 1, 31, 2, 3, 4, tzinfo=UTC), monotonic=lambda: self.seconds)


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def written() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def console(written: io.StringIO) -> Console:
    return Console(written, written, Redactor())


def test_a_log_gets_a_line_a_step_and_one_every_five_seconds(console: Console, written: io.StringIO) -> None:
    clock = Clock()
    progress = LogProgress(console, clock.times())
    progress.step("Copy")
    for second in range(12):
        clock.seconds = second
        progress.advance("tables", second, 20, 1024 * second)
    assert written.getvalue().splitlines() == [
        "02:03:04 Copy",
        "02:03:04   tables 0/20",
        "02:03:04   tables 5/20, 5.0 KiB, 1.0 KiB/s",
        "02:03:04   tables 10/20, 10.0 KiB, 1.0 KiB/s",
    ]


def test_the_end_of_the_work_is_always_told(console: Console, written: io.StringIO) -> None:
    progress = LogProgress(console, Clock().times())
    progress.advance("tables", 1, 2)
    progress.advance("tables", 2, 2)
    assert "tables 2/2" in written.getvalue()


def test_on_a_terminal_one_line_is_drawn_over_itself(console: Console, written: io.StringIO) -> None:
    clock = Clock()
    progress = LiveProgress(console, clock.times())
    progress.step("Copy")
    for done in range(11):
        clock.seconds = done
        progress.advance("tables", done, 10)
    progress.note("a note")
    progress.close()
    text = written.getvalue()
    assert text.count("\n") == 2
    assert text.count("\r\x1b[K") == 12
    assert re.search(r"#{20} tables 10/10\r\x1b\[K  a note\n$", text)


def test_the_moving_line_keeps_a_pace_and_the_width(
    console: Console, written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    progress = LiveProgress(console, Clock().times())
    for done in range(100):
        progress.advance("a table with a long name", done, 1000)
    assert written.getvalue().count("\r") == 1
    assert len(written.getvalue().removeprefix("\r\x1b[K")) <= 29


def test_nothing_to_do_is_drawn_as_done(console: Console, written: io.StringIO) -> None:
    LiveProgress(console, Clock().times()).advance("tables", 0, 0)
    assert "####" in written.getvalue()


def test_the_action_groups_by_step_and_closes_what_it_opens(written: io.StringIO) -> None:
    console = Console(written, written, Redactor(), in_step=True)
    progress = ActionProgress(console, Clock().times(), masking=True)
    progress.step("one")
    progress.note("::add-path::/tmp")
    progress.step("two")
    progress.advance("tables", 2, 2)
    progress.close()
    progress.close()
    commands = [found[0] for line in written.getvalue().splitlines() if (found := read_command(line))]
    assert commands == ["group", "endgroup", "group", "endgroup"]
    assert "tables 2/2" in written.getvalue()


def test_masks_are_given_only_where_a_runner_takes_them_out(console: Console, written: io.StringIO) -> None:
    ActionProgress(console, Clock().times(), masking=False).secret("canary")
    assert written.getvalue() == ""
    ActionProgress(console, Clock().times(), masking=True).secret("second canary")
    assert "::add-mask::second canary\n" in written.getvalue()
    before = written.getvalue()
    ActionProgress(console, Clock().times(), masking=True).secret("second canary")
    assert written.getvalue() == before


@pytest.mark.parametrize("face", [LogProgress, LiveProgress])
def test_no_face_shows_a_secret_or_a_control_character(
    console: Console, written: io.StringIO, face: type[LogProgress] | type[LiveProgress]
) -> None:
    progress: Face = face(console, Clock().times())
    progress.secret("canary")
    progress.step("canary\x1b[2J")
    progress.note("canary\x07")
    progress.warning("canary\x9b")
    progress.advance("canary\x1b", 1, 1)
    assert "canary" not in written.getvalue()
    assert not re.search(r"[\x07\x9b]|\x1b(?!\[K)", written.getvalue())


def test_a_console_that_knows_only_ascii_gets_no_error() -> None:
    raw = io.BytesIO()
    stream = Terminal(raw, encoding="ascii", errors="backslashreplace")
    progress = LiveProgress(Console(stream, stream, Redactor()), Clock().times())
    progress.step("größe")
    assert raw.getvalue() == b"> gr\\xf6\\xdfe\n"
