"""What is written for people, held to what is there: links, commands, messages, tests that are named."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from supaneon_sync import registry
from supaneon_sync.errors import exit_codes
from supaneon_sync.settings import BY_NAME
from tests.workflows.rules import ROOT

DOCUMENTS = [
    ROOT / name
    for name in subprocess.run(
        ("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
]
each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def anchors(path: Path) -> set[str]:
    """Return what GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(path: Path, text: str) -> list[str]:
    """Name links that lead to no file, or to no heading in it."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


def unknown_commands(text: str) -> list[str]:
    """Name ``supaneon-sync VERB`` and flags that this installation does not have."""
    unknown = []
    for line in re.findall(r"supaneon-sync ((?:[a-z][\w-]*)(?:[^\n`|#]*))", text):
        name, *words = line.split()
        if name == "sandbox":
            continue
        verb = registry.find(name)
        flags = [word.partition("=")[0][2:] for word in words if word.startswith("--")]
        if verb is None or any(f not in BY_NAME or verb.operation not in BY_NAME[f].verbs for f in flags):
            unknown.append(line)
    return unknown


@each_document
def test_every_link_leads_somewhere(path: Path) -> None:
    assert broken_links(path, path.read_text()) == []


@pytest.mark.parametrize("name", ["docs/runbook.md", "docs/troubleshooting.md", "docs/security.md"])
def test_every_command_is_one_that_works(name: str) -> None:
    assert unknown_commands((ROOT / name).read_text()) == []


def test_every_message_that_troubleshooting_quotes_can_be_read() -> None:
    sources = (ROOT / "supaneon_sync").rglob("*.py")
    # Python joins adjacent pieces of a message; so is it done here.
    said = " ".join(re.sub(r'"\s*\n\s*f?"', "", source.read_text()) for source in sources)
    rows = re.findall(
        r"^\| (?:exit code \d+, )?`([^`]+)` \|", (ROOT / "docs/troubleshooting.md").read_text(), re.MULTILINE
    )
    assert len(rows) > 20
    assert [fragment for fragment in rows if fragment not in said] == []


def test_the_runbook_explains_every_exit_code() -> None:
    text = (ROOT / "docs/runbook.md").read_text()
    assert [kind for _, kind, _ in exit_codes() if kind and f"`{kind}`" not in text] == []


def test_every_test_that_a_guarantee_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs/guarantees.md").read_text())
    assert len(named) > 10
    missing = [f"{file}::{name}" for file, name in named if f"def {name}(" not in (ROOT / file).read_text()]
    assert missing == []


def test_each_of_these_checks_is_known_to_ring(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A heading\n")
    text = "[a](nowhere.md) [b](#a-heading) [c](#no-heading) [d](https://example.com)"
    assert broken_links(page, text) == ["nowhere.md", "#no-heading"]
    assert unknown_commands(
        "supaneon-sync frobnicate\nsupaneon-sync list --max-agee 1h\nsupaneon-sync list"
    ) == [
        "frobnicate",
        "list --max-agee 1h",
    ]
