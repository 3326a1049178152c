"""Faults that a test can order: what the real service does on a bad day.

A rule is JSON: ``{"kind": …, "method": "POST", "path": "regex", "times": 1, …}``. Kinds:

===================  ==========================================================================
423, 429, 503        that status, nothing done (429 with ``Retry-After: retry_after``, default 1)
524                  an HTML page as a content network writes it, nothing done
answer               ``status``, ``code``, ``message`` of your own, nothing done
drop-before          the connection ends without an answer, nothing done
drop-after-commit    the work is done, then the connection ends without an answer
operation-failed     the work's first operation ends so (also -error, -cancelled), not done
operation-skipped    the first operation ends ``skipped``, done all the same
404-after-create     the branch is made; the next ``reads`` (default 2) looks at its id find nothing
stale-cut            the branch is made from what ``POST /sandbox/branches/{id}/keep`` put aside
slow                 ``seconds`` pass first
===================  ==========================================================================
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from supaneon_sync.sandbox.refusal import ApiError

_ANSWERS = {"423", "429", "503", "524", "answer", "drop-before"}
_OUTCOMES = {
    "operation-failed": "failed",
    "operation-error": "error",
    "operation-cancelled": "cancelled",
    "operation-skipped": "skipped",
}
KINDS = _ANSWERS | set(_OUTCOMES) | {"drop-after-commit", "404-after-create", "stale-cut", "slow"}

_outcome: ContextVar[str | None] = ContextVar("outcome", default=None)
_stale: ContextVar[bool] = ContextVar("stale", default=False)


@dataclass
class Rule:
    """One ordered fault, and how often it has happened."""

    kind: str
    method: str
    path: str
    times: int
    options: dict[str, Any] = field(default_factory=dict)
    fired: int = 0

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Rule:
        """Return the rule that a JSON object means. Raise ApiError (400) if it means none."""
        known = {"kind", "method", "path", "times"}
        match = raw.get("match", {})
        kind = str(raw.get("kind", ""))
        if kind not in KINDS:
            raise ApiError(400, f"kind must be one of {', '.join(sorted(KINDS))}")
        return cls(
            kind=kind,
            method=str(raw.get("method", match.get("method", ".*"))),
            path=str(raw.get("path", match.get("path", ""))),
            times=int(raw.get("times", 1)),
            options={key: value for key, value in raw.items() if key not in known},
        )

    def matches(self, method: str, path: str) -> bool:
        """Return whether this rule still applies, and applies to this request."""
        return (
            self.fired < self.times
            and re.fullmatch(self.method, method, re.IGNORECASE) is not None
            and re.search(self.path, path) is not None
        )

    def shape(self) -> dict[str, Any]:
        """Return the rule as JSON."""
        known = {"kind": self.kind, "method": self.method, "path": self.path, "times": self.times}
        return known | self.options | {"fired": self.fired}


class Faults:
    """The ordered faults, and a log of requests that holds no secret: no bodies, no headers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.rules: list[Rule] = []
        self.requests: list[dict[str, Any]] = []

    def add(self, *rules: Mapping[str, Any]) -> None:
        """Order faults. Raise ApiError (400) for a rule that means nothing."""
        parsed = [Rule.parse(one) for one in rules]
        with self._lock:
            self.rules.extend(parsed)

    def clear(self) -> None:
        """Forget all faults and the log."""
        with self._lock:
            self.rules.clear()
            self.requests.clear()

    def hide(self, branch_id: str, reads: int) -> None:
        """Let the next reads of a branch find nothing."""
        message = {"status": 404, "message": "branch not found"}
        rule = Rule("answer", "GET", re.escape(f"/branches/{branch_id}") + "$", reads, message)
        with self._lock:
            self.rules.append(rule)

    def take(self, method: str, path: str) -> Rule | None:
        """Return the first rule for a request, counted as having happened."""
        with self._lock:
            rule = next((one for one in self.rules if one.matches(method, path)), None)
            if rule:
                rule.fired += 1
            return rule

    def apply(self, rule: Rule) -> None:
        """Make the handling of this request go wrong as the rule says."""
        _outcome.set(_OUTCOMES.get(rule.kind))
        _stale.set(rule.kind == "stale-cut")

    def take_outcome(self) -> str | None:
        """Return how the operation being recorded shall end, if not well; once per request."""
        outcome = _outcome.get()
        _outcome.set(None)
        return outcome

    def stale(self) -> bool:
        """Return whether this request shall get a stale copy."""
        return _stale.get()

    def note(self, entry: dict[str, Any]) -> None:
        """Put a request into the log."""
        with self._lock:
            self.requests.append(entry)
