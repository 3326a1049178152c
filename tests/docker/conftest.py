"""A runner for each test; a sandbox with the sample primary for all of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from supaneon_sync.sandbox.testing import Sandbox
from tests.docker.engine import Runner, image


@pytest.fixture(autouse=True)
def _image_is_there() -> None:
    image()


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """GitHub's runner with an empty workspace."""
    return Runner(tmp_path)


@pytest.fixture(scope="module")
def standby() -> Iterator[Sandbox]:
    """A sandbox with the sample primary, on this machine's loopback."""
    image()
    with Sandbox(primary="sample") as sandbox:
        yield sandbox
