"""The failover branch itself: cut once, however many call; met where somebody else has cut it; protected."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from supaneon_sync import __version__
from supaneon_sync.errors import NeonError, QuotaError, Refused, SupaneonError
from supaneon_sync.neon_client import (
    AlreadyExists,
    Branch,
    BranchRequest,
    EndpointRequest,
    NotFound,
    OperationFailed,
)
from supaneon_sync.operations import failover_state
from supaneon_sync.operations.standby import Standby
from supaneon_sync.operations.standing import StandingBackup
from supaneon_sync.policy import failover, marks, names
from supaneon_sync.policy.marks import Mark

_REFUSED = frozenset({400, 402, 403, 406, 409, 412, 422})
"""Statuses by which Neon refuses what a plan does not offer; nothing was done then."""


@dataclass(frozen=True)
class Order:
    """What is asked for. ``expires_at`` is set for a rehearsal, and makes it one."""

    source: StandingBackup
    expires_at: datetime | None = None

    @property
    def rehearsal(self) -> bool:
        """Whether nothing of it may stay."""
        return self.expires_at is not None


@dataclass
class Cutting:
    """The branch of one call. ``branch`` is the one that is there already, if any; ``order`` follows it."""

    standby: Standby
    order: Order
    branch: Branch | None = None
    notes: list[str] = field(default_factory=list)
    _whole: bool = False

    @property
    def there(self) -> Branch:
        """The branch. Raises NeonError where there is none."""
        if self.branch is None:
            raise NeonError("The failover branch is gone.", remedy="Run it again.")
        return self.branch

    @property
    def starting(self) -> bool:
        """Whether the branch was never handed out."""
        return self.order.rehearsal or self.there.name == names.STARTING_FAILOVER

    @property
    def _project(self) -> str:
        return self.standby.project.id

    def create(self) -> None:
        """Cut the branch, or meet the one of somebody who was quicker. Raises QuotaError at a limit."""
        made = self._cut()
        self._whole = made is not None
        if self.order.rehearsal or made is None:
            self.branch = made or self._met()
            return
        others = [one for one in failover.in_force(self.standby.branches()) if one.id != made.id]
        if others:
            self.standby.client.delete_branch(self._project, made.id)
            self._follow(others[0])
            return
        self.branch = made

    def _cut(self) -> Branch | None:
        """Make the branch; None where somebody else's call has the name."""
        settings = self.standby.settings
        sizes = EndpointRequest(
            autoscaling_limit_min_cu=settings.min_cu, autoscaling_limit_max_cu=settings.max_cu
        )
        try:
            try:
                return self.standby.client.create_branch(self._project, self._request(sizes)).branch
            except (NeonError, QuotaError) as error:
                if not _refuses_size(error):
                    raise
                self._without_sizes(error)
            return self.standby.client.create_branch(self._project, self._request(EndpointRequest())).branch
        except AlreadyExists:
            if self.order.rehearsal:
                raise
            return None
        except OperationFailed as error:
            self._forget(str(error.evidence.get("branch_id") or ""))
            raise
        except QuotaError as error:
            raise _no_room(error, self.order) from error
        except NeonError as error:
            if self.order.rehearsal:
                self._forget(str(error.evidence.get("branch_id") or ""))
            raise

    def _without_sizes(self, error: SupaneonError) -> None:
        settings = self.standby.settings
        self.notes.append(
            f"Neon refused a compute of {settings.min_cu:g} to {settings.max_cu:g} CU"
            f" ({error.evidence.get('message') or error.message}); the branch has the project's default size."
        )

    def _request(self, compute: EndpointRequest) -> BranchRequest:
        source, run = self.order.source, self.standby.run
        moment = source.backup.moment
        kind = marks.REHEARSAL if self.order.rehearsal else marks.FAILOVER
        rehearsed = names.rehearsal(moment, run.clock())
        return BranchRequest(
            name=rehearsed if self.order.rehearsal else names.STARTING_FAILOVER,
            parent_id=source.branch.id,
            expires_at=self.order.expires_at,
            annotations=Mark(kind, __version__, source.mark.manifest, moment, run.url or "").pairs(),
            with_endpoint=compute,
        )

    def _forget(self, branch_id: str) -> None:
        """Take away a branch that could not be made. Nothing leads to it."""
        if branch_id:
            with suppress(SupaneonError):
                self.standby.client.delete_branch(self._project, branch_id)

    def _met(self) -> Branch:
        """Return the branch of a failover that somebody else has just called."""
        there = failover_state.in_force(self.standby)
        if there is None:
            raise Refused(
                f"A branch named {names.STARTING_FAILOVER} is there, and this tool did not make it.",
                remedy="Rename or delete it in the Neon console, then run this again.",
            )
        self._follow(there)
        return there

    def _follow(self, branch: Branch) -> None:
        self._whole = False
        self.standby.run.progress.note(f"Somebody else has called a failover: going on with {branch.name}.")
        self.branch = branch
        self.order = followed(self.standby, branch, self.order)

    def await_ready(self) -> None:
        """Wait for the branch; begin again where making it has failed; see that it has a compute.

        A branch that this very call has made is there with its compute.
        """
        if self._whole and self.there.ready:
            return
        client, run = self.standby.client, self.standby.run
        deadline = run.monotonic() + self.standby.settings.operation_timeout.total_seconds()
        while not (branch := self._seen()).ready:
            if self._stillborn(branch):
                self._forget(branch.id)
                self.branch = None
                self.create()
                continue
            if run.monotonic() > deadline:
                raise NeonError(
                    f"Neon has not made {branch.name} yet ({branch.current_state}).",
                    remedy="See Operations in the Neon console; run it again, it goes on from here.",
                )
            run.stop.wait(0.5)
        if not any(one.type == "read_write" for one in client.endpoints(self._project, branch.id)):
            self._make_compute(branch)

    def _seen(self) -> Branch:
        self.branch = self.standby.client.branch(self._project, self.there.id)
        return self.branch

    def _stillborn(self, branch: Branch) -> bool:
        return branch.name == names.STARTING_FAILOVER and any(
            one.failed and one.action == "create_branch"
            for one in self.standby.client.operations(self._project)
            if one.branch_id == branch.id
        )

    def _make_compute(self, branch: Branch) -> None:
        settings, client = self.standby.settings, self.standby.client
        sizes = EndpointRequest(
            autoscaling_limit_min_cu=settings.min_cu, autoscaling_limit_max_cu=settings.max_cu
        )
        try:
            client.create_endpoint(self._project, branch.id, sizes)
        except AlreadyExists:
            return
        except (NeonError, QuotaError) as error:
            if not _refuses_size(error):
                raise
            self._without_sizes(error)
            client.create_endpoint(self._project, branch.id)

    def protect(self) -> None:
        """Protect the branch; where the plan refuses that, note it."""
        try:
            self.branch = self.standby.client.set_protected(self._project, self.there.id, True)
        except (NeonError, QuotaError) as error:
            if error.evidence.get("status") not in _REFUSED:
                raise
            self.notes.append(
                f"The branch is not protected ({error.evidence.get('message')}): do not delete it by hand."
            )


def followed(standby: Standby, branch: Branch, order: Order) -> Order:
    """Return the order that fits a failover branch that is there. Raises Refused if another was asked for."""
    source = failover_state.parent_of(standby, branch, standby.branches())
    wanted = standby.settings.backup
    if wanted not in (None, "latest", source.name):
        raise Refused(
            f"A failover from {source.name} is in force already ({branch.name}); you named {wanted}.",
            remedy="Leave --backup out to get that one. Or end it first: supaneon-sync failover --end --yes",
        )
    return replace(order, source=source)


def _refuses_size(error: SupaneonError) -> bool:
    """Say whether Neon may have refused for the sake of the compute's size; nothing was done then."""
    if isinstance(error, (AlreadyExists, NotFound)):
        return False
    code = str(error.evidence.get("code") or "")
    return error.evidence.get("status") in _REFUSED and not code.startswith(
        ("BRANCHES_", "ENDPOINTS_", "ACTIVE_ENDPOINTS_", "ROOT_", "BRANCH_")
    )


def _no_room(error: QuotaError, order: Order) -> QuotaError:
    return QuotaError(
        f"{error.message} No failover branch could be made.",
        remedy="Delete a branch that nobody needs (an old drill, for example), then run it again. If that "
        f"takes too long: supaneon-sync resolve --backup {order.source.name} gives the URI of the backup "
        "itself. It can take the traffic, and is then no longer the backup that its name says.",
    ).with_evidence(error.evidence)
