"""What Neon answered, as one of this tool's errors: what failed, what it means, what to do now."""

from __future__ import annotations

import re
from dataclasses import dataclass

from supaneon_sync.errors import ConfigError, NeonError, QuotaError, SupaneonError
from supaneon_sync.neon_client.retries import LIMIT_CODE, Mishap

STATUS_PAGE = "https://status.neon.tech"


class AnswerLost(NeonError):
    """No usable answer came: what was asked for may have happened, or not."""


class NotFound(NeonError):
    """Neon knows no such branch, endpoint, database, role or operation."""


class AlreadyExists(NeonError):
    """The name is taken already."""


class OperationFailed(NeonError):
    """Neon took the request and then could not carry it out."""


@dataclass(frozen=True)
class Refusal:
    """An answer that is not the one asked for. ``action`` says in plain words what was tried.

    ``message`` is Neon's, already cleaned of anything secret.
    """

    action: str
    outcome: int | Mishap
    code: str
    message: str
    request_id: str

    @property
    def evidence(self) -> dict[str, object]:
        """Return what a support ticket needs."""
        status = self.outcome if isinstance(self.outcome, int) else None
        return {
            "status": status,
            "code": self.code,
            "message": self.message,
            "request_id": self.request_id,
            "action": self.action,
        }

    @property
    def _said(self) -> str:
        if isinstance(self.outcome, Mishap):
            return f"{self.outcome.value} (request {self.request_id})"
        words = ", ".join(part for part in (self.code, self.message) if part)
        return f"HTTP {self.outcome}{': ' if words else ''}{words} (request {self.request_id})"

    def error(self) -> SupaneonError:
        """Return the error to raise, of the family that the answer belongs to."""
        if isinstance(self.outcome, Mishap):
            return self._mishap(self.outcome)
        if self._is_limit:
            return self._limit()
        made = {
            401: self._wrong_key,
            403: self._forbidden,
            404: self._not_found,
            409: self._conflict,
            423: self._busy,
            429: self._too_many,
        }.get(self.outcome)
        if made is not None:
            return made()
        if self.outcome >= 500 or self.outcome == 408:
            return self._lost()
        return self._neon(NeonError, "Nothing was changed.", "Check the settings that the message names.")

    @property
    def _is_limit(self) -> bool:
        told = re.search(r"\blimit\b.*\b(reached|exceeded)|\bexceed\w*\b.*\blimit\b", self.message, re.I)
        if self.outcome == 402 or re.search(LIMIT_CODE, self.code):
            return True
        return self.outcome in {403, 406, 409, 412, 422} and told is not None

    def _neon(self, family: type[NeonError], means: str, remedy: str) -> NeonError:
        error = family(f"Neon refused to {self.action}: {self._said}. {means}", remedy=remedy)
        error.evidence.update(self.evidence)
        return error

    def _limit(self) -> QuotaError:
        if "BRANCHES_LIMIT" in self.code or "branch" in self.message.lower():
            remedy = "Prune backups (`supaneon-sync prune`), delete branches nobody needs, or raise the plan."
        else:
            remedy = "Look at the project's usage in the Neon console; wait for the reset or raise the plan."
        said = f"A limit of the Neon plan stands in the way: could not {self.action}: {self._said}."
        error = QuotaError(f"{said} Existing backups are untouched.", remedy=remedy)
        error.evidence.update(self.evidence)
        return error

    def _wrong_key(self) -> NeonError:
        return self._neon(
            NeonError,
            "The API key is not valid; nothing was changed.",
            "Set NEON_API_KEY to a key that has not been revoked (Neon console, API keys).",
        )

    def _forbidden(self) -> NeonError:
        return self._neon(
            NeonError,
            "The API key may not do this; nothing was changed.",
            "A project-scoped key works for its own project only: check that NEON_API_KEY and "
            "NEON_PROJECT_ID belong together and that the key's member may write.",
        )

    def _not_found(self) -> SupaneonError:
        if re.match(r"\s*project\b.*\b(not found|does not exist)", self.message, re.IGNORECASE):
            return self.unknown_project()
        return self._neon(NotFound, "It does not exist (any more).", "List what there is and check the name.")

    def unknown_project(self) -> ConfigError:
        """Return the error for a project that the key cannot see."""
        error = ConfigError(
            f"Neon knows no such project, or NEON_API_KEY cannot see it: could not {self.action}: "
            f"{self._said}. Nothing was changed.",
            remedy="Set NEON_PROJECT_ID to the id in the project's settings page.",
        )
        error.evidence.update(self.evidence)
        return error

    def _conflict(self) -> NeonError:
        if not re.search(r"exist", f"{self.code} {self.message}", re.IGNORECASE):
            return self._neon(
                NeonError, "Nothing was changed.", "See what the message names, then run again."
            )
        return self._neon(
            AlreadyExists, "What exists was left as it is.", "Choose another name or delete it."
        )

    def _busy(self) -> NeonError:
        return self._neon(
            NeonError,
            "Other operations are running on the project and did not end in time; nothing was changed.",
            "See Operations in the Neon console; run again when they have ended.",
        )

    def _too_many(self) -> NeonError:
        return self._neon(
            NeonError,
            "The account sends more requests than Neon allows (700 a minute); nothing was changed.",
            "Run again later; see what else uses the account's keys.",
        )

    def _lost(self) -> AnswerLost:
        error = AnswerLost(
            f"Neon gave no usable answer to: {self.action}: {self._said}. It may have happened, or not.",
            remedy=f"Run again; if it stays so, see {STATUS_PAGE} and name the request id to support.",
        )
        error.evidence.update(self.evidence)
        return error

    def _mishap(self, mishap: Mishap) -> NeonError:
        if mishap is Mishap.UNREACHABLE:
            means = "Nothing was changed."
            remedy = f"Check NEON_API_HOST, the network and the proxy; see {STATUS_PAGE}."
        elif mishap is Mishap.UNTRUSTED:
            means = "Nothing was sent."
            remedy = "Check NEON_API_HOST and the machine's certificate store (REQUESTS_CA_BUNDLE)."
        else:
            return self._lost()
        error = NeonError(f"Could not {self.action} at Neon: {self._said}. {means}", remedy=remedy)
        error.evidence.update(self.evidence)
        return error
