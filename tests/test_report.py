from __future__ import annotations

import html
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supaneon_sync.report import document, markdown, outputs, terminal
from supaneon_sync.report.outcome import Outcome, Table
from supaneon_sync.report.text import harmless, volume_text
from supaneon_sync.secret import Secret
from tests.door_verbs import OUTCOME

NASTY = "a|b`c`<script>alert(1)</script> *x* _y_ [z](http://e) ![i](u) #1 @team &amp; \\ ~~s~~"


def unescaped(text: str) -> str:
    """Return what a reader sees: entities resolved, backslashes before punctuation gone."""
    return html.unescape(re.sub(r"\\([\\*_~\[\]!#])", r"\1", text))


@given(st.text(st.characters(exclude_categories=("Cc", "Cs", "Cf", "Zl", "Zp"))))
def test_escaped_text_is_seen_as_it_was(text: str) -> None:
    escaped = markdown.escape(text)
    assert not re.search(r"[<>|`@]", escaped)
    assert unescaped(escaped) == " ".join(text.split())


def test_no_text_breaks_a_table_or_becomes_markup() -> None:
    outcome = Outcome(NASTY, "ok", NASTY, ((NASTY, NASTY),), (Table(NASTY, (NASTY,), ((NASTY,),)),), (NASTY,))
    text = markdown.render(outcome)
    assert "<script>" not in text
    assert not re.search(r"(?<!\\)[*_\[`~]", text)
    for line in text.splitlines():
        if line.startswith("| "):
            assert line.count("|") in (2, 3)


def test_a_line_break_in_a_name_stays_in_its_cell() -> None:
    text = markdown.render(Outcome("a", "ok", "h", tables=(Table("t", ("c",), (("x\n| y |\n# z",),)),)))
    assert "| x &#124; y &#124; \\# z |" in text


@pytest.mark.parametrize(
    ("outcome", "mood", "badge"),
    [
        (Outcome("backup", "ok", ""), "good", "✅"),
        (Outcome("backup", "degraded", ""), "warning", "⚠️"),
        (Outcome("backup", "something new", ""), "warning", "⚠️"),
        (Outcome("list", "ok", "", exit_code=6), "bad", "❌"),
    ],
)
def test_only_what_is_known_to_be_good_looks_good(outcome: Outcome, mood: str, badge: str) -> None:
    assert terminal.mood(outcome) == mood
    assert markdown.render(outcome).startswith(f"### {badge} ")


def test_colours_are_painted_only_when_asked_for() -> None:
    assert "\x1b[1;32mok\x1b[0m" in terminal.render(OUTCOME, terminal.Style(colour=True))
    assert "\x1b" not in terminal.render(OUTCOME)


def test_a_name_cannot_steer_the_terminal() -> None:
    hostile = "a\x1b[2Jb\rc\x9bd\u202ee"
    shown = terminal.render(Outcome("x", hostile, hostile, ((hostile, hostile),), notes=(hostile,)))
    assert not re.search(r"[\x1b\r\x9b\u202e]", shown)
    assert "\\x1b[2J" in shown
    assert harmless("größe\t→\n") == "größe\t→\n"


def test_columns_are_aligned_and_numbers_stand_to_the_right() -> None:
    table = Table("T", ("Name", "Rows"), (("a", "1"), ("longer", "1000")), frozenset({"Rows"}))
    lines = terminal.render(Outcome("x", "ok", "h", tables=(table,))).splitlines()
    assert lines[-3:] == ["  Name    Rows", "  a          1", "  longer  1000"]


def test_an_empty_table_says_none() -> None:
    assert "None." in markdown.render(Outcome("x", "ok", "h", tables=(Table("T", ("A",), ()),)))
    assert "None." in terminal.render(Outcome("x", "ok", "h", tables=(Table("T", ("A",), ()),)))


@given(st.text(), st.integers(min_value=0, max_value=400))
def test_a_shortened_summary_fits_and_points_on(text: str, limit: int) -> None:
    short = markdown.shorten(text, limit, "See the report.")
    assert len(short.encode("utf-8", "surrogatepass")) <= limit
    if short and short != text:
        assert short.endswith("See the report.\n")


def test_bytes_are_told_in_units_for_people() -> None:
    assert [volume_text(size) for size in (0, 1023, 1024, 3_500_000, 5 * 1024**5)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "3.3 MiB",
        "5120.0 TiB",
    ]


def test_a_document_holds_moments_durations_and_paths_and_never_a_secret() -> None:
    moment = datetime(2026, 1, 31, 2, tzinfo=UTC)
    told = document.plain({"a": moment, "b": timedelta(seconds=90), "c": Path("x"), "d": {2, 1}})
    assert told == {"a": "2026-01-31T02:00:00+00:00", "b": 90.0, "c": "x", "d": [1, 2]}
    with pytest.raises(TypeError):
        document.plain({"key": Secret("canary")})


def test_a_report_is_replaced_whole_and_the_old_one_survives_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.json"
    document.write(path, "old")

    def full(_handle: int) -> None:
        raise OSError("no space")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        document.write(path, "new")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]


def test_an_output_that_is_declared_secret_is_never_plain() -> None:
    stray = Outcome("resolve", "ok", "", outputs={"connection-uri": "postgresql://u:p@h/d", "host": "h"})
    assert "connection-uri" not in outputs.plain(stray)
    assert set(outputs.secret(stray)) == {"connection-uri"}


def test_the_outputs_of_the_design_are_all_there() -> None:
    names = (
        "branch-name branch-id snapshot-time age-seconds drill-verdict drill-branch connection-uri "
        "pooled-connection-uri connection-uri-without-password host pooled-host database role verdict "
        "failure-kind report"
    )
    assert set(names.split()) <= set(outputs.BY_NAME)


def test_the_document_of_an_outcome_is_json() -> None:
    told = json.loads(document.text(document.of_outcome(OUTCOME, {})))
    assert told["facts"] == {"Branch": "backup-20260131T020000Z", "Rows": "42"}
    assert "connection-uri" not in told["outputs"]
