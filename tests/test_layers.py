"""Imports run downwards only, policy decides without looking, and nobody but its door knows the sandbox."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "supaneon_sync"

FLOORS: Mapping[str, int] = {
    **dict.fromkeys(("policy", "errors", "secret", "run"), 0),
    **dict.fromkeys(("values", "setting", "settings"), 1),
    **dict.fromkeys(("neon_client", "postgres", "report"), 2),
    "operations": 3,
    **dict.fromkeys(
        (
            "cli",
            "action",
            "door",
            "arguments",
            "registry",
            "reference",
            "effective",
            "discretion",
            "progress",
            "console",
            "redaction",
            "failures",
            "settings_file",
            "signals",
            "workflow_commands",
            "__main__",
        ),
        4,
    ),
}
"""Which floor of the house a room is on. A module may import its own floor and those below."""

SANDBOX_MAY_IMPORT = {"errors", "secret", "setting", "settings", "sandbox"}
IMPURE_MODULES = {
    *(
        "os",
        "io",
        "sys",
        "time",
        "random",
        "secrets",
        "socket",
        "subprocess",
        "threading",
        "logging",
        "pathlib",
    ),
    *("requests", "urllib3", "http", "psycopg2", "yaml", "tempfile", "shutil", "asyncio"),
}
IMPURE_CALLS = {"now", "utcnow", "today", "open", "print", "input"}


def room(module: str) -> str:
    """Return the part of the package that a dotted name lies in."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == PACKAGE else ""


def imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield the dotted names that a module imports, wherever the statement stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def complaints(name: str, source: str) -> list[str]:
    """Return what is wrong with the imports of one module of the package."""
    tree = ast.parse(source)
    here = room(name)
    found = []
    for imported in imports(tree, name.rpartition(".")[0]):
        there = room(imported)
        if imported.split(".")[0] != PACKAGE or there in ("", "__version__"):
            if here == "policy" and imported.split(".")[0] in IMPURE_MODULES:
                found.append(f"{name} imports {imported}, but policy does no I/O and has no clock")
            continue
        if here == "sandbox":
            if there not in SANDBOX_MAY_IMPORT:
                found.append(f"{name} imports {imported}, which the sandbox may not know")
        elif there == "sandbox":
            found.append(f"{name} imports {imported}, but nobody knows the sandbox")
        elif FLOORS.get(there, 4) > FLOORS.get(here, 4):
            found.append(f"{name} imports {imported}, which is upstairs")
        elif {here, there} == {"neon_client", "postgres"}:
            found.append(f"{name} imports {imported}, and these two rooms have no door between them")
    if here == "policy":
        found.extend(f"{name} calls {call}(), but policy only decides" for call in _impure_calls(tree))
    return found


def _impure_calls(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            word = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if word in IMPURE_CALLS:
                yield word


def modules() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts), path.read_text(encoding="utf-8")


def test_imports_run_downwards_only() -> None:
    found = [line for name, source in modules() for line in complaints(name, source)]
    assert found == []


def test_every_room_has_a_floor() -> None:
    rooms = {room(name) for name, _ in modules()} - {"__init__", "sandbox"}
    assert rooms <= set(FLOORS)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("supaneon_sync.settings", "from supaneon_sync.report import outcome"),
        ("supaneon_sync.postgres.session", "import supaneon_sync.operations.backup"),
        ("supaneon_sync.operations.backup", "def f():\n    from supaneon_sync import cli"),
        ("supaneon_sync.operations.backup", "from supaneon_sync.sandbox import plane"),
        ("supaneon_sync.neon_client.calls", "from supaneon_sync.postgres import session"),
        ("supaneon_sync.sandbox.plane", "from supaneon_sync.postgres import session"),
        ("supaneon_sync.sandbox.plane", "from ..report import outcome"),
        ("supaneon_sync.policy.retention", "import os.path"),
        ("supaneon_sync.policy.retention", "from time import monotonic"),
        ("supaneon_sync.policy.retention", "from datetime import datetime\nx = datetime.now()"),
        ("supaneon_sync.policy.retention", "open('x')"),
    ],
)
def test_an_import_the_wrong_way_is_noticed(name: str, source: str) -> None:
    assert complaints(name, source)
