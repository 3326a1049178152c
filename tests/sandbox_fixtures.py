"""Fixtures with a whole sandbox in the test's process; ``tests/conftest.py`` makes them known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from supaneon_sync.sandbox.testing import Sandbox

MakeSandbox = Callable[..., Sandbox]


@pytest.fixture
def make_sandbox() -> Iterator[MakeSandbox]:
    """A function: a running sandbox with the given choices (``Choices``), gone at the end of the test."""
    with ExitStack() as stack:

        def make(**choices: Any) -> Sandbox:
            return stack.enter_context(Sandbox(**choices))

        yield make


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox without a primary, of the plan with many branches, for one test (about half a second)."""
    with Sandbox() as one:
        yield one


@pytest.fixture(scope="module")
def shared_sandbox() -> Iterator[Sandbox]:
    """The same for all tests of a module, which must not mind each other's branches."""
    with Sandbox() as one:
        yield one
