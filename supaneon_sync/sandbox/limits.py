"""What a plan allows, and Neon's rules about expiry and deletion, as decisions without effects.

Figures: Neon's plans page (2026-03 and 2026-11); rules: docs guides/branch-expiration, manage/branches.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from supaneon_sync.sandbox.clock import parse_time, timestamp
from supaneon_sync.sandbox.refusal import ApiError
from supaneon_sync.sandbox.state import Branch, State

MOST_EXPIRY = timedelta(days=30)
_DAY = 24 * 3600


@dataclass(frozen=True)
class Plan:
    """The limits of one plan. ``shortest_suspend`` is None where any explicit value is refused.

    ``subscription`` is a word that older clients know too: PyPI's neon-api refuses the newer ones.
    """

    name: str
    subscription: str
    branches: int
    protected: int
    size_limit_bytes: int
    history_seconds: int
    shortest_suspend: int | None


PLANS = {
    "free": Plan("free", "free_v2", 10, 0, 512 * 1024**2, 6 * 3600, None),
    "launch": Plan("launch", "launch", 5000, 2, 16 * 1024**4, 7 * _DAY, 300),
    "scale": Plan("scale", "scale", 5000, 5, 16 * 1024**4, 30 * _DAY, 60),
}


def check_new_branch(state: State, plan: Plan, name: str, parent: Branch) -> None:
    """Raise ApiError if a branch of that name may not be made from that parent."""
    if not 1 <= len(name) <= 256:
        raise ApiError(400, "branch name must have 1 to 256 characters")
    if state.named(name):
        raise ApiError(409, f'branch already exists; branch_name:"{name}"', "BRANCH_ALREADY_EXISTS")
    if len(state.branches) >= plan.branches:
        raise ApiError(422, "branches limit exceeded", "BRANCHES_LIMIT_EXCEEDED")
    if parent.expires_at:
        raise ApiError(422, "a branch that expires cannot have children")


def check_protected(state: State, plan: Plan) -> None:
    """Raise ApiError if the plan has no protected branch left."""
    if sum(one.protected for one in state.branches.values()) >= plan.protected:
        raise ApiError(422, "protected branches limit exceeded", "BRANCHES_PROTECTED_LIMIT_EXCEEDED")


def check_suspend_timeout(plan: Plan, seconds: object) -> None:
    """Raise ApiError (412) for an explicit suspend interval that the plan does not offer."""
    if seconds is None:
        return
    if not isinstance(seconds, int) or not -1 <= seconds <= 604800:
        raise ApiError(400, "suspend_timeout_seconds must be between -1 and 604800")
    if plan.shortest_suspend is None or 0 < seconds < plan.shortest_suspend:
        raise ApiError(412, "suspend interval is too short for your plan")


def checked_expiry(text: object, now: datetime) -> str:
    """Return an expiry time cut to the second. Raise ApiError if it is past or too far off."""
    moment = parse_time(text, "expires_at")
    if moment <= now:
        raise ApiError(422, "expires_at must be in the future")
    if moment > now + MOST_EXPIRY:
        raise ApiError(422, "expires_at must be at most 30 days ahead")
    return timestamp(moment)


def check_may_expire(state: State, branch: Branch) -> None:
    """Raise ApiError if this branch may not carry an expiry time."""
    if branch.default:
        raise ApiError(422, "the default branch cannot expire")
    if branch.protected:
        raise ApiError(422, "a protected branch cannot expire")
    if state.children(branch.id):
        raise ApiError(422, "a branch with children cannot expire")


def check_deletable(state: State, branch: Branch) -> None:
    """Raise ApiError if this branch may not be deleted."""
    if branch.default:
        raise ApiError(422, "cannot delete the default branch")
    if branch.protected:
        raise ApiError(422, "cannot delete protected branch")
    if branch.parent_id is None:
        raise ApiError(422, "cannot delete a root branch")
    if state.children(branch.id):
        raise ApiError(422, "cannot delete a branch that has children")
