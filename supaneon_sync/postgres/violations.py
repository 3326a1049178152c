"""What the primary's own rows contradict: named, and made as far as it can be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from supaneon_sync.errors import NeonError, SupaneonError
from supaneon_sync.policy.entries import Entry
from supaneon_sync.postgres.failures import refused
from supaneon_sync.postgres.session import Session, Statement

UNIQUE, EXCLUSION, CHECK, FOREIGN_KEY = "23505", "23P01", "23514", "23503"
VIOLATIONS = (UNIQUE, EXCLUSION, CHECK, FOREIGN_KEY)
"""SQLSTATEs of a constraint that rows do not meet."""


@dataclass(frozen=True)
class Violation:
    """An object that the primary's own rows contradict, and what became of it on the copy."""

    entry: Entry
    outcome: str


@contextmanager
def naming(entry: Entry, what: str = "made on") -> Iterator[None]:
    """Put the entry's kind and name, and what could not be done, before the server's refusal."""
    try:
        yield
    except SupaneonError as error:
        named = f"{entry.kind.lower()} {entry.name} could not be {what} the copy: {error.message}"
        raise type(error)(named, remedy=error.remedy).with_evidence(error.evidence) from None


def all_taken(session: Session, statements: Statement) -> bool:
    """Run statements in one round trip, all or none; say whether the server took them.

    Raises NeonError where the session is gone.
    """
    try:
        session.execute(statements)
    except NeonError as error:
        if not refused(error):
            raise
        return False
    return True
