"""The check that CI makes of a release commit, on commits that are right and wrong."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.workflows.rules import ROOT

IMAGE = "docker://ghcr.io/o/supaneon-sync@sha256:" + "a" * 64
ACTION = "name: x\nruns:\n  using: docker\n  image: Dockerfile\n"


def git(repository: Path, *words: str) -> None:
    subprocess.run(
        ("git", "-c", "user.name=t", "-c", "user.email=t@t", *words),
        cwd=repository,
        check=True,
        capture_output=True,
    )


def checked(repository: Path, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Commit the files on top of a plain action.yml, and check that commit."""
    git(repository, "init", "--quiet")
    (repository / "action.yml").write_text(ACTION)
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "before")
    for name, text in files.items():
        (repository / name).write_text(text)
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "Release v1.0.0")
    return subprocess.run(
        (str(ROOT / ".github/check-release-commit"), "HEAD"),
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_commit_that_changes_the_image_line_alone_passes(tmp_path: Path) -> None:
    assert checked(tmp_path, {"action.yml": ACTION.replace("Dockerfile", IMAGE)}).returncode == 0


@pytest.mark.parametrize(
    "files",
    [
        {"action.yml": ACTION.replace("Dockerfile", IMAGE), "other": "x"},
        {"action.yml": ACTION.replace("Dockerfile", IMAGE).replace("name: x", "name: y")},
        {"action.yml": ACTION.replace("Dockerfile", "docker://ghcr.io/o/supaneon-sync:v1")},
        {"action.yml": ACTION + "  pre-entrypoint: evil\n"},
        {"other": "x"},
    ],
    ids=["another file", "another line", "a tag instead of a digest", "an added line", "no image line"],
)
def test_any_other_commit_is_refused(tmp_path: Path, files: dict[str, str]) -> None:
    assert checked(tmp_path, files).returncode == 1
