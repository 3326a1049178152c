"""Making a branch, exactly once, over a network that loses answers.

A create call is not repeatable, but names are unique and annotations are kept: each call leaves its own
request id on the branch, so that a branch found under the name after a lost answer is known for ours
or for somebody else's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from supaneon_sync.errors import NeonError, SupaneonError
from supaneon_sync.neon_client.address import path_of
from supaneon_sync.neon_client.branches import BranchCalls, rfc3339
from supaneon_sync.neon_client.calls import operations_in
from supaneon_sync.neon_client.fields import Fields
from supaneon_sync.neon_client.model import (
    REQUEST_ANNOTATION,
    Branch,
    BranchRequest,
    CreatedBranch,
    Endpoint,
    EndpointRequest,
    Operation,
)
from supaneon_sync.neon_client.refusals import AlreadyExists
from supaneon_sync.neon_client.transport import Call

MOST_ANNOTATIONS = 49
"""Neon keeps 50 pairs a branch; one is this client's own."""


@dataclass(frozen=True)
class _Made:
    """A branch that exists, by its id, and what Neon still does about it."""

    branch_id: str
    operations: tuple[Operation, ...]
    endpoint: Endpoint | None


class CreationCalls(BranchCalls):
    """Making branches."""

    def create_branch(self, project_id: str, request: BranchRequest) -> CreatedBranch:
        """Make a branch, wait for its operations, return it as it then is.

        A create call whose answer is lost is looked up by the exact name; the branch found is taken
        for ours only if it carries this very call's request id, the annotations asked for and the
        parent asked for. Raise AlreadyExists for any other branch of that name, QuotaError at a limit,
        OperationFailed when Neon could not finish it (evidence: ``branch_id``).
        """
        if len(request.annotations) > MOST_ANNOTATIONS:
            raise ValueError(f"at most {MOST_ANNOTATIONS} annotations fit on a branch")
        nonce = self._transport.new_request_id()
        made = self._settle(
            f"create branch {request.name}",
            lambda: self._post_branch(project_id, request, nonce),
            lambda: self._look_for(project_id, request, nonce),
            look_at_conflict=True,
        )
        self._transport.created(made.branch_id)
        try:
            self.await_operations(project_id, made.operations)
            return CreatedBranch(
                self._initialized(project_id, made.branch_id),
                None if request.endpoint is None else self._endpoint_of(project_id, made, request.endpoint),
            )
        except SupaneonError as error:
            error.evidence["branch_id"] = made.branch_id
            raise

    def _initialized(self, project_id: str, branch_id: str) -> Branch:
        """Return the branch once it is no longer ``init``, at the latest when patience ends."""
        deadline = self._transport.clock() + self._transport.patience.operations
        while True:
            branch = self.branch(project_id, branch_id)
            if branch.current_state != "init":
                return branch
            if self._transport.clock() >= deadline:
                raise NeonError(
                    f"Branch {branch_id} is still being made although its operations have ended.",
                    remedy="Look at the branch in the Neon console, then run again.",
                )
            self._transport.sleep(self._transport.patience.longest_poll)

    def _endpoint_of(self, project_id: str, made: _Made, request: EndpointRequest) -> Endpoint:
        known = made.endpoint or self._read_write(project_id, made.branch_id)
        if known is None:
            return self.create_endpoint(project_id, made.branch_id, request)
        self._transport.created(known.id)
        return self.endpoint(project_id, known.id)

    def _post_branch(self, project_id: str, request: BranchRequest, nonce: str) -> _Made:
        endpoint = request.endpoint
        path = path_of("projects", project_id, "branches")
        action = f"create branch {request.name}"
        call = Call("POST", path, action, body=_create_body(request, endpoint, nonce))
        tuned = endpoint is not None and endpoint.suspend_timeout_seconds is not None
        answer = self._transport.call(call, fine={412} if tuned else ())
        if answer.outcome == 412 and endpoint is not None:
            plain = replace(endpoint, suspend_timeout_seconds=None)
            answer = self._transport.call(
                Call("POST", path, action, body=_create_body(request, plain, nonce))
            )
        return self._read(answer, _made_in)

    def _look_for(self, project_id: str, request: BranchRequest, nonce: str) -> _Made | None:
        """Return the branch that a lost create call made, None where there is none of that name."""
        found = self.find_branch(project_id, request.name)
        if found is None:
            return None
        ours = (
            found.created_by_request == nonce
            and found.annotations == dict(request.annotations)
            and request.parent_id in {None, found.parent_id}
        )
        if not ours:
            raise AlreadyExists(
                f"A branch named {request.name} exists already ({found.id}) and was not made by this call. "
                "It was left as it is.",
                remedy="Delete or rename it if nobody needs it, then run again.",
                status=409,
                branch_id=found.id,
            )
        operations = self.operations(project_id)
        return _Made(found.id, tuple(o for o in operations if o.branch_id == found.id), None)


def _made_in(fields: Fields) -> _Made:
    endpoints = [Endpoint.read(item) for item in fields.each("endpoints")]
    return _Made(
        fields.needed("branch").text("id"), operations_in(fields), endpoints[0] if endpoints else None
    )


def _create_body(request: BranchRequest, endpoint: EndpointRequest | None, nonce: str) -> dict[str, object]:
    branch: dict[str, object] = {"name": request.name}
    if request.parent_id is not None:
        branch["parent_id"] = request.parent_id
    if request.parent_lsn is not None:
        branch["parent_lsn"] = request.parent_lsn
    if request.expires_at is not None:
        branch["expires_at"] = rfc3339(request.expires_at)
    if request.protected:
        branch["protected"] = True
    body: dict[str, object] = {"branch": branch}
    if endpoint is not None:
        body["endpoints"] = [endpoint.body()]
    return body | {"annotation_value": {**request.annotations, REQUEST_ANNOTATION: nonce}}
