"""Rows near the limit of what PostgreSQL sends in one piece, 1 GiB: those that fit, and those that cannot.

With memory for it (an eighth of it is for the servers' files, where these are kept in memory).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from supaneon_sync.errors import PrimaryError
from tests.postgres.test_copying import MakeServer, Two

SIZE = 540_000_000
"""Bytes of the value: twice as many do not fit into 1 GiB."""
NEEDED = 6_000_000_000
"""Bytes of memory that must be free; 3.8 GB were seen in use."""
SETTINGS = {"wal_level": "minimal", "max_wal_senders": "0", "max_wal_size": "8GB"}


def _available() -> int:
    file = Path("/proc/meminfo")
    lines = file.read_text().splitlines() if file.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), 0)


@pytest.fixture(scope="module")
def two(make_session_server: MakeServer) -> Iterator[Two]:
    """Two servers; the primary has the value in ``public.huge``."""
    if _available() < NEEDED:
        pytest.skip(
            f"values near the limit of 1 GiB are not tested: {_available():,} bytes of memory are free"
        )
    source, target = (make_session_server(17, settings=SETTINGS) for _ in range(2))
    source.execute(
        "CREATE UNLOGGED TABLE public.huge (id int, v bytea STORAGE EXTERNAL);"
        f" INSERT INTO public.huge SELECT 1, convert_to(repeat('x', {SIZE}), 'UTF8')"
    )
    yield Two(source, target)
    source.stop("immediate")
    target.stop("immediate")


def test_a_value_of_more_than_half_a_gibibyte_arrives_in_binary(two: Two) -> None:
    two.target.execute("CREATE TABLE public.huge (id int, v bytea STORAGE EXTERNAL)")
    (copied,) = two.copy("huge")
    assert copied.bytes > SIZE
    query = "SELECT length(v), encode(sha256(v), 'hex') FROM public.huge"
    assert two.target.execute(query) == two.source.execute(query)


@pytest.mark.parametrize(
    ("rows", "refusal"),
    [
        ("SELECT id, v, NULL::xml AS t FROM public.huge", "invalid memory alloc request size"),
        ("SELECT id, v, v AS w FROM public.huge", "out of memory"),
    ],
    ids=["as text a bytea counts twice", "two values in one row"],
)
def test_a_row_that_cannot_be_sent_in_one_piece_is_told_by_its_table_and_the_limit(
    two: Two, rows: str, refusal: str
) -> None:
    two.source.execute(f"CREATE UNLOGGED TABLE public.over AS {rows}")
    two.target.execute("CREATE TABLE public.over (id int, v bytea, t xml, w bytea)")
    try:
        with pytest.raises(PrimaryError) as failure:
            two.copy("over")
        assert f"public.over: the primary refused a statement: {refusal}" in failure.value.message
        assert "1 GiB" in failure.value.remedy
        assert "Split the value" in failure.value.remedy
        assert two.target.execute("SELECT count(*) FROM public.over") == [(0,)]
    finally:
        two.both("DROP TABLE public.over")
