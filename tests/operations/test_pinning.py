"""Pins: kept in the ledger, and as Neon's protection where the plan has one left."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from supaneon_sync.errors import ConfigError, Locked, Refused
from supaneon_sync.operations import pinning
from supaneon_sync.operations import prune as pruning
from supaneon_sync.operations.standby import opened
from supaneon_sync.policy.retention import DEFAULT
from supaneon_sync.sandbox.testing import Sandbox
from tests.operations.test_prune import asked, furnish, nights, prune, record, why

MakeSandbox = Callable[..., Sandbox]


def test_a_pinned_backup_outlives_the_policy_until_it_is_unpinned(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox()
    furnish(sandbox)
    old = record(sandbox, *nights(5))
    told = pinning.pin(*asked(sandbox, "pin", backup=old[-1]))
    assert told.outputs["branch-name"] == old[-1]
    assert sandbox.branch(old[-1]).protected
    outcome = prune(sandbox, yes=True, keep_last=2, minimum=2)
    assert old[-1] in sandbox.names()
    assert why(outcome, old[-1]) == "pinned; protected on Neon"
    assert pinning.unpin(*asked(sandbox, "unpin", backup=old[-1])).headline.endswith("is no longer pinned.")
    assert not sandbox.branch(old[-1]).protected
    prune(sandbox, yes=True, keep_last=2, minimum=2)
    assert old[-1] not in sandbox.names()


def test_a_plan_without_protection_is_no_obstacle_to_a_pin(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(plan="free")
    furnish(sandbox)
    old = record(sandbox, *nights(5))
    told = pinning.pin(*asked(sandbox, "pin", backup=old[-1]))
    assert told.notes[0].startswith("Neon does not protect the branch as well")
    assert not sandbox.branch(old[-1]).protected
    assert why(prune(sandbox, yes=True, keep_last=1, minimum=1), old[-1]) == "pinned"
    assert old[-1] in sandbox.names()


def test_protection_that_somebody_else_set_is_not_lifted_by_unpin(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox()
    furnish(sandbox)
    (name,) = record(sandbox, *nights(1), protected=True)
    pinning.pin(*asked(sandbox, "pin", backup=name))
    told = pinning.unpin(*asked(sandbox, "unpin", backup=name))
    assert sandbox.branch(name).protected
    assert "was not set by a pin" in told.notes[0]
    assert pinning.unpin(*asked(sandbox, "unpin", backup=name)).headline.endswith("was not pinned.")


def test_pinning_waits_for_no_prune_and_needs_a_backup_that_is_there(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox()
    newest = furnish(sandbox)
    record(sandbox, *nights(2))
    settings, run = asked(sandbox)
    with opened(settings, run) as standby, pruning.pruning(standby, DEFAULT), pytest.raises(Locked):
        pinning.pin(*asked(sandbox, "pin"))
    with pytest.raises(Refused, match="no backup"):
        pinning.pin(*asked(sandbox, "pin", backup="backup-20000101T000000Z"))
    with pytest.raises(ConfigError, match="needs the name"):
        pinning.unpin(*asked(sandbox, "unpin"))
    assert pinning.pin(*asked(sandbox, "pin")).outputs["branch-name"] == newest
