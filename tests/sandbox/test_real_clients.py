"""Neon's own command line, PyPI's client, and a proxy that holds every answer against Neon's API document."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from supaneon_sync.sandbox.testing import Sandbox
from tests.sandbox.plain_http import Http, query
from tests.sandbox.real_clients import NEON_API, NEONCTL, PRISM, npm_program, python_package

pytestmark = pytest.mark.slow

_BESIDE = Path(__file__).parents[3] / "shared" / "facts" / "neon-openapi.json"


@pytest.fixture(scope="module")
def neonctl(tmp_path_factory: pytest.TempPathFactory, shared_sandbox: Sandbox) -> Any:
    program = npm_program(NEONCTL, "neonctl")
    home = tmp_path_factory.mktemp("home")

    def run(*words: str, host: str = shared_sandbox.api_host) -> Any:
        command = [str(program), *words, "--api-host", host, "--no-analytics", "--output", "json"]
        command += ["--project-id", shared_sandbox.plane.state.project.id] if words[0] != "me" else []
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "NEON_API_KEY": shared_sandbox.key}
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=home, timeout=60, check=False
        )
        shared_sandbox.settle()
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout) if done.stdout.lstrip().startswith(("{", "[")) else done.stdout.strip()

    return run


@pytest.fixture(scope="module")
def prism(tmp_path_factory: pytest.TempPathFactory, shared_sandbox: Sandbox) -> Iterator[str]:
    """The base URL of a proxy that answers with an error where the sandbox breaks Neon's API document."""
    document = Path(os.environ.get("SUPANEON_OPENAPI", _BESIDE))
    if not document.exists():
        pytest.skip(f"no OpenAPI document of Neon's API at {document} (set SUPANEON_OPENAPI)")
    program = npm_program(PRISM, "prism")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("prism") / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(program), "proxy", "--errors", "-p", str(port), str(document), shared_sandbox.api_host],
            stdout=out,
            stderr=out,
        )
    try:
        deadline = time.monotonic() + 60
        while "is listening" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def test_neonctl_lists_creates_gets_renames_connects_to_and_deletes_branches(
    neonctl: Any, shared_sandbox: Sandbox
) -> None:
    made = neonctl("branches", "create", "--name", "by-neonctl")
    assert query(made["connection_uris"][0]["connection_uri"], "select 1") == [(1,)]
    assert "by-neonctl" in {one["name"] for one in neonctl("branches", "list")}
    branch = neonctl("branches", "get", "by-neonctl")
    assert branch["current_state"] == "ready"
    assert neonctl("branches", "get", branch["id"])["name"] == "by-neonctl"
    assert neonctl("branches", "rename", "by-neonctl", "renamed")["id"] == branch["id"]
    host = shared_sandbox.plane.state.endpoint_of(branch["id"]).host
    assert f"@{host}/neondb?" in neonctl("connection-string", "renamed")
    pooled = host.replace(".", "-pooler.", 1)
    assert f"@{pooled}/neondb?" in neonctl("connection-string", "renamed", "--pooled")
    query(made["connection_uris"][0]["connection_uri"], "create table only_here (n int)")
    assert "+CREATE TABLE public.only_here" in neonctl("branches", "schema-diff", "main", "renamed")
    neonctl("branches", "reset", "renamed", "--parent")
    neonctl("branches", "delete", "renamed")
    assert "renamed" not in shared_sandbox.names()


def test_neonctl_walks_all_pages_to_find_a_branch_by_its_name(neonctl: Any, shared_sandbox: Sandbox) -> None:
    seeded = shared_sandbox.seed(*({"name": f"long-list-{n}"} for n in range(150)))
    assert neonctl("branches", "get", "long-list-0")["name"] == "long-list-0"
    for one in seeded:
        del shared_sandbox.plane.state.branches[one.id]
    assert "cursor=" in shared_sandbox.requests[-1]["query"] + shared_sandbox.requests[-2]["query"]


def test_neonctl_waits_out_running_operations(neonctl: Any, shared_sandbox: Sandbox) -> None:
    shared_sandbox.inject({"kind": "423", "method": "POST", "path": "/branches$", "times": 1})
    neonctl("branches", "create", "--name", "patient", "--no-compute")
    assert shared_sandbox.fired() == 1
    shared_sandbox.plane.faults.clear()
    neonctl("branches", "delete", "patient")


_SCRIPT = """
import sys, time
from neon_api import NeonAPI
client = NeonAPI(api_key=sys.argv[1], base_url=sys.argv[2] + "/")
project = sys.argv[3]
def wait(answer):
    import time
    while any(one.status.value in ("running", "scheduling") for one in client.operations(project).operations):
        time.sleep(0.02)
    return answer
assert client.me().login == "sandbox"
assert [one.id for one in client.projects().projects] == [project]
assert client.project(project).project.pg_version == 17
made = wait(client.branch_create(project, branch={"name": "by-neon-api"}, endpoints=[{"type": "read_write"}]))
branch = made.branch.id
assert client.branch(project, branch).branch.current_state == "ready"
assert "by-neon-api" in [one.name for one in client.branches(project).branches]
assert client.branch_update(project, branch, branch={"name": "by-py"}).branch.name == "by-py"
if "/api/v2" in sys.argv[2]:  # it writes pooled=True, which no boolean of the API document is
    assert "-pooler." in client.connection_uri(project, "neondb", "neondb_owner", True).uri
assert [one.name for one in client.roles(project, branch).roles] == ["neondb_owner"]
database = {"name": "more", "owner_name": "neondb_owner"}
wait(client.database_create(project, branch, database=database))
assert {one.name for one in client.databases(project, branch).databases} == {"neondb", "more"}
assert wait(client.role_password_reset(project, branch, "neondb_owner")).role.password.startswith("npg_")
(endpoint,) = [one for one in client.endpoints(project).endpoints if one.branch_id == branch]
wait(client.endpoint_suspend(project, endpoint.id))
assert client.endpoint(project, endpoint.id).endpoint.current_state.value == "idle"
wait(client.endpoint_start(project, endpoint.id))
assert client.operations(project).operations
wait(client.branch_delete(project, branch))
assert branch not in [one.id for one in client.branches(project).branches]
"""


def _neon_api(sandbox: Sandbox, host: str) -> None:
    words = [sys.executable, "-c", _SCRIPT, sandbox.key, host, sandbox.plane.state.project.id]
    environment = {"PYTHONPATH": str(python_package(NEON_API)), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        words, capture_output=True, text=True, env=environment, timeout=60, cwd="/", check=False
    )
    sandbox.settle()
    assert done.returncode == 0, done.stderr


def test_the_python_client_works_unchanged(shared_sandbox: Sandbox) -> None:
    _neon_api(shared_sandbox, shared_sandbox.api_host)


def test_every_answer_to_real_clients_passes_neons_api_document(
    prism: str, neonctl: Any, shared_sandbox: Sandbox
) -> None:
    _neon_api(shared_sandbox, prism)
    neonctl("branches", "create", "--name", "judged", host=prism)
    neonctl("branches", "list", host=prism)
    neonctl("connection-string", "judged", host=prism)
    neonctl("branches", "delete", "judged", host=prism)


def test_every_route_passes_neons_api_document(prism: str, shared_sandbox: Sandbox) -> None:
    api = _Judged(shared_sandbox, prism)
    made = api.branch("every-route", compute=True, annotation_value={"a": "b"})
    branch, endpoint = made["branch"]["id"], made["endpoints"][0]["id"]
    at = f"/branches/{branch}"
    for path in ("!/auth", "!/users/me", "!/users/me/organizations", "!/projects", "!/projects/shared", ""):
        api.get(path)
    for path in ("/branches", "/branches/count", at, at + "/endpoints", at + "/roles", at + "/databases"):
        api.get(path)
    api.get("/branches", search="every", sort_by="name", sort_order="asc", limit=1)
    expiry = {"branch": {"expires_at": api.sandbox.branch("main").created_at.replace("2026", "2020")}}
    api.refused(422, "PATCH", at, expiry)
    api.write("PATCH", at, {"branch": {"name": "every-route-2", "expires_at": None}})
    api.write("POST", at + "/roles", {"role": {"name": "app"}})
    api.get(at + "/roles/app")
    api.get(at + "/roles/app/reveal_password")
    api.write("POST", at + "/roles/app/reset_password")
    api.write("POST", at + "/databases", {"database": {"name": "db", "owner_name": "app"}})
    api.get(at + "/databases/db")
    api.write("PATCH", at + "/databases/db", {"database": {"name": "db2", "owner_name": "neondb_owner"}})
    api.write("DELETE", at + "/databases/db2")
    api.write("DELETE", at + "/roles/app")
    assert "PostgreSQL database dump" in api.get(at + "/schema", db_name="neondb")["sql"]
    api.get("/connection_uri", branch_id=branch, database_name="neondb", role_name="neondb_owner")
    api.get("/endpoints")
    api.get(f"/endpoints/{endpoint}")
    api.write("PATCH", f"/endpoints/{endpoint}", {"endpoint": {"autoscaling_limit_max_cu": 1}})
    for verb in ("suspend", "start", "restart"):
        api.write("POST", f"/endpoints/{endpoint}/{verb}")
    api.write("POST", at + "/restore", {"source_branch_id": api.sandbox.branch("main").id})
    api.write("DELETE", f"/endpoints/{endpoint}")
    api.write("POST", "/endpoints", {"endpoint": {"branch_id": branch, "type": "read_write"}})
    api.get("/operations", limit=5)
    main = api.sandbox.branch("main").id
    api.write("POST", at + "/set_as_default")
    api.write("POST", f"/branches/{main}/set_as_default")
    api.refused(404, "GET", "/branches/br-not-there-12345678")
    api.write("DELETE", at)
    assert api.call("DELETE", at).status_code == 204
    api.session.headers["Authorization"] = "Bearer wrong"
    api.refused(401, "GET", "/branches")


def test_the_proxy_does_find_an_answer_that_breaks_the_document(
    prism: str, make_sandbox: Any, shared_sandbox: Sandbox
) -> None:
    api = _Judged(shared_sandbox, prism)
    project = shared_sandbox.plane.state.project
    project.overrides["pg_version"] = "seventeen"
    try:
        with pytest.raises(AssertionError, match="VIOLATIONS"):
            api.get("")
    finally:
        project.overrides.clear()


class _Judged(Http):
    """The plain client, speaking through the proxy, which answers violations with an error of its own."""

    def __init__(self, sandbox: Sandbox, base: str) -> None:
        super().__init__(sandbox)
        self._base = base

    def url(self, path: str) -> str:
        return super().url(path).replace(self.sandbox.api_host, self._base)

    def call(self, method: str, path: str, json: Any = None, **options: Any) -> requests.Response:
        answer = super().call(method, path, json, **options)
        assert "prism/errors" not in answer.text, f"{method} {path}: {answer.text}"
        return answer
