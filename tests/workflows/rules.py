"""What a workflow of ours must be, as functions from a workflow to complaints. No complaint is content."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from supaneon_sync.report.outputs import OUTPUTS

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "workflows-examples").glob("*.yml"))
OUR_WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
NIGHTLY = ROOT / "nightly/action.yml"

OURS = re.compile(r"OWNER/supaneon-sync(/nightly)?@v1")
PINNED = re.compile(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
SECRETS = {"SUPABASE_DATABASE_URL", "NEON_API_KEY", "NEON_DB_PASSWORD", "HEARTBEAT_URL"}
MASKED = {output.name for output in OUTPUTS if output.secret}


def read(path: Path) -> dict[str, Any]:
    """Return a workflow or an action. YAML 1.1 reads the key ``on`` as true; it comes back as ``on``."""
    content: dict[Any, Any] = yaml.safe_load(path.read_text())
    return {"on" if key is True else str(key): value for key, value in content.items()}


def jobs(workflow: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the jobs by name."""
    found: dict[str, dict[str, Any]] = workflow.get("jobs", {})
    return found


def steps(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every step of a workflow's jobs, or of a composite action."""
    for job in jobs(document).values():
        yield from job.get("steps", ())
    yield from document.get("runs", {}).get("steps", ())


def masked_outputs_that_leave_a_job(document: dict[str, Any]) -> list[str]:
    """Name job outputs (and a composite's or reusable workflow's) that are made of a masked step output."""
    handed_on = [value for job in jobs(document).values() for value in job.get("outputs", {}).values()]
    handed_on += [entry.get("value", "") for entry in document.get("outputs", {}).values()]
    return [value for value in handed_on if any(f"outputs.{name} " in f"{value} " for name in MASKED)]


def needless_secrets(text: str, allowed: set[str]) -> set[str]:
    """Name what is taken from the secrets although it is none: project id, role, database, host."""
    return {
        name
        for name in re.findall(r"secrets\.([\w-]+)", text)
        if name.upper().replace("-", "_") not in allowed
    }


def unpinned(text: str) -> list[str]:
    """Name what is used neither from here nor by a commit with the version in a comment."""
    used = re.findall(
        r"uses: (.+)", "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    )
    ours = [one for one in used if not (one.startswith("./") or OURS.fullmatch(one))]
    return [one for one in ours if not PINNED.fullmatch(one)]


def unlimited_jobs(workflow: dict[str, Any]) -> list[str]:
    """Name jobs without a time limit."""
    return [name for name, job in jobs(workflow).items() if "timeout-minutes" not in job]


def loose_permissions(workflow: dict[str, Any], writers: dict[str, set[str]]) -> list[str]:
    """Name permissions beyond reading the contents that ``writers`` does not grant to that job."""
    found = [] if workflow.get("permissions") == {} else ["the workflow begins with permissions"]
    for name, job in jobs(workflow).items():
        for scope, access in job.get("permissions", {}).items():
            if (scope, access) != ("contents", "read") and scope not in writers.get(name, set()):
                found.append(f"{name}: {scope} {access}")
    return found


def unprotected_secrets(workflow: dict[str, Any]) -> list[str]:
    """Name jobs that use the repository's secrets outside an environment."""
    return [
        name
        for name, job in jobs(workflow).items()
        if re.search(r"secrets\.[A-Z]", str(job)) and "environment" not in job
    ]
