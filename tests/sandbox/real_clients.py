"""Other people's programs, installed once into the cache, for tests that judge the sandbox by them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from supaneon_sync.sandbox.server import default_cache

NEONCTL = "neonctl@5.0.1"
PRISM = "@stoplight/prism-cli@5.14.2"
NEON_API = "neon-api==0.3.0"


def npm_program(package: str, program: str) -> Path:
    """Return the path of a program from npm; skip the test loudly where npm is absent."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"npm is not installed, so {package} cannot judge the sandbox (CI must have npm)")
    directory = _cached(package, (npm, "install", "--no-audit", "--no-fund", "--prefix", "{}", package))
    return directory / "node_modules" / ".bin" / program


def python_package(requirement: str) -> Path:
    """Return a directory for PYTHONPATH that holds a package from PyPI and what it needs."""
    return _cached(requirement, (sys.executable, "-m", "pip", "install", "-q", "-t", "{}", requirement))


def _cached(name: str, command: tuple[str, ...]) -> Path:
    python = f"-py{sys.version_info.minor}" if command[0] == sys.executable else ""
    place = default_cache() / "clients" / (name.replace("/", "-").replace("@", "") + python)
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=place.parent))
        filled = [word.replace("{}", str(scratch)) for word in command]
        done = subprocess.run(filled, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        try:
            scratch.rename(place)
        except OSError:
            assert place.exists()  # another process was faster: its copy is as good
            shutil.rmtree(scratch)
    return place
