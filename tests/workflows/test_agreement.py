"""Examples and action agree: every input, output and operation that a workflow names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from supaneon_sync import registry
from supaneon_sync.report.outputs import BY_NAME as OUTPUTS
from supaneon_sync.settings import BY_NAME as SETTINGS
from supaneon_sync.settings import DOOR_INPUTS
from tests.workflows import rules

CALLERS = [*rules.EXAMPLES, rules.NIGHTLY]


@pytest.mark.parametrize("path", CALLERS, ids=lambda path: path.parent.name + "/" + path.name)
def test_every_input_that_is_given_is_an_input(path: Path) -> None:
    for step in rules.steps(rules.read(path)):
        uses = step.get("uses", "")
        if uses == "OWNER/supaneon-sync@v1":
            given = set(step["with"]) - set(DOOR_INPUTS)
            verb = registry.find(step["with"]["operation"])
            assert verb is not None, step["with"]["operation"]
            takes = {name for name in given if name in SETTINGS and verb.operation in SETTINGS[name].verbs}
            assert given == takes
        if uses == "OWNER/supaneon-sync/nightly@v1":
            assert set(step["with"]) <= set(rules.read(rules.NIGHTLY)["inputs"])


@pytest.mark.parametrize("path", CALLERS, ids=lambda path: path.parent.name + "/" + path.name)
def test_every_step_output_that_is_read_is_an_output(path: Path) -> None:
    read = set(re.findall(r"steps\.\w+\.outputs\.([\w-]+)", path.read_text()))
    assert read <= set(OUTPUTS)


@pytest.mark.parametrize("path", CALLERS, ids=lambda path: path.parent.name + "/" + path.name)
def test_every_input_that_a_verb_needs_is_given(path: Path) -> None:
    for step in rules.steps(rules.read(path)):
        if step.get("uses") == "OWNER/supaneon-sync@v1":
            operation = step["with"]["operation"]
            needed = {setting.name for setting in SETTINGS.values() if operation in setting.required}
            assert needed <= set(step["with"])
