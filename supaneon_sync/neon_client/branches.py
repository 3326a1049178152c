"""Calls about branches that exist: reading, changing, deleting. ``creation`` makes new ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from supaneon_sync.errors import NeonError
from supaneon_sync.neon_client.address import path_of
from supaneon_sync.neon_client.calls import operations_in
from supaneon_sync.neon_client.endpoints import EndpointCalls
from supaneon_sync.neon_client.fields import Fields
from supaneon_sync.neon_client.model import (
    Branch,
)
from supaneon_sync.neon_client.retries import Budget
from supaneon_sync.neon_client.transport import Call

PAGE = 100
"""Branches a page: what Neon is known to give at most, whatever is asked for."""


def rfc3339(moment: datetime) -> str:
    """Return a moment as Neon wants it: UTC, whole seconds. Raise ValueError without a time zone."""
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class BranchCalls(EndpointCalls):
    """Branches of a project."""

    def branches(self, project_id: str, *, search: str | None = None) -> list[Branch]:
        """Return all branches, oldest first, with their annotations.

        ``search``: only those whose name or id holds this text. Sorted by creation, because the
        default order (by update) shuffles the pages while they are being read.
        """
        query = {"limit": str(PAGE), "sort_by": "created_at", "sort_order": "asc"}
        if search:
            query["search"] = search
        found: dict[str, Branch] = {}
        path = path_of("projects", project_id, "branches")
        for page in self._pages(path, "list branches", query, "branches", cursor="next"):
            found |= {branch.id: branch for branch in _branches_in(page)}
        return list(found.values())

    def branch(self, project_id: str, branch_id: str) -> Branch:
        """Return one branch with its annotations. Raise NotFound where there is none."""
        path = path_of("projects", project_id, "branches", branch_id)
        branch = self._ask(
            Call("GET", path, f"read branch {branch_id}"),
            lambda f: Branch.read(f.needed("branch"), f.inner("annotation")),
        )
        self._transport.seen(branch_id)
        return branch

    def find_branch(self, project_id: str, name: str) -> Branch | None:
        """Return the branch of exactly this name, None where there is none."""
        found = [branch for branch in self.branches(project_id, search=name) if branch.name == name]
        if len(found) > 1:
            raise NeonError(
                f"Neon lists {len(found)} branches named {name}; names should be unique.",
                remedy="Look at the project's branches in the Neon console and rename one.",
                branch_ids=", ".join(branch.id for branch in found),
            )
        return found[0] if found else None

    def default_branch(self, project_id: str) -> Branch:
        """Return the project's default branch, whatever its name is."""
        for branch in self.branches(project_id):
            if branch.default:
                return branch
        raise NeonError(
            f"Project {project_id} has no default branch.",
            remedy="Set one in the Neon console, under Branches.",
        )

    def rename_branch(self, project_id: str, branch_id: str, new_name: str) -> Branch:
        """Give a branch another name; return it as read back."""
        return self._change(
            project_id, branch_id, {"name": new_name}, f"rename branch {branch_id} to {new_name}"
        )

    def set_expiry(self, project_id: str, branch_id: str, expires_at: datetime | None) -> Branch:
        """Set when Neon deletes the branch, or None for never; return it as read back.

        At most 30 days ahead, and not for default, protected or parent branches.
        """
        wanted = None if expires_at is None else rfc3339(expires_at)
        return self._change(
            project_id, branch_id, {"expires_at": wanted}, f"set the expiry of branch {branch_id}"
        )

    def set_protected(self, project_id: str, branch_id: str, protected: bool) -> Branch:
        """Set or lift the protection of a branch; return it as read back."""
        return self._change(
            project_id, branch_id, {"protected": protected}, f"set the protection of branch {branch_id}"
        )

    def commit_branch(self, project_id: str, branch_id: str, new_name: str) -> Branch:
        """Give a branch its final name and take its expiry off, in one call, and read it back.

        Raise NeonError unless the branch that is read back has the name and no expiry.
        """
        wanted: dict[str, object] = {"name": new_name, "expires_at": None}
        return self._change(project_id, branch_id, wanted, f"commit branch {branch_id} as {new_name}")

    def _change(self, project_id: str, branch_id: str, wanted: Mapping[str, object], action: str) -> Branch:
        path = path_of("projects", project_id, "branches", branch_id)

        def shown() -> Branch | None:
            branch = self.branch(project_id, branch_id)
            return branch if _shows(branch, wanted) else None

        def write() -> Branch:
            operations = self._ask(Call("PATCH", path, action, body={"branch": dict(wanted)}), operations_in)
            self.await_operations(project_id, operations)
            return self._until(shown, action)

        return self._settle(action, write, shown)

    def _until(self, shown: Callable[[], Branch | None], action: str) -> Branch:
        """Read until the change shows; it may take a moment. Raise NeonError if it never does."""
        pace = self._transport.pace()
        while True:
            branch = shown()
            if branch is not None:
                return branch
            wait = pace.next_wait(Budget.SETTLING)
            if wait is None:
                raise NeonError(
                    f"Neon accepted to {action}, but the branch read back does not show it.",
                    remedy="Look at the branch in the Neon console, then run again.",
                )
            self._transport.sleep(wait)

    def delete_branch(self, project_id: str, branch_id: str) -> bool:
        """Delete a branch for good and wait until it is gone; return False where it was gone already.

        (Also where a lost answer hid that this very call deleted it.)
        There is no way back: Neon keeps nothing. Raise NeonError for a branch that is default,
        protected or has children.
        """
        path = path_of("projects", project_id, "branches", branch_id)
        answer = self._transport.call(Call("DELETE", path, f"delete branch {branch_id}"), fine={404})
        if answer.outcome == 404 and _names_the_project(answer.refusal.message):
            raise answer.refusal.error()
        if answer.outcome in {204, 404}:
            return False
        self.await_operations(project_id, self._read(answer, operations_in), may_vanish=True)
        return True


def _names_the_project(message: str) -> bool:
    return message.strip().lower().startswith("project")


def _branches_in(page: Fields) -> list[Branch]:
    annotations = page.inner("annotations")
    return [Branch.read(item, annotations.inner(item.text("id"))) for item in page.each("branches")]


def _shows(branch: Branch, wanted: Mapping[str, object]) -> bool:
    """Whether a branch has the fields that were asked for."""
    expires_at = None if branch.expires_at is None else rfc3339(branch.expires_at)
    shown = {"name": branch.name, "expires_at": expires_at, "protected": branch.protected}
    return all(shown[name] == value for name, value in wanted.items())
