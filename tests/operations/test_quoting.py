"""A server that quotes every name by default: the schema is read in the same words all the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from supaneon_sync.policy import names
from supaneon_sync.sandbox.testing import Sandbox
from tests.tool import perform

QUOTED = "SET quote_all_identifiers = on"


@pytest.mark.parametrize(("source", "target"), [(15, 17), (18, 18)])
def test_a_default_that_quotes_all_names_on_either_side_changes_nothing(
    make_sandbox: Callable[..., Sandbox], source: int, target: int
) -> None:
    sandbox = make_sandbox(primary="sample", primary_major=source, major=target, rows_scale=0.1)
    assert sandbox.primary_server is not None
    perform(sandbox, "backup")
    sandbox.primary_server.execute(f"ALTER ROLE postgres {QUOTED}")
    assert moved(sandbox) == set()
    sandbox.execute(names.MIRROR, f"ALTER ROLE neondb_owner {QUOTED}")
    assert moved(sandbox) == set()
    sandbox.primary_server.execute("ALTER ROLE postgres RESET ALL")
    assert moved(sandbox) == set()
    sandbox.primary_server.execute(f"ALTER DATABASE postgres {QUOTED}")
    assert moved(sandbox) == set()
    outcome = perform(sandbox, "backup", strategy="rebuild")
    assert outcome.verdict == "ok"
    assert perform(sandbox, "restore-test").verdict == "pass"


def moved(sandbox: Sandbox) -> set[str]:
    """Bring the mirror along, and return the tables that anything was done to."""
    outcome = perform(sandbox, "backup", strategy="delta")
    assert outcome.verdict == "ok"
    tables = outcome.report["moved"]
    assert isinstance(tables, list)
    return {one["table"] for one in tables if one["state"] != "unchanged"}
