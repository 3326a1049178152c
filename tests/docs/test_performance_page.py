"""What the performance page says, held to the figures that were measured; nothing is measured here."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import compare, datasets, lines, page, picture, telling
from tests.workflows.rules import ROOT

RENDER = "run: python -m bench.page"


def figures(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / f"docs/{name}.json").read_text())
    return found


@pytest.fixture
def rendered(tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], object]], str]:
    """Renders the page of the first copies' figures, changed in some way."""
    for file in (page.TEMPLATE, *(Path(f"docs/{name}.json") for name in ("second", "tiny"))):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)

    def render(change: Callable[[dict[str, Any]], object]) -> str:
        document = figures("bench")
        change(document)
        (tmp_path / "docs/bench.json").write_text(json.dumps(document))
        return page.render(tmp_path)

    return render


def test_the_page_says_what_was_measured() -> None:
    assert (ROOT / page.PAGE).read_text() == page.render(ROOT), RENDER


@pytest.mark.parametrize("name", ["bench", "second"])
def test_the_chart_shows_what_was_measured(name: str) -> None:
    assert (ROOT / f"docs/{name}.svg").read_text() == picture.draw(figures(name))


def test_the_figures_are_of_databases_that_the_bench_makes() -> None:
    made = {
        name: shape(datasets.SIZES[name] * 1_000_000).description for name, shape in datasets.SHAPES.items()
    }
    results = figures("bench")["results"]
    assert {lines.shape(one): one["description"] for one in results} == made


def test_another_figure_makes_another_page_and_may_miss_the_target(
    rendered: Callable[[Callable[[dict[str, Any]], object]], str],
) -> None:
    def seconds(taken: float) -> Callable[[dict[str, Any]], object]:
        def change(document: dict[str, Any]) -> None:
            lines.find(document["results"], "toast")["contenders"][compare.OURS_PROVED]["seconds"] = taken

        return change

    target = r"^\| with proof, at most [\d.]+ of the fastest peer: large values \| [\d.]+: (.+) \|$"
    quick, slow = rendered(seconds(0.01)), rendered(seconds(777))
    assert "| ours with proof | 777.00 |" in slow
    assert [re.findall(target, text, re.MULTILINE) for text in (quick, slow)] == [["reached"], ["**missed**"]]


def test_a_line_that_was_not_measured_is_named(
    rendered: Callable[[Callable[[dict[str, Any]], object]], str],
) -> None:
    def lost(document: dict[str, Any]) -> None:
        document["results"] = [one for one in document["results"] if not one["delay"]]

    with pytest.raises(LookupError, match="many-tables, 10 ms each way: not measured"):
        rendered(lost)


def test_a_line_that_is_measured_again_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    kept, before = tmp_path / "bench.json", figures("bench")
    shape, *others = before["results"]
    now = before | {"results": [shape | {"rounds": 9}], "fingerprints": {shape["shape"]: {"rows": 1}}}
    telling.keep(now, kept, before)
    document = json.loads(kept.read_text())
    assert document["results"] == [*others, shape | {"rounds": 9}]
    assert document["fingerprints"] == before["fingerprints"] | now["fingerprints"]
    assert kept.with_suffix(".svg").read_text() == picture.draw(document)


@pytest.mark.parametrize("condition", ["cores", "jobs", "server", "left_out"])
def test_figures_of_other_conditions_are_not_put_beside_one_another(condition: str) -> None:
    committed = ROOT / "docs/bench.json"
    conditions = {name: figures("bench")[name] for name in ("cores", "jobs", "server", "left_out")}
    assert telling.earlier(committed, conditions) == figures("bench")
    with pytest.raises(SystemExit, match=f"other conditions: {condition}"):
        telling.earlier(committed, conditions | {condition: "other"})
