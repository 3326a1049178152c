"""Fixtures of more than one module of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from supaneon_sync.sandbox.testing import Sandbox
from tests.operations.failing_over import clear, with_backup


@pytest.fixture(scope="module")
def backed_up() -> Iterator[Sandbox]:
    """A standby with one backup, for a whole module."""
    with with_backup() as sandbox:
        yield sandbox


@pytest.fixture
def standby(backed_up: Sandbox) -> Iterator[Sandbox]:
    """The same without a failover; every failover is gone afterwards."""
    yield backed_up
    clear(backed_up)
