from __future__ import annotations

import itertools
import os

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from supaneon_sync.workflow_commands import command, heredocs, line

TEXT = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",))),
    st.lists(st.sampled_from(("%", "25", "%0A", "%2C", "\n", "\r", ":", ",", "=", "::", "<<", "a "))).map(
        "".join
    ),
)


def read_command(text: str) -> tuple[str, dict[str, str], str] | None:
    """Read one line as the runner does (ActionCommand.TryParseV2): name, properties, message."""
    message = text.lstrip()
    if not message.startswith("::"):
        return None
    end = message.find("::", 2)
    if end < 0:
        return None
    name, _, rest = message[2:end].partition(" ")
    properties = {}
    for pair in rest.strip().split(","):
        key, equals, value = pair.partition("=")
        if equals:
            properties[key.strip()] = unescape(value, ("%2C", ","), ("%3A", ":"))
    return name, properties, unescape(message[end + 2 :])


def unescape(text: str, *more: tuple[str, str]) -> str:
    for escaped, plain in (*more, ("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        text = text.replace(escaped, plain)
    return text


def read_file(text: str) -> dict[str, str]:
    """Read a file of outputs as the runner does (EnvFileKeyValuePairs)."""
    found: dict[str, str] = {}
    lines = iter(text.split("\n"))
    for start in lines:
        if not start:
            continue
        equals, heredoc = start.find("="), start.find("<<")
        if equals >= 0 and (heredoc < 0 or equals < heredoc):
            key, _, value = start.partition("=")
            found[key] = value
            continue
        key, delimiter = start.split("<<", 1)
        if not key or not delimiter:
            raise ValueError("invalid format")
        body = list(itertools.takewhile(lambda part, end=delimiter: part != end, lines))
        found[key] = "\n".join(body)
    return found


@given(TEXT, TEXT)
def test_a_command_is_read_back_as_it_was_meant(title: str, message: str) -> None:
    assume(title.strip() == title != "" and "\n" not in title.split("\r"))
    written = command("error", message, title=title)
    assert "\n" not in written
    assert "\r" not in written
    assert read_command(written) == ("error", {"title": title}, message)


@given(st.dictionaries(st.sampled_from(["branch-name", "report", "connection-uri"]), TEXT))
def test_outputs_are_read_back_as_they_were(outputs: dict[str, str]) -> None:
    assert read_file(heredocs(outputs, os.urandom)) == outputs


def test_a_value_cannot_end_its_heredoc_and_begin_another_output() -> None:
    token = itertools.count()
    hostile = "x\nsupaneon_00\ninjected<<supaneon_00\nyes\nsupaneon_00"
    text = heredocs({"report": hostile}, lambda size: next(token).to_bytes(size, "big"))
    assert read_file(text) == {"report": hostile}


def test_a_delimiter_that_stands_in_the_value_is_refused() -> None:
    with pytest.raises(ValueError, match="not random"):
        heredocs({"report": "supaneon_" + "00" * 16}, bytes)


@given(TEXT)
def test_no_text_of_a_line_is_taken_for_a_command(text: str) -> None:
    for shown in line(text).split("\n"):
        assert read_command(shown) is None
        assert "##[" not in shown


@pytest.mark.parametrize("text", ["::add-path::/tmp", "  ::error::x", "a\n::stop-commands::x", "##[group]x"])
def test_a_command_in_a_name_is_made_harmless(text: str) -> None:
    assert any(read_command(part) or "##[" in part for part in text.split("\n"))
    assert not any(read_command(part) or "##[" in part for part in line(text).split("\n"))
