"""The page for three in the morning says what the tool does: steps, commands, messages."""

from __future__ import annotations

import re

from supaneon_sync.policy.failover import Step
from tests.docs.test_documents import unknown_commands
from tests.workflows.rules import ROOT

PAGE = (ROOT / "docs/failover.md").read_text()


def first_cells(heading: str) -> list[str]:
    """Return the first cell of each row of the table under a heading."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \|", section, re.MULTILINE)
    return [row for row in rows[1:] if not row.startswith("---")]


def test_the_steps_are_those_that_are_taken_in_their_order() -> None:
    assert first_cells("What you will see") == [step.value for step in Step]


def test_every_command_is_one_that_works() -> None:
    assert len(re.findall("supaneon-sync", PAGE)) > 15
    assert unknown_commands(PAGE) == []


def test_every_message_can_be_read() -> None:
    sources = (ROOT / "supaneon_sync").rglob("*failover*.py")
    said = " ".join(re.sub(r'"\s*\n\s*f?"', "", source.read_text()) for source in sources)
    quoted = [cell for cell in first_cells("It broke off") if cell.startswith("`")]
    assert len(quoted) == 5
    for message in quoted:
        for part in message.strip("`").split("…"):
            assert part.strip() in said, message


def test_every_workflow_that_is_named_is_there() -> None:
    named = re.findall(r"`(workflows-examples/[\w.-]+)`", PAGE)
    assert named
    assert all((ROOT / name).exists() for name in named)
