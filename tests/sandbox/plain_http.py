"""A plain HTTP client for tests of the sandbox's API."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg2
import requests

from supaneon_sync.sandbox.testing import Sandbox


class Http:
    """Real requests to a sandbox. Paths begin at the project, or with ``!`` at the API's base."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {sandbox.key}"

    def url(self, path: str) -> str:
        base = self.sandbox.api_host
        if path.startswith("!"):
            return base + path[1:]
        return f"{base}/projects/{self.sandbox.plane.state.project.id}{path}"

    def call(self, method: str, path: str, json: Any = None, **options: Any) -> requests.Response:
        return self.session.request(method, self.url(path), json=json, timeout=30, **options)

    def get(self, path: str, **query: Any) -> Any:
        answer = self.call("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, status: int, method: str, path: str, json: Any = None) -> Any:
        """Make a call that must be refused with that status; return the error."""
        answer = self.call(method, path, json)
        assert answer.status_code == status, answer.text
        return answer.json()

    def write(self, method: str, path: str, json: Any = None) -> Any:
        """Make a call that must succeed, and wait for its operations; return the answer."""
        answer = self.call(method, path, json)
        assert answer.status_code in {200, 201}, answer.text
        self.sandbox.settle()
        for one in answer.json().get("operations", []):
            seen = self.get(f"/operations/{one['id']}")["operation"]
            assert seen["status"] in {"finished", "skipped"}, seen
        return answer.json()

    def branch(self, name: str, *, compute: bool = False, **options: Any) -> Any:
        """Create a branch and wait for it; return the whole answer."""
        computes = [{"type": "read_write"}] if compute else []
        annotation = options.pop("annotation_value", None)
        body: dict[str, Any] = {"branch": {"name": name, **options}, "endpoints": computes}
        if annotation is not None:
            body["annotation_value"] = annotation
        return self.write("POST", "/branches", body)


def query(uri: str, statement: str) -> list[tuple[Any, ...]]:
    """Run a statement at a URI and return its rows."""
    with closing(psycopg2.connect(uri, connect_timeout=10)) as opened:
        opened.autocommit = True
        with opened.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
