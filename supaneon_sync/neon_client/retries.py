"""What may be tried again, as a table by status and method, and for how long.

Sources of the rows: the OpenAPI document's notes on 423, 429, 503 and 524, Neon's own tests of its
production API, and answers of the live service. A request that was not processed may be sent again
whatever its method. A request whose fate is unknown is sent again only if that is harmless (reads,
and writes that say so); any other write is handed back to be looked up.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum


class Then(Enum):
    """What to do about an answer."""

    AGAIN = "it was not processed: send it again"
    UNSURE = "its fate is unknown: repeat it if harmless, look it up if not"
    NEVER = "sending it again would not help"


class Budget(Enum):
    """Which of the allowances of ``Patience`` an answer draws on."""

    CONFLICT = "conflict"
    RATE = "rate"
    OUTAGE = "outage"
    SETTLING = "settling"


class Mishap(Enum):
    """What can happen to a request in place of an answer with a status."""

    UNREACHABLE = "no connection could be made"
    UNTRUSTED = "the server's certificate was not accepted"
    TIMED_OUT = "no answer came in time"
    DROPPED = "the connection was lost before the answer was complete"
    UNREADABLE = "the answer was not the JSON that it should be"


@dataclass(frozen=True)
class Patience:
    """How long to go on, in seconds, by kind of trouble; each counts from the first time it is seen.

    ``conflict`` is generous: other people's operations on the project (a compute falling asleep, an
    availability check, another pipeline) answer 423 too. ``first_wait`` doubles up to
    ``longest_wait``; what is waited is a random part of it (full jitter).
    """

    conflict: float = 300.0
    rate: float = 180.0
    outage: float = 120.0
    settling: float = 20.0
    operations: float = 600.0
    first_wait: float = 0.25
    longest_wait: float = 10.0
    first_poll: float = 0.1
    longest_poll: float = 2.0

    def of(self, budget: Budget) -> float:
        """Return the allowance in seconds."""
        return {
            Budget.CONFLICT: self.conflict,
            Budget.RATE: self.rate,
            Budget.OUTAGE: self.outage,
            Budget.SETTLING: self.settling,
        }[budget]


@dataclass(frozen=True)
class Rule:
    """One row: which answers it is about, and what to do about them."""

    about: range | Mishap
    then: Then
    budget: Budget = Budget.OUTAGE
    code: str = ""
    message: str = ""
    only_just_created: bool = False

    def covers(self, outcome: int | Mishap, code: str, message: str, just_created: bool) -> bool:
        """Whether this row is about the answer (``just_created``: the id in its path is new)."""
        if isinstance(self.about, Mishap) or isinstance(outcome, Mishap):
            return self.about is outcome
        return (
            outcome in self.about
            and (not self.code or re.search(self.code, code) is not None)
            and (not self.message or re.search(self.message, message, re.IGNORECASE) is not None)
            and (just_created or not self.only_just_created)
        )


LIMIT_CODE = r"_EXCEEDED(_THRESHOLD)?$"
"""Every code of the control plane that tells of a limit or a quota ends like this."""

TABLE: tuple[Rule, ...] = (
    Rule(range(400, 500), Then.NEVER, code=LIMIT_CODE),
    Rule(range(423, 424), Then.AGAIN, Budget.CONFLICT),
    Rule(range(429, 430), Then.AGAIN, Budget.RATE),
    Rule(range(503, 504), Then.AGAIN),
    Rule(range(422, 423), Then.AGAIN, Budget.SETTLING, message=r"\bnot ready\b"),
    Rule(range(404, 405), Then.AGAIN, Budget.SETTLING, only_just_created=True),
    Rule(range(408, 409), Then.UNSURE),
    Rule(range(500, 600), Then.UNSURE),
    Rule(Mishap.UNREACHABLE, Then.AGAIN),
    Rule(Mishap.TIMED_OUT, Then.UNSURE),
    Rule(Mishap.DROPPED, Then.UNSURE),
    Rule(Mishap.UNREADABLE, Then.UNSURE),
)
"""Read from the top, the first row that covers an answer holds. No row: never again."""

NEVER = Rule(range(0), Then.NEVER)


def rule_for(outcome: int | Mishap, code: str, message: str, just_created: bool) -> Rule:
    """Return the row of the table that covers an answer."""
    for rule in TABLE:
        if rule.covers(outcome, code, message, just_created):
            return rule
    return NEVER


HARMLESS_METHODS = frozenset({"GET", "DELETE"})
"""May be sent twice: reads, and DELETE, which answers 204 for what is gone already."""


def retry_after(header: str | None, date_header: str | None) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, None where it says nothing usable.

    A date is measured against the answer's own ``Date``, so that this machine's clock plays no part.
    """
    if not header:
        return None
    text = header.strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        return float(text)
    then, now = _http_date(text), _http_date(date_header or "")
    if then is None or now is None:
        return None
    return max(0.0, (then - now).total_seconds())


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Pace:
    """The waits of one call: how long before the next try, or that its budget is spent."""

    def __init__(self, patience: Patience, clock: Callable[[], float], random: Callable[[], float]) -> None:
        self._patience = patience
        self._clock = clock
        self._random = random
        self._first_seen: dict[Budget, float] = {}
        self._tries = 0

    def next_wait(self, budget: Budget, asked_for: float | None = None) -> float | None:
        """Return the seconds to wait before another try, None when the budget is spent.

        ``asked_for`` is the server's own wish: never less than it is waited.
        """
        now = self._clock()
        left = self._patience.of(budget) - (now - self._first_seen.setdefault(budget, now))
        if left <= 0:
            return None
        ceiling = min(self._patience.longest_wait, self._patience.first_wait * 2.0 ** min(self._tries, 30))
        self._tries += 1
        wait = self._random() * ceiling
        if asked_for is not None:
            return None if asked_for > left else asked_for + wait
        return min(wait, left)
