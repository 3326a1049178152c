"""act, a copy of the examples, and stand-ins for what cannot be fetched offline."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from supaneon_sync.sandbox.testing import Sandbox
from tests.docker.engine import image
from tests.workflows.rules import ROOT

ACT = ROOT / ".venv/ci/bin/act"
UPLOAD = "actions/upload-artifact@ea165f8d65b6e75b540449e92b4886f43607fa02"
STAND_IN = """\
name: stand-in
description: Says what it was asked to keep.
inputs:
  name: { description: n, required: false }
  path: { description: p, required: false }
  if-no-files-found: { description: i, required: false }
  retention-days: { description: r, required: false }
runs:
  using: composite
  steps:
    - shell: bash
      env: { KEPT: "${{ inputs.path }}" }
      run: echo "kept=$(ls $KEPT | tr '\\n' ' ')"
"""


@dataclass(frozen=True)
class Done:
    """What act did."""

    code: int
    log: str


Act = Callable[..., Done]


@pytest.fixture(scope="module")
def standby() -> Iterator[Sandbox]:
    """A sandbox with the sample primary, on this machine's loopback."""
    image()
    with Sandbox(primary="sample") as sandbox:
        yield sandbox


@pytest.fixture
def act(tmp_path: Path, standby: Sandbox) -> Act:
    """A function: run one example by act, as it stands, against the sandbox.

    ``OWNER/supaneon-sync@v1`` is this repository with the image under test in the image line, which is
    what a release commit changes; the settings that lead to the sandbox come from a file in the
    workspace, as a user's own would.
    """
    if not ACT.exists():
        pytest.skip("act is not installed here: run make test-act")
    ours, upload, workspace = tmp_path / "ours", tmp_path / "upload", tmp_path / "workspace"
    _released(ours)
    (upload).mkdir()
    (upload / "action.yml").write_text(STAND_IN)
    (workspace / ".github").mkdir(parents=True)
    shutil.copy(standby.ca_file, workspace / "ca.pem")
    settings = {"neon-api-host": standby.api_host, "neon-ca-file": "ca.pem", "supabase-ca-file": "ca.pem"}

    def run(example: str, event: str, inputs: Mapping[str, str] | None = None) -> Done:
        text = "".join(f"{name}: {value}\n" for name, value in settings.items())
        (workspace / ".github/supaneon.yml").write_text(text)
        secrets = {"SUPABASE_DATABASE_URL": standby.primary_url, "NEON_API_KEY": standby.key}
        secrets |= {name.replace("_", "-"): value for name, value in secrets.items()}
        words = [str(ACT), event, "--workflows", str(ROOT / "workflows-examples" / example), "--bind"]
        words += ["-P", "ubuntu-24.04=debian:trixie-slim", "--pull=false", "--action-offline-mode"]
        words += ["--local-repository", f"OWNER/supaneon-sync@v1={ours}"]
        words += ["--local-repository", f"{UPLOAD}={upload}"]
        words += ["--var", f"NEON_PROJECT_ID={standby.environment['NEON_PROJECT_ID']}"]
        words += [word for name in secrets for word in ("--secret", name)]
        words += [word for name, value in (inputs or {}).items() for word in ("--input", f"{name}={value}")]
        environment = {
            **os.environ,
            **secrets,
            "HOME": str(tmp_path),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        }
        done = subprocess.run(
            words, cwd=workspace, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        return Done(done.returncode, done.stdout + done.stderr)

    return run


def _released(directory: Path) -> None:
    """Put both actions there, the image line changed as a release changes it."""
    (directory / "nightly").mkdir(parents=True)
    action = (ROOT / "action.yml").read_text()
    released = action.replace("image: Dockerfile", f"image: docker://{image()}")
    assert released != action
    (directory / "action.yml").write_text(released)
    shutil.copy(ROOT / "nightly/action.yml", directory / "nightly/action.yml")
