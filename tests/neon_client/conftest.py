from __future__ import annotations

from collections.abc import Iterator

import pytest

from supaneon_sync.neon_client import NeonClient
from tests.neon_client.tiny_neon import FakeTime, TinyNeon, client, serving


@pytest.fixture
def neon() -> TinyNeon:
    return TinyNeon()


@pytest.fixture
def base(neon: TinyNeon) -> Iterator[str]:
    with serving(neon) as url:
        yield url


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def api(base: str, time: FakeTime) -> Iterator[NeonClient]:
    with client(base, time) as made:
        yield made
