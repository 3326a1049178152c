from __future__ import annotations

import re
from pathlib import Path

import pytest

from supaneon_sync import errors
from supaneon_sync.errors import FAMILIES, ConfigError, PrimaryError, SnapshotLost, SupaneonError, exit_codes


def test_the_families_have_the_documented_codes() -> None:
    documented = {
        "bug": 1,
        "config": 2,
        "primary": 3,
        "neon": 4,
        "quota": 5,
        "data": 6,
        "refused": 7,
        "locked": 8,
        "cancelled": 130,
    }
    assert {family.failure_kind: family.exit_code for family in FAMILIES} == documented
    assert {kind: code for code, kind, _ in exit_codes() if kind} == documented


def test_every_class_of_error_belongs_to_a_family() -> None:
    classes = [
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)
    ]
    assert {cls.failure_kind for cls in classes if issubclass(cls, SupaneonError)} == {
        family.failure_kind for family in FAMILIES
    }
    assert SnapshotLost.exit_code == PrimaryError.exit_code


def test_an_error_says_what_and_what_to_do_and_keeps_its_evidence() -> None:
    error = PrimaryError("It is not there.", remedy="Look.", sqlstate="08006", host=None)
    assert str(error) == "It is not there. Look."
    assert error.evidence == {"sqlstate": "08006"}


def test_a_config_error_lists_every_problem() -> None:
    assert ConfigError("Two.", problems=("one", "two")).problems == ("one", "two")
    assert ConfigError("One.", remedy="Mend it.").problems == ("One. Mend it.",)


@pytest.mark.parametrize("code", [code for code, _, _ in exit_codes()])
def test_every_exit_code_has_a_meaning_in_one_sentence(code: int) -> None:
    meaning = next(text for number, _, text in exit_codes() if number == code)
    assert meaning.endswith(".")
    assert "\n" not in meaning


def test_only_the_doors_end_the_process() -> None:
    root = Path(errors.__file__).parent
    doors = {"cli.py", "action.py", "reference.py", "signals.py", "__main__.py"}
    enders = {
        path.name
        for path in root.rglob("*.py")
        if "sandbox" not in path.parts
        and re.search(r"\b(sys\.exit|os\._exit|SystemExit)\(", path.read_text())
    }
    assert enders - doors <= {"client.py", "__main__.py"}  # a module run by itself is its own door
