"""One whole sandbox in this process: control plane, servers, primary, and the HTTP server in a thread."""

from __future__ import annotations

import secrets
import shutil
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

import uvicorn

from supaneon_sync.sandbox import branches, endpoints
from supaneon_sync.sandbox.api import PREFIX, application
from supaneon_sync.sandbox.binaries import SandboxError, find_or_fetch
from supaneon_sync.sandbox.certificates import certificates
from supaneon_sync.sandbox.clock import Clock
from supaneon_sync.sandbox.cluster import Clusters, free_port
from supaneon_sync.sandbox.limits import PLANS
from supaneon_sync.sandbox.plane import Plane
from supaneon_sync.sandbox.server import TLS, Server, client_directories
from supaneon_sync.sandbox.state import Branch, Database, Endpoint, Project, Role, State, mint, new_password

PRIMARIES = ("sample", "empty", "none")


@dataclass(frozen=True)
class Choices:
    """What a sandbox is made of. Times in seconds; ``suspend_after`` None means never."""

    major: int = 17
    primary_major: int | None = None
    primary: str = "sample"
    rows_scale: float = 1.0
    plan: str = "free"
    operation_seconds: float = 0.15
    suspend_after: float | None = None
    port: int = 0


class Service:
    """A sandbox that runs between ``start`` and ``stop``, in its own directory."""

    def __init__(self, directory: Path, choices: Choices) -> None:
        self.directory = directory.absolute()
        self.choices = choices
        self.primary_server: Server | None = None
        self.primary_password = ""
        self.key = ""
        self.api_host = ""
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Make or reopen everything in the directory, and answer requests from now on.

        Raises SandboxError where a server or the API's port cannot be had.
        """
        self.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.ca_file, tls = certificates(self.directory)
        self.key = self._secret("key", lambda: "napi_" + secrets.token_hex(24))
        try:
            with ThreadPoolExecutor(2) as crew:
                primary = crew.submit(self._open_primary, tls)
                self.plane = self._open_plane(tls)
                primary.result()
            self._serve()
        except BaseException:
            self.stop()
            raise

    def stop(self, *, keep: bool = True) -> None:
        """Stop everything; remove the directory unless ``keep``."""
        if self._server and self._thread:
            self._server.should_exit = True
            self._thread.join()
        if hasattr(self, "plane"):
            self.plane.close("fast" if keep else "immediate")
        if self.primary_server:
            self.primary_server.stop("fast" if keep else "immediate")
        if not keep:
            shutil.rmtree(self.directory)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(keep=False)

    @property
    def environment(self) -> dict[str, str]:
        """The variables under which the tool and other clients find this sandbox."""
        variables = {
            "NEON_API_HOST": self.api_host,
            "NEON_API_KEY": self.key,
            "NEON_PROJECT_ID": self.plane.state.project.id,
            "NEON_CA_FILE": str(self.ca_file),
            "SUPANEON_CLIENTS": str(self._clients()),
        }
        if self.primary_server:
            variables["SUPABASE_DATABASE_URL"] = self.primary_url
            variables["SUPABASE_CA_FILE"] = str(self.ca_file)
        return variables

    def _clients(self) -> Path:
        """Return a directory that holds PostgreSQL's programs, one directory a major version."""
        place = self.directory / "clients"
        place.mkdir(exist_ok=True)
        for major, programs in client_directories().items():
            link = place / str(major)
            if not link.is_symlink():
                link.symlink_to(programs.parent)
        return place

    @property
    def primary_url(self) -> str:
        """The primary's URI, with the password."""
        if self.primary_server is None:
            raise SandboxError("this sandbox has no primary")
        login = f"postgres:{quote(self.primary_password, safe='')}"
        return f"postgresql://{login}@127.0.0.1:{self.primary_server.port}/postgres?sslmode=require"

    def _secret(self, name: str, make: Callable[[], str]) -> str:
        path = self.directory / name
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(make())
        return path.read_text()

    def _open_plane(self, tls: TLS) -> Plane:
        choices = self.choices
        file = self.directory / "state.json"
        known = file.exists()
        state = State.load(file) if known else _first_state(choices.major)
        clusters = Clusters(find_or_fetch(state.project.pg_version), self.directory / "branches", tls)
        plane = Plane(state, PLANS[choices.plan], clusters, file, operation_seconds=choices.operation_seconds)
        plane.suspend_after = choices.suspend_after
        if known:
            _reopen(plane)
        else:
            clusters.forget_all()
            clusters.create(state.default_branch(), state.project)
        for endpoint in state.endpoints.values():
            if endpoint.disabled or not state.branches[endpoint.branch_id].has_data:
                continue
            endpoints.bring_up(plane, endpoint)
            endpoint.current_state, endpoint.pending_state = "active", None
        plane.save()
        plane.begin(lambda: branches.expire(plane), lambda: endpoints.suspend_idle(plane))
        return plane

    def _open_primary(self, tls: TLS) -> None:
        if self.choices.primary == "none":
            return
        from supaneon_sync.sandbox import primary

        binaries = find_or_fetch(self.choices.primary_major or self.choices.major)
        data, complete = self.directory / "primary", self.directory / "primary.complete"
        self.primary_password = self._secret("primary-password", new_password)
        server = Server.open(binaries, data, free_port(), superuser=primary.SUPERUSER)
        server.stop("immediate")
        if not complete.exists():
            shutil.rmtree(data, ignore_errors=True)
            server = Server.create(
                binaries,
                data,
                free_port(),
                tls=tls,
                settings=primary.SETTINGS,
                superuser=primary.SUPERUSER,
            )
        self.primary_server = server
        server.start()
        if not complete.exists():
            sample = self.choices.primary == "sample"
            primary.create_primary(
                server, password=self.primary_password, sample=sample, rows_scale=self.choices.rows_scale
            )
            complete.touch()

    def _serve(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", self.choices.port))
        except OSError as error:
            listener.close()
            raise SandboxError(f"Port {self.choices.port} cannot be had: {error.strerror}.") from error
        self.api_host = f"http://127.0.0.1:{listener.getsockname()[1]}{PREFIX}"
        config = uvicorn.Config(
            application(self.plane, self.key), log_config=None, lifespan="off", access_log=False
        )
        config.timeout_graceful_shutdown = 3
        self._server = uvicorn.Server(config)
        listener.listen(128)  # from here on requests wait instead of being refused
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="api", daemon=True)
        self._thread.start()


def _first_state(major: int) -> State:
    """Return a new project: branch ``main`` with database ``neondb`` of ``neondb_owner``, and a compute."""
    now = Clock().text()
    project = Project(mint(), "sandbox", major, now)
    state = State(project)
    branch = Branch(
        id=mint("br"),
        project_id=project.id,
        name="main",
        created_at=now,
        updated_at=now,
        state_changed_at=now,
        serial=state.serial(),
        current_state="ready",
        pending_state=None,
        default=True,
        roles={"neondb_owner": Role("neondb_owner", new_password(), now)},
        databases={"neondb": Database(1, "neondb", "neondb_owner", now)},
    )
    endpoint = Endpoint(mint("ep"), project.id, branch.id, free_port(), now, now)
    state.branches[branch.id] = branch
    state.endpoints[endpoint.id] = endpoint
    return state


def _reopen(plane: Plane) -> None:
    """Take over what a former process left: its servers are stopped, its unfinished operations failed."""
    for operation in plane.state.operations.values():
        if operation.status in {"scheduling", "running", "cancelling"}:
            operation.status, operation.error = "failed", "the sandbox was stopped"
    for branch in plane.state.branches.values():
        if branch.has_data:
            plane.clusters.open(branch)
    for endpoint in plane.state.endpoints.values():
        endpoint.port = free_port()


def variables_as_exports(variables: Mapping[str, str]) -> str:
    """Return lines that a POSIX shell can ``eval``."""
    quoted = {name: "'" + value.replace("'", "'\\''") + "'" for name, value in variables.items()}
    return "".join(f"export {name}={value}\n" for name, value in quoted.items())
