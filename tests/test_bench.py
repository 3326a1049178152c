"""The bench at its smallest: every contender runs, and what it costs is written down."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench import compare
from bench.telling import FLOOR
from tests.workflows.rules import ROOT


def test_a_quick_look_measures_every_contender(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    order = ["--shapes", "many-tables", "--size", "1", "--rounds", "1", "--delays", "0", "--json", str(file)]
    ran = subprocess.run(
        [sys.executable, "-m", "bench.compare", *order], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(file.read_text())
    (result,) = found["results"]
    assert result["contenders"].keys() == {*compare.CONTENDERS, FLOOR} - found["left_out"].keys()
    assert {compare.OURS, compare.OURS_PROVED, compare.OURS_BARE} <= result["contenders"].keys()
    assert all(one["seconds"] > 0 for one in result["contenders"].values())
    assert file.with_suffix(".svg").exists()
