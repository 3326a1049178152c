"""One HTTP conversation with Neon: authorization, time limits, the retry table, errors.

Nothing that a library raises leaves this module (its text may hold a URL), and neither the key nor a
connection URI is ever part of an error.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import requests
import tenacity
from requests.auth import AuthBase
from urllib3.exceptions import NewConnectionError

from supaneon_sync import __version__
from supaneon_sync.errors import SupaneonError
from supaneon_sync.neon_client.address import checked_host, checked_key
from supaneon_sync.neon_client.fields import Fields, Malformed
from supaneon_sync.neon_client.refusals import Refusal
from supaneon_sync.neon_client.retries import (
    HARMLESS_METHODS,
    Budget,
    Mishap,
    Pace,
    Patience,
    Rule,
    Then,
    retry_after,
    rule_for,
)
from supaneon_sync.secret import Secret

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
_LONGEST_MESSAGE = 500


@dataclass(frozen=True)
class Call:
    """One request. ``action`` completes "Neon refused to …" and holds nothing secret.

    ``path`` is already quoted (``path_of``). ``repeatable``: doing it twice does no harm although its
    method is not one that says so. ``ids``: those in the path, to know the ones that are new.
    """

    method: str
    path: str
    action: str
    query: Mapping[str, str] = field(default_factory=dict, hash=False)
    body: Mapping[str, object] | None = field(default=None, hash=False)
    repeatable: bool = False

    @property
    def harmless(self) -> bool:
        """Whether sending it twice does no harm."""
        return self.repeatable or self.method in HARMLESS_METHODS


@dataclass(frozen=True)
class Answer:
    """What came back: ``outcome`` is the HTTP status, or what happened in place of one."""

    outcome: int | Mishap
    body: object = field(repr=False)
    refusal: Refusal
    retry_after: float | None = None

    @property
    def fields(self) -> Fields:
        """The body of a success as an object; an empty one for 204."""
        return Fields(self.body, "answer")

    def malformed(self, flaw: Malformed) -> SupaneonError:
        """Return the ``AnswerLost`` for a success that does not say what it should."""
        text = f"HTTP {self.outcome} but {flaw}"
        return Refusal(self.refusal.action, Mishap.UNREADABLE, "", text, self.refusal.request_id).error()


class _Unfinished(Exception):
    """A signal to the retry loop, never seen outside."""

    def __init__(self, answer: Answer, wait: float) -> None:
        super().__init__()
        self.answer = answer
        self.wait = wait


class _Bearer(AuthBase):
    """Sets the header as the last thing; being an auth object it also keeps ``.netrc`` out of it."""

    def __init__(self, key: Secret) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key.reveal()}"
        return request


class Transport:
    """Sends calls, retries them as the table says, and raises our errors for refusals.

    ``clock`` and ``sleep`` count seconds, ``random`` gives 0..1.
    """

    def __init__(
        self,
        key: Secret,
        api_host: str,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        random: Callable[[], float],
        patience: Patience,
    ) -> None:
        self._key = checked_key(key)
        self._base, loopback = checked_host(api_host)
        self.clock = clock
        self.sleep = sleep
        self._random = random
        self.patience = patience
        self._just_created: set[str] = set()
        self._session = requests.Session()
        self._session.auth = _Bearer(self._key)
        self._session.trust_env = not loopback
        self._session.headers["User-Agent"] = f"supaneon-sync/{__version__}"
        self._session.headers["Accept"] = "application/json"

    def __repr__(self) -> str:
        return f"Transport({self._base})"

    def pace(self) -> Pace:
        """Return a new count of waits, for a loop of our own."""
        return Pace(self.patience, self.clock, self._random)

    def new_request_id(self) -> str:
        """Return a UUID made from the injected randomness."""
        number = int(self._random() * 2**53) << 75 | int(self._random() * 2**53) << 22
        return str(uuid.UUID(int=(number | int(self._random() * 2**22)) % 2**128, version=4))

    def created(self, ident: str) -> None:
        """Remember an id that was made just now: until it is seen once, a 404 may only be lag."""
        self._just_created.add(ident)

    def seen(self, ident: str) -> None:
        """Note that a new id has been read: from now on a 404 means that it is gone."""
        self._just_created.discard(ident)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def call(self, call: Call, fine: Collection[int] = ()) -> Answer:
        """Send a call until it is answered, refused for good, or out of patience.

        Return the answer for 2xx and for the statuses in ``fine``. Raise ``AnswerLost`` for a write
        of unknown fate, and the error of ``Refusal.error`` for a refusal.
        """
        pace = self.pace()

        def once() -> Answer:
            answer = self._send(call)
            outcome = answer.outcome
            if isinstance(outcome, int) and 200 <= outcome < 300:
                return answer
            rule = rule_for(outcome, answer.refusal.code, answer.refusal.message, self._is_new(call.path))
            wait = self._wait(call, rule, pace, answer)
            if wait is not None:
                raise _Unfinished(answer, wait)
            return answer

        answer: Answer = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Unfinished),
            wait=_wait_of,
            sleep=self.sleep,
        )(once)
        if isinstance(answer.outcome, int) and (200 <= answer.outcome < 300 or answer.outcome in fine):
            return answer
        raise answer.refusal.error()

    def _is_new(self, path: str) -> bool:
        return any(segment in self._just_created for segment in path.split("/"))

    def _wait(self, call: Call, rule: Rule, pace: Pace, answer: Answer) -> float | None:
        if rule.then is Then.NEVER or (rule.then is Then.UNSURE and not call.harmless):
            return None
        asked_for = (
            answer.retry_after if rule.budget in {Budget.RATE, Budget.OUTAGE, Budget.CONFLICT} else None
        )
        return pace.next_wait(rule.budget, asked_for)

    def _send(self, call: Call) -> Answer:
        request_id = self.new_request_id()
        result = self._exchange(call, request_id)
        if isinstance(result, Mishap):
            return Answer(result, None, Refusal(call.action, result, "", "", request_id))
        return self._read(call, result, request_id)

    def _exchange(self, call: Call, request_id: str) -> requests.Response | Mishap:
        try:
            return self._session.request(
                call.method,
                self._base + call.path,
                params=dict(call.query),
                json=call.body,
                headers={"X-Request-ID": request_id},
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                allow_redirects=False,
            )
        except requests.exceptions.RequestException as error:
            return _mishap_of(error)

    def _read(self, call: Call, response: requests.Response, request_id: str) -> Answer:
        status = response.status_code
        try:
            body = json.loads(response.content) if response.content else {}
        except (ValueError, RecursionError):
            body = None
        if status == 204:
            body = {}
        code, message, theirs = "", "", response.headers.get("X-Request-ID")
        if not 200 <= status < 300:
            code, message, theirs = self._complaint(body, theirs)
        refusal = Refusal(call.action, status, code, message, theirs or request_id)
        if 200 <= status < 300 and not isinstance(body, dict):
            return Answer(
                Mishap.UNREADABLE, None, Refusal(call.action, Mishap.UNREADABLE, "", "", refusal.request_id)
            )
        wait = retry_after(response.headers.get("Retry-After"), response.headers.get("Date"))
        return Answer(status, body, refusal, wait)

    def _complaint(self, body: object, request_id: str | None) -> tuple[str, str, str | None]:
        """Return code, message and request id of an error body, as far as it has them."""
        if not isinstance(body, dict):
            return "", "the answer was not JSON", request_id
        code, message, theirs = (body.get(name) for name in ("code", "message", "request_id"))
        return (
            self.clean(code) if isinstance(code, str) else "",
            self.clean(message) if isinstance(message, str) else "",
            self.clean(theirs) if isinstance(theirs, str) and theirs else request_id,
        )

    def clean(self, text: str) -> str:
        """Return Neon's words without the key, without URIs that hold a password, in one short line."""
        text = text.replace(self._key.reveal(), "***")
        text = re.sub(r"\b[a-z][a-z0-9+.-]*://\S*@\S*", "***", text, flags=re.IGNORECASE)
        text = "".join(character if character.isprintable() else " " for character in text)
        return text[:_LONGEST_MESSAGE]


def _wait_of(state: tenacity.RetryCallState) -> float:
    raised = state.outcome.exception() if state.outcome else None
    return raised.wait if isinstance(raised, _Unfinished) else 0.0


_MISHAPS: tuple[tuple[type[requests.exceptions.RequestException], Mishap], ...] = (
    (requests.exceptions.SSLError, Mishap.UNTRUSTED),
    (requests.exceptions.ConnectTimeout, Mishap.UNREACHABLE),
    (requests.exceptions.ProxyError, Mishap.UNREACHABLE),
    (requests.exceptions.Timeout, Mishap.TIMED_OUT),
    (requests.exceptions.ContentDecodingError, Mishap.UNREADABLE),
)


def _mishap_of(error: requests.exceptions.RequestException) -> Mishap:
    """Tell a connection that was never made (nothing was sent) from one that was lost."""
    for kind, mishap in _MISHAPS:
        if isinstance(error, kind):
            return mishap
    cause = error.args[0] if error.args else None
    if isinstance(getattr(cause, "reason", None), NewConnectionError):
        return Mishap.UNREACHABLE
    return Mishap.DROPPED
