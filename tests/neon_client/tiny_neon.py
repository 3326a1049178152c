"""A few dozen lines of Neon over real HTTP, to be scripted: faults in the order they are wanted.

It keeps branches, endpoints, databases, roles and operations just well enough that a client's effects
can be counted. The sandbox is the faithful stand-in; this one exists to misbehave.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from supaneon_sync.neon_client import NeonClient, Patience
from supaneon_sync.secret import Secret

KEY = "napi_canary0key0never0seen"
PROJECT = "shiny-wind-028834"
PASSWORD = "npg_canary0pass"
MOMENT = "2026-11-22T10:00:00Z"


@dataclass(frozen=True)
class Fault:
    """What happens to the next request whose method and path match, in place of the plain answer."""

    status: int = 0
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    method: str = ""
    path: str = ""
    processed: bool = False
    drop: bool = False
    change: Callable[[Any], Any] | None = None

    def matches(self, method: str, path: str) -> bool:
        return (not self.method or self.method == method) and re.search(self.path, path) is not None


def error(status: int, message: str = "", code: str = "", **more: Any) -> Fault:
    body = {"code": code, "message": message, "request_id": "theirs-1"}
    return Fault(status, body, more.pop("headers", {}), **more)


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


class TinyNeon:
    def __init__(self) -> None:
        self.branches: dict[str, dict[str, Any]] = {}
        self.annotations: dict[str, dict[str, str]] = {}
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.databases: list[dict[str, Any]] = []
        self.roles: list[dict[str, Any]] = []
        self.operations: list[dict[str, Any]] = []
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.creations: list[str] = []
        self.statuses: dict[str, list[str]] = {}
        self.page_size = 100
        self.port = 0
        self._count = 0
        self.add_branch("main", default=True)
        self.creations.clear()

    def faulty(self, *faults: Fault) -> None:
        self.faults += faults

    def sent(self, method: str, path: str = "") -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method and re.search(path, seen.path)]

    def named(self, name: str) -> list[dict[str, Any]]:
        return [branch for branch in self.branches.values() if branch["name"] == name]

    def number(self) -> int:
        self._count += 1
        return self._count

    def add_branch(self, name: str, **more: Any) -> dict[str, Any]:
        ident = f"br-tiny-branch-{self.number():08d}"
        second = len(self.branches)
        branch = {
            "id": ident,
            "project_id": PROJECT,
            "name": name,
            "current_state": "ready",
            "created_at": f"2026-11-22T10:{second // 60:02d}:{second % 60:02d}Z",
            "updated_at": MOMENT,
            "default": False,
            "protected": False,
            "logical_size": 1536,
            "written_data_bytes": 1,
            "some_new_field": {"never": ["seen", None]},
        } | more
        self.branches[ident] = branch
        self.creations.append(name)
        return branch

    def add_endpoint(self, branch_id: str) -> dict[str, Any]:
        ident = f"ep-tiny-end-{self.number():08d}"
        self.endpoints[ident] = {
            "id": ident,
            "project_id": PROJECT,
            "branch_id": branch_id,
            "host": f"{ident}.eu-central-1.aws.neon.tech",
            "type": "read_write",
            "current_state": "active",
            "autoscaling_limit_min_cu": 0.25,
            "autoscaling_limit_max_cu": 2,
            "suspend_timeout_seconds": 0,
        }
        return self.endpoints[ident]

    def operation(
        self, action: str, branch_id: str | None = None, endpoint_id: str | None = None
    ) -> dict[str, Any]:
        statuses = self.statuses.get(action, ["running", "finished"])
        made = {
            "id": f"00000000-0000-4000-8000-{self.number():012d}",
            "project_id": PROJECT,
            "action": action,
            "status": statuses[0],
            "failures_count": 0,
            "created_at": MOMENT,
            "updated_at": MOMENT,
            "total_duration_ms": 1,
            "next": list(statuses[1:]),
        }
        if branch_id:
            made["branch_id"] = branch_id
        if endpoint_id:
            made["endpoint_id"] = endpoint_id
        self.operations.insert(0, made)
        return made

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        """Carry out a request as Neon would; return status and body."""
        parts = [unquote(part) for part in path.removeprefix("/api/v2/").split("/")]
        match (method, *parts):
            case ("GET", "projects"):
                return 200, {"projects": [self.project()], "pagination": {"cursor": PROJECT}}
            case ("GET", "projects", ident) if ident == PROJECT:
                return 200, {"project": self.project()}
            case ("GET", "projects", _):
                return 404, {"code": "", "message": "project not found", "request_id": "theirs-1"}
            case (_, "projects", _, "branches", *rest):
                return self._branches(method, rest, query, body)
            case (_, "projects", _, "endpoints", *rest):
                return self._endpoints(method, rest, body)
            case ("GET", "projects", _, "operations"):
                return 200, {"operations": self.operations, "pagination": {"cursor": MOMENT}}
            case ("GET", "projects", _, "operations", ident):
                return self._operation(ident)
            case ("GET", "projects", _, "connection_uri"):
                host = f"{query.get('pooled')}.{query['branch_id']}.neon.tech"
                user, database = query["role_name"], query["database_name"]
                return 200, {"uri": f"postgresql://{user}:{PASSWORD}@{host}/{database}?sslmode=require"}
        return 404, {"code": "", "message": "this route does not exist"}

    def project(self) -> dict[str, Any]:
        return {
            "id": PROJECT,
            "name": "standby",
            "pg_version": 17,
            "region_id": "aws-eu-central-1",
            "branch_logical_size_limit_bytes": 2**63,
            "store_passwords": True,
            "history_retention_seconds": 86400,
            "settings": {"allowed_ips": {"ips": ["192.0.2.1"], "protected_branches_only": True}},
        }

    def _operation(self, ident: str) -> tuple[int, Any]:
        for operation in self.operations:
            if operation["id"] == ident:
                if operation["next"]:
                    operation["status"] = operation["next"].pop(0)
                return 200, {"operation": operation}
        return 404, {"code": "", "message": "operation not found"}

    def _branches(self, method: str, rest: list[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        if method == "GET" and not rest:
            return self._list(query)
        if method == "POST" and not rest:
            return self._create(body)
        branch = self.branches.get(rest[0])
        if branch is None:
            return (204, None) if method == "DELETE" else (404, {"code": "", "message": "branch not found"})
        if len(rest) > 1:
            return self._inside(method, branch, rest[1:], body)
        if method == "GET":
            return 200, {"branch": branch, "annotation": self._annotation(branch["id"])}
        if method == "DELETE":
            del self.branches[branch["id"]]
            return 200, {"branch": branch, "operations": [self.operation("delete_timeline", branch["id"])]}
        wanted = body["branch"]
        if wanted.get("name", branch["name"]) != branch["name"] and self.named(wanted["name"]):
            return 409, {"code": "BRANCH_ALREADY_EXISTS", "message": "branch already exists"}
        branch.update(wanted)
        if branch.get("expires_at", "") is None:
            del branch["expires_at"]
        return 200, {"branch": branch, "operations": []}

    def _annotation(self, ident: str) -> dict[str, Any]:
        return {"object": {"type": "console/branch", "id": ident}, "value": self.annotations.get(ident, {})}

    def _list(self, query: dict[str, str]) -> tuple[int, Any]:
        found = [b for b in self.branches.values() if query.get("search", "") in b["name"] + " " + b["id"]]
        found.sort(key=lambda branch: branch["created_at"], reverse=query.get("sort_order") == "desc")
        start = int(query.get("cursor", "0"))
        page = found[start : start + min(self.page_size, int(query.get("limit", "100")))]
        following = start + len(page)
        pagination = {"sort_by": "created_at", "sort_order": "DESC"}
        if following < len(found):
            pagination["next"] = str(following)
        notes = {b["id"]: self._annotation(b["id"]) for b in page if b["id"] in self.annotations}
        return 200, {"branches": page, "annotations": notes, "pagination": pagination}

    def _create(self, body: Any) -> tuple[int, Any]:
        wanted = dict(body["branch"])
        if self.named(wanted["name"]):
            return 409, {"code": "BRANCH_ALREADY_EXISTS", "message": f'branch_name:"{wanted["name"]}"'}
        default = next(b for b in self.branches.values() if b["default"])
        branch = self.add_branch(wanted.pop("name"), parent_id=default["id"])
        branch.update(wanted)
        if body.get("annotation_value"):
            self.annotations[branch["id"]] = body["annotation_value"]
        operations = [self.operation("create_branch", branch["id"])]
        endpoints = []
        if body.get("endpoints"):
            endpoints.append(self.add_endpoint(branch["id"]))
            operations.append(self.operation("start_compute", branch["id"], endpoints[0]["id"]))
        return 201, {
            "branch": branch | {"current_state": "init", "pending_state": "ready"},
            "endpoints": endpoints,
            "operations": operations,
            "roles": [],
            "databases": [],
        }

    def _inside(self, method: str, branch: dict[str, Any], rest: list[str], body: Any) -> tuple[int, Any]:
        ident = branch["id"]
        common = {"branch_id": ident, "created_at": MOMENT, "updated_at": MOMENT}
        match (method, *rest):
            case ("GET", "endpoints"):
                return 200, {"endpoints": [e for e in self.endpoints.values() if e["branch_id"] == ident]}
            case ("GET", "databases"):
                return 200, {"databases": self.databases}
            case ("POST", "databases"):
                if body["database"]["name"] in {d["name"] for d in self.databases}:
                    return 409, {"code": "", "message": "database already exists"}
                self.databases.append({"id": self.number(), **common, **body["database"]})
                return 201, {
                    "database": self.databases[-1],
                    "operations": [self.operation("apply_config", ident)],
                }
            case ("DELETE", "databases", name):
                if name not in {d["name"] for d in self.databases}:
                    return 204, None
                self.databases = [d for d in self.databases if d["name"] != name]
                return 200, {"operations": [self.operation("apply_config", ident)]}
            case ("GET", "roles"):
                return 200, {"roles": self.roles}
            case ("POST", "roles"):
                if body["role"]["name"] in {r["name"] for r in self.roles}:
                    return 409, {"code": "", "message": "role already exists"}
                self.roles.append({**common, "name": body["role"]["name"]})
                role = self.roles[-1] | {"password": PASSWORD}
                return 201, {"role": role, "operations": [self.operation("apply_config", ident)]}
            case ("GET", "roles", name, "reveal_password"):
                return 200, {"password": PASSWORD}
            case ("POST", "roles", name, "reset_password"):
                role = {**common, "name": name, "password": f"{PASSWORD}{self.number()}"}
                return 200, {"role": role, "operations": [self.operation("apply_config", ident)]}
        return 404, {"code": "", "message": "this route does not exist"}

    def _endpoints(self, method: str, rest: list[str], body: Any) -> tuple[int, Any]:
        match (method, *rest):
            case ("GET",):
                return 200, {"endpoints": list(self.endpoints.values())}
            case ("POST",):
                branch_id = body["endpoint"]["branch_id"]
                if branch_id in {e["branch_id"] for e in self.endpoints.values()}:
                    return 409, {"code": "", "message": "read_write endpoint already exists"}
                made = self.add_endpoint(branch_id)
                return 201, {
                    "endpoint": made,
                    "operations": [self.operation("start_compute", branch_id, made["id"])],
                }
            case (_, ident, *_) if ident not in self.endpoints:
                return (
                    (204, None)
                    if method == "DELETE"
                    else (404, {"code": "", "message": "endpoint not found"})
                )
            case ("GET", ident):
                return 200, {"endpoint": self.endpoints[ident]}
            case ("DELETE", ident):
                gone = self.endpoints.pop(ident)
                return 200, {"endpoint": gone, "operations": [self.operation("suspend_compute", None, ident)]}
            case ("POST", ident, verb):
                self.endpoints[ident]["current_state"] = {"start": "active", "suspend": "idle"}[verb]
                done = self.operation(f"{verb}_compute", None, ident)
                return 200, {"endpoint": self.endpoints[ident], "operations": [done]}
        return 404, {"code": "", "message": "this route does not exist"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    neon: TinyNeon

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.neon.seen.append(Seen(self.command, parts.path, query, dict(self.headers), body))
        fault = self._next_fault(parts.path)
        status, answer = 0, None
        if fault is None or fault.processed or fault.change:
            status, answer = self.neon.answer(self.command, parts.path, query, body)
        if fault is not None and fault.drop:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if fault is not None and fault.change:
            answer = fault.change(answer)
        if fault is not None and fault.status:
            status, answer = fault.status, fault.body
        self._reply(status, answer, fault.headers if fault else {})

    def _next_fault(self, path: str) -> Fault | None:
        for index, fault in enumerate(self.neon.faults):
            if fault.matches(self.command, path):
                return self.neon.faults.pop(index)
        return None

    def _reply(self, status: int, answer: Any, headers: dict[str, str]) -> None:
        content = (
            answer.encode()
            if isinstance(answer, str)
            else b""
            if answer is None
            else json.dumps(answer).encode()
        )
        self.send_response_only(status)
        for name, value in {"Date": "Sun, 22 Nov 2026 10:00:00 GMT", **headers}.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(b"" if status == 204 else content)

    do_GET = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.waits.append(seconds)
        self.now += seconds


@contextmanager
def serving(neon: TinyNeon) -> Iterator[str]:
    """Serve on loopback; yield the base URL."""
    handler = type("Handler", (_Handler,), {"neon": neon})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    neon.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{neon.port}/api/v2"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def client(base: str, time: FakeTime, patience: Patience | None = None, random: Any = None) -> NeonClient:
    numbers = iter(range(1, 10**9))

    def steps() -> float:
        return next(numbers) * 0.6180339887 % 1

    return NeonClient(
        Secret(KEY),
        api_host=base,
        clock=time.clock,
        sleep=time.sleep,
        random=random or steps,
        patience=patience,
    )
