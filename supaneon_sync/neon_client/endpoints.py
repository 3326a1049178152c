"""Calls about compute endpoints, and about connecting through them."""

from __future__ import annotations

from supaneon_sync.errors import NeonError
from supaneon_sync.neon_client.address import path_of
from supaneon_sync.neon_client.calls import Calls, operations_in
from supaneon_sync.neon_client.fields import Fields
from supaneon_sync.neon_client.model import Endpoint, EndpointRequest, Operation
from supaneon_sync.neon_client.transport import Call
from supaneon_sync.secret import Secret


class EndpointCalls(Calls):
    """Compute endpoints of a project."""

    def endpoints(self, project_id: str, branch_id: str | None = None) -> list[Endpoint]:
        """Return the endpoints of a branch, or of the whole project."""
        if branch_id is None:
            path, action = path_of("projects", project_id, "endpoints"), "list endpoints"
        else:
            path = path_of("projects", project_id, "branches", branch_id, "endpoints")
            action = f"list the endpoints of branch {branch_id}"
        return self._ask(Call("GET", path, action), lambda f: [Endpoint.read(e) for e in f.each("endpoints")])

    def endpoint(self, project_id: str, endpoint_id: str) -> Endpoint:
        """Return one endpoint as it stands now. Raise NotFound where there is none."""
        path = path_of("projects", project_id, "endpoints", endpoint_id)
        found = self._ask(
            Call("GET", path, f"read endpoint {endpoint_id}"), lambda f: Endpoint.read(f.needed("endpoint"))
        )
        self._transport.seen(endpoint_id)
        return found

    def _read_write(self, project_id: str, branch_id: str) -> Endpoint | None:
        for endpoint in self.endpoints(project_id, branch_id):
            if endpoint.type == "read_write" and endpoint.branch_id == branch_id:
                return endpoint
        return None

    def create_endpoint(
        self, project_id: str, branch_id: str, request: EndpointRequest | None = None
    ) -> Endpoint:
        """Make a branch's read-write endpoint, wait until it runs, return it.

        Raise AlreadyExists where the branch has one, QuotaError at a limit.
        """
        wanted = request or EndpointRequest()
        if wanted.type != "read_write":
            raise ValueError("only a branch's one read_write endpoint can be looked up after a lost answer")

        def look() -> tuple[Endpoint, tuple[Operation, ...]] | None:
            found = self._read_write(project_id, branch_id)
            if found is None:
                return None
            return found, tuple(o for o in self.operations(project_id) if o.endpoint_id == found.id)

        endpoint, operations = self._settle(
            f"create an endpoint for branch {branch_id}",
            lambda: self._post_endpoint(project_id, branch_id, wanted),
            look,
        )
        self.await_operations(project_id, operations)
        return self.endpoint(project_id, endpoint.id)

    def _post_endpoint(
        self, project_id: str, branch_id: str, request: EndpointRequest
    ) -> tuple[Endpoint, tuple[Operation, ...]]:
        path = path_of("projects", project_id, "endpoints")
        action = f"create an endpoint for branch {branch_id}"
        body = {"branch_id": branch_id, **request.body()}
        tuned = request.suspend_timeout_seconds is not None
        answer = self._transport.call(
            Call("POST", path, action, body={"endpoint": body}), fine={412} if tuned else ()
        )
        if answer.outcome == 412:
            body.pop("suspend_timeout_seconds")
            answer = self._transport.call(Call("POST", path, action, body={"endpoint": body}))
        endpoint, operations = self._read(answer, _endpoint_and_operations)
        self._transport.created(endpoint.id)
        return endpoint, operations

    def delete_endpoint(self, project_id: str, endpoint_id: str) -> bool:
        """Delete an endpoint and wait until it is gone; return False where it was gone already."""
        path = path_of("projects", project_id, "endpoints", endpoint_id)
        answer = self._transport.call(Call("DELETE", path, f"delete endpoint {endpoint_id}"), fine={404})
        if answer.outcome in {204, 404}:
            return False
        self.await_operations(project_id, self._read(answer, operations_in), may_vanish=True)
        return True

    def start_endpoint(self, project_id: str, endpoint_id: str) -> Endpoint:
        """Wake an endpoint and wait until it runs; return it."""
        return self._steer(project_id, endpoint_id, "start")

    def suspend_endpoint(self, project_id: str, endpoint_id: str) -> Endpoint:
        """Put an endpoint to sleep (its connections end) and wait until it is; return it."""
        return self._steer(project_id, endpoint_id, "suspend")

    def _steer(self, project_id: str, endpoint_id: str, verb: str) -> Endpoint:
        path = path_of("projects", project_id, "endpoints", endpoint_id, verb)
        call = Call("POST", path, f"{verb} endpoint {endpoint_id}", repeatable=True)
        self.await_operations(project_id, self._ask(call, operations_in))
        return self.endpoint(project_id, endpoint_id)

    def connection_uri(
        self,
        project_id: str,
        branch_id: str,
        database: str,
        role: str,
        *,
        endpoint_id: str | None = None,
        pooled: bool = False,
    ) -> Secret:
        """Return the URI, password and all, of one database of one branch for one role.

        ``pooled``: through Neon's pooler (transaction mode), for applications rather than for dumps.
        """
        query = {"branch_id": branch_id, "database_name": database, "role_name": role}
        query["pooled"] = "true" if pooled else "false"
        if endpoint_id is not None:
            query["endpoint_id"] = endpoint_id
        path = path_of("projects", project_id, "connection_uri")
        uri = self._ask(
            Call("GET", path, f"read a connection URI of branch {branch_id}", query),
            lambda f: Secret(f.text("uri")),
        )
        if "://" not in uri.reveal():
            raise NeonError(f"Neon's connection URI of branch {branch_id} is not a URI.", remedy="Run again.")
        return uri


def _endpoint_and_operations(fields: Fields) -> tuple[Endpoint, tuple[Operation, ...]]:
    return Endpoint.read(fields.needed("endpoint")), operations_in(fields)
