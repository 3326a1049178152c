from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from supaneon_sync import reference, registry
from supaneon_sync.report.outputs import OUTPUTS
from supaneon_sync.settings import INPUT_NAMES, SETTINGS

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def action() -> dict[str, dict[str, dict[str, object]]]:
    found = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", sorted(reference.files(ROOT)))
def test_what_is_written_says_what_the_code_does(name: str) -> None:
    path = ROOT / name
    assert path.exists(), "run: python -m supaneon_sync.reference"
    made = reference.files(ROOT)[name]
    assert path.read_text(encoding="utf-8") == made, "run: python -m supaneon_sync.reference"


def test_the_action_declares_the_inputs_and_outputs_of_the_tables(
    action: dict[str, dict[str, dict[str, object]]],
) -> None:
    there = {verb.operation for verb in registry.available()}
    unused = {row.name for row in SETTINGS if not there.intersection(row.verbs)}
    assert set(action["inputs"]) == set(INPUT_NAMES) - unused
    assert set(action["outputs"]) == {
        output.name for output in OUTPUTS if there.intersection(output.operations)
    }


def test_no_input_of_the_action_has_a_default_that_would_win_over_the_file(
    action: dict[str, dict[str, dict[str, object]]],
) -> None:
    assert [name for name, declared in action["inputs"].items() if "default" in declared] == []
    assert all(declared["description"] for declared in action["inputs"].values())
    assert all(declared["description"] for declared in action["outputs"].values())


def test_the_action_runs_the_image(action: dict[str, dict[str, dict[str, object]]]) -> None:
    assert action["runs"]["using"] == "docker"
    assert set(action["runs"]) == {"using", "image"}


def test_what_went_out_of_date_is_named_and_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text(
        "# Mine\n\n<!-- settings:begin -->\nOUTDATED\n<!-- settings:end -->\n\n"
        "<!-- verbs:begin -->\n<!-- verbs:end -->\n"
    )
    (tmp_path / "action.yml").write_text(
        "inputs:\n  # inputs:begin\n  OUTDATED: {}\n  # inputs:end\nruns: {}\n"
    )
    assert reference.main(["--check"]) == 1
    assert "README.md" in capsys.readouterr().out
    assert "OUTDATED" in (tmp_path / "README.md").read_text()
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
    readme = (tmp_path / "README.md").read_text()
    assert readme.startswith("# Mine\n\n<!-- settings:begin -->\n\n| Input, flag")
    assert "supaneon-sync config" in readme
    assert "OUTDATED" not in readme + (tmp_path / "action.yml").read_text()


def test_no_page_shows_a_value_of_a_secret() -> None:
    secrets = [row for row in SETTINGS if row.secret]
    assert secrets
    assert all(row.default is None for row in secrets)
