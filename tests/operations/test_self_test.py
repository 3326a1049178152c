"""The drill's alarm rings for every damage; and the self-test notices an alarm that does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from supaneon_sync.errors import Refused
from supaneon_sync.operations import self_test
from supaneon_sync.operations.drill_areas import Seen
from supaneon_sync.operations.drill_records import Records
from supaneon_sync.report.outcome import Outcome
from supaneon_sync.sandbox.testing import Sandbox
from tests.comparing import branch_contents
from tests.tool import perform


@pytest.fixture(scope="module")
def world() -> Iterator[Sandbox]:
    with Sandbox(primary="sample", rows_scale=0.05) as sandbox:
        perform(sandbox, "backup")
        yield sandbox


def cases(outcome: Outcome) -> dict[str, dict[str, str]]:
    found: Any = outcome.report["cases"]
    return {one["title"]: one for one in found}


def test_every_damage_is_caught_and_the_control_passes(world: Sandbox) -> None:
    names = world.names()
    (backup,) = (name for name in names if name.startswith("backup-"))
    before = branch_contents(world, backup)
    outcome = perform(world, "self-test")
    missed = {title: one for title, one in cases(outcome).items() if one["result"] != "caught"}
    assert missed == {}
    assert outcome.notes[-1] == f"caught {len(cases(outcome))} of {len(cases(outcome))}, control passes"
    assert len(cases(outcome)) == len(self_test.DAMAGES) + 4 == 17
    assert (outcome.verdict, outcome.exit_code) == ("ok", 0)
    assert world.names() == names
    assert branch_contents(world, backup) == before


@pytest.mark.parametrize(
    ("blind", "title"),
    [
        ("_rows", "one value is changed"),
        ("_schema", "an index is dropped"),
        ("_sequences", "a sequence is moved back"),
    ],
)
def test_a_drill_that_does_not_look_is_told_by_name(
    world: Sandbox, monkeypatch: pytest.MonkeyPatch, blind: str, title: str
) -> None:
    monkeypatch.setattr(Records, blind, lambda _: Seen("everything, it says"))
    only = tuple(damage for damage in self_test.DAMAGES if damage.case.title == title)
    assert only
    monkeypatch.setattr(self_test, "DAMAGES", only)
    outcome = perform(world, "self-test")
    assert cases(outcome)[title]["result"] == "MISSED"
    assert outcome.notes[-1] == "caught 4 of 5, control passes"
    assert (outcome.verdict, outcome.exit_code, outcome.failure_kind) == ("failed", 6, "checks")
    assert not [name for name in world.names() if name.startswith("debug-restore-")]


def test_a_control_that_fails_fails_the_self_test(world: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    (backup,) = (name for name in world.names() if name.startswith("backup-"))
    monkeypatch.setattr(self_test, "DAMAGES", self_test.DAMAGES[:1])
    world.execute(backup, "CREATE TABLE public.stranger ()")
    try:
        outcome = perform(world, "self-test")
    finally:
        world.execute(backup, "DROP TABLE public.stranger")
    assert outcome.exit_code == 6
    assert outcome.notes[-1].endswith("control FAILS")
    assert "Control, schema: relation public.stranger is there and was not recorded." in outcome.notes


def test_without_a_backup_there_is_nothing_to_try(make_sandbox: Callable[..., Sandbox]) -> None:
    with pytest.raises(Refused, match="no backup"):
        perform(make_sandbox(), "self-test")
