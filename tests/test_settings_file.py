from __future__ import annotations

from pathlib import Path

import pytest

from supaneon_sync.errors import ConfigError
from supaneon_sync.settings_file import read


def written(directory: Path, text: str | bytes, name: str = "settings.yml") -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_default_file_is_read_where_it_is_there(tmp_path: Path) -> None:
    assert read(None, tmp_path) == {}
    written(tmp_path, "jobs: 2\nmax-age: 26h\n", ".github/supaneon.yml")
    assert read(None, tmp_path) == {"jobs": 2, "max-age": "26h"}


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "absent.yml", tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path, tmp_path)


@pytest.mark.parametrize("text", ["", "---\n", "# nothing yet\n", "\ufeff# with a mark\n"])
def test_an_empty_file_gives_nothing(tmp_path: Path, text: str) -> None:
    assert read(written(tmp_path, text), tmp_path) == {}


def test_a_setting_given_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "jobs: 2\nmax-age: 1h\njobs: 3\n")
    with pytest.raises(ConfigError, match=r"twice \(line 3\)"):
        read(path, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "- a\n- b\n",
        "jobs\n",
        "3: 4\n",
        "[a]: 4\n",
        "jobs: [1, 2]\n",
        "jobs: {a: 1}\n",
        "x: &a [1]\ny: [*a, *a]\n",
    ],
)
def test_anything_but_names_and_single_values_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        read(written(tmp_path, text), tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "neon-db-password: *canary",
        "neon-db-password: !canary x",
        "neon-db-password: !!python/object/apply:os.system [canary]",
        'neon-db-password: "canary\\q"',
        "neon-db-password: [canary",
        "neon-db-password: can: canary",
        b"neon-db-password: canary\xff\xfe",
        "neon-db-password: canary\x07",
        "? canary\n? canary\n",
    ],
)
def test_a_broken_file_is_never_quoted(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        read(written(tmp_path, text), tmp_path)
    shown = str(caught.value) + repr(caught.value.__cause__)
    assert "settings.yml" in shown
    assert "canary" not in shown


def test_the_list_of_checks_is_the_one_that_a_file_may_hold(tmp_path: Path) -> None:
    (tmp_path / "mine.yml").write_text("checks:\n  - name: orders\n    sql: SELECT 1\n    expect: 1\n")
    found = read(Path("mine.yml"), tmp_path)
    assert found == {"checks": [{"name": "orders", "sql": "SELECT 1", "expect": 1}]}
