"""What every group of calls shares: reading lists page by page, writes that may get lost, operations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from supaneon_sync.errors import NeonError, SupaneonError
from supaneon_sync.neon_client.address import path_of
from supaneon_sync.neon_client.fields import Fields, Malformed
from supaneon_sync.neon_client.model import Operation
from supaneon_sync.neon_client.refusals import AlreadyExists, AnswerLost, NotFound, OperationFailed
from supaneon_sync.neon_client.retries import Budget
from supaneon_sync.neon_client.transport import Answer, Call, Transport

T = TypeVar("T")

_MOST_PAGES = 2000
_MOST_EMPTY_PAGES = 3


class Calls:
    """A group of calls over one transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _ask(self, call: Call, read: Callable[[Fields], T]) -> T:
        """Send a call and read its answer. A success that cannot be read counts as a lost answer."""
        return self._read(self._transport.call(call), read)

    def _read(self, answer: Answer, read: Callable[[Fields], T]) -> T:
        try:
            return read(answer.fields)
        except Malformed as error:
            flaw = error
        raise answer.malformed(flaw)

    def _pages(
        self, path: str, action: str, query: Mapping[str, str], items: str, cursor: str = "cursor"
    ) -> Iterator[Fields]:
        """Yield each page of a list, following the cursor in its ``pagination``.

        The last page has no cursor, or repeats the one it was asked with and is empty. Raise NeonError
        for a list that goes round in circles, rather than give a part of it for the whole.
        """
        asked: dict[str, str] = {}
        seen: set[str] = set()
        empty = 0
        for _ in range(_MOST_PAGES):
            call = Call("GET", path, action, {**query, **asked})
            page, count, following = self._ask(
                call, lambda f: (f, len(f.each(items)), f.inner("pagination").maybe_text(cursor))
            )
            yield page
            if following is None or (count == 0 and following == asked.get("cursor")):
                return
            empty = empty + 1 if count == 0 else 0
            if following in seen or empty >= _MOST_EMPTY_PAGES:
                break
            seen.add(following)
            asked = {"cursor": following}
        raise NeonError(
            f"Neon's list does not end: {action}. A part of it is not taken for the whole.",
            remedy="Run again; report it to Neon's support if it stays so.",
        )

    def _settle(
        self,
        action: str,
        write: Callable[[], T],
        look: Callable[[], T | None],
        *,
        look_at_conflict: bool = False,
    ) -> T:
        """Do a write; where its answer is lost, look for its effect before doing it again.

        ``look`` returns the effect, or None where there is none yet. "Already exists" after a lost
        answer is looked up too, before that only with ``look_at_conflict``. An error that leaves it
        open whether the write happened has the ``action`` as ``unconfirmed`` in its evidence.
        """
        pace = self._transport.pace()
        lost = False
        while True:
            trouble: NeonError
            try:
                return write()
            except AnswerLost as error:
                lost, trouble, budget = True, error, Budget.OUTAGE
            except AlreadyExists as error:
                if not lost and not look_at_conflict:
                    raise
                trouble, budget = error, Budget.SETTLING
            except SupaneonError as error:
                _mark(error, action if lost else None)
                raise
            try:
                found = look()
            except SupaneonError as error:
                _mark(error, action if lost else None)
                raise
            if found is not None:
                return found
            wait = pace.next_wait(budget)
            if wait is None:
                _mark(trouble, action if lost else None)
                raise trouble
            self._transport.sleep(wait)

    def operations(self, project_id: str, *, at_most: int = 200) -> list[Operation]:
        """Return the project's latest operations, newest first. Raise NeonError if refused."""
        found: list[Operation] = []
        path = path_of("projects", project_id, "operations")
        for page in self._pages(path, "list operations", {"limit": "100"}, "operations"):
            batch = [Operation.read(item) for item in page.each("operations")]
            known = {operation.id for operation in found}
            fresh = [operation for operation in batch if operation.id not in known]
            found += fresh
            if not fresh or len(found) >= at_most:
                break
        return found[:at_most]

    def operation(self, project_id: str, operation_id: str) -> Operation:
        """Return one operation as it stands now. Raise NotFound where Neon has forgotten it."""
        path = path_of("projects", project_id, "operations", operation_id)
        found = self._ask(
            Call("GET", path, "read an operation"), lambda f: Operation.read(f.needed("operation"))
        )
        self._transport.seen(operation_id)
        return found

    def await_operations(
        self,
        project_id: str,
        operations: Iterable[Operation],
        budget: float | None = None,
        *,
        may_vanish: bool = False,
    ) -> tuple[Operation, ...]:
        """Wait until every operation has finished or was skipped; return them as they ended.

        ``budget``: seconds for all of them together, None = ``Patience.operations``. ``may_vanish``: an
        operation that Neon has forgotten counts as ended (after a deletion). Raise OperationFailed for
        one that failed or was cancelled, NeonError when the budget is spent.
        """
        patience, clock = self._transport.patience, self._transport.clock
        allowance = patience.operations if budget is None else budget
        deadline = clock() + allowance
        poll = patience.first_poll
        ended: list[Operation] = []
        for operation in operations:
            if not may_vanish:
                self._transport.created(operation.id)  # it may read 404 for a moment
            current: Operation | None = operation
            while current is not None and not current.succeeded:
                if current.failed:
                    raise self._failed(current)
                if clock() >= deadline:
                    raise _too_slow(current, allowance)
                self._transport.sleep(min(poll, max(0.0, deadline - clock())))
                poll = min(poll * 1.5, patience.longest_poll)
                current = self._look_at(project_id, operation.id, may_vanish)
            ended.append(current or operation)
        return tuple(ended)

    def _look_at(self, project_id: str, operation_id: str, may_vanish: bool) -> Operation | None:
        try:
            return self.operation(project_id, operation_id)
        except NotFound:
            if may_vanish:
                return None
            raise

    def _failed(self, operation: Operation) -> OperationFailed:
        ended = {"cancelled": "was cancelled", "error": "ended in an error"}.get(operation.status, "failed")
        reason = f" ({self._transport.clean(operation.error)})" if operation.error else ""
        return OperationFailed(
            f"Neon could not carry out {operation.action}: it {ended}{reason}.",
            remedy="See Operations in the Neon console, then run again.",
            operation_id=operation.id,
            action=operation.action,
            operation_status=operation.status,
            branch_id=operation.branch_id,
        )


def operations_in(fields: Fields) -> tuple[Operation, ...]:
    """Return the operations that an answer announces."""
    return tuple(Operation.read(item) for item in fields.each("operations"))


def _mark(error: SupaneonError, unconfirmed: str | None) -> None:
    if unconfirmed is not None:
        error.evidence["unconfirmed"] = unconfirmed


def _too_slow(operation: Operation, allowance: float) -> NeonError:
    return NeonError(
        f"Neon has not finished {operation.action} after {allowance:.0f} seconds: "
        f"it is still {operation.status}.",
        remedy="See Operations in the Neon console; run again when it has ended.",
        operation_id=operation.id,
        action=operation.action,
        operation_status=operation.status,
        branch_id=operation.branch_id,
    )
