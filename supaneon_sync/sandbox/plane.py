"""The control plane: state under one lock, operations that take their time, and what happens by itself."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from supaneon_sync.errors import SupaneonError
from supaneon_sync.sandbox.clock import Clock
from supaneon_sync.sandbox.cluster import Clusters
from supaneon_sync.sandbox.faults import Faults
from supaneon_sync.sandbox.limits import Plan
from supaneon_sync.sandbox.refusal import ApiError, busy
from supaneon_sync.sandbox.state import Operation, State

_log = logging.getLogger(__name__)
_ROUND_SECONDS = 0.25


def nothing() -> None:
    """Do nothing: the work of a step that only takes time."""


@dataclass(frozen=True)
class Step:
    """One operation: ``work`` is slow and holds no lock; ``settle`` changes the state once it is done."""

    action: str
    branch_id: str | None
    endpoint_id: str | None = None
    work: Callable[[], None] = nothing
    settle: Callable[[], None] = nothing


class Plane:
    """Everything the API's verbs work on."""

    def __init__(
        self, state: State, plan: Plan, clusters: Clusters, state_file: Path, *, operation_seconds: float
    ) -> None:
        self.state = state
        self.plan = plan
        self.clusters = clusters
        self.clock = Clock()
        self.faults = Faults()
        self.lock = threading.RLock()
        self.suspend_after: float | None = None
        self.looked_at: dict[str, float] = {}
        self.operation_seconds = operation_seconds
        self._file = state_file
        self._closing = threading.Event()
        self._crew = ThreadPoolExecutor(max_workers=4, thread_name_prefix="operation")
        self._rounds: list[Callable[[], None]] = []
        self._watch = threading.Thread(target=self._do_rounds, name="rounds", daemon=True)

    def begin(self, *rounds: Callable[[], None]) -> None:
        """Call ``rounds`` again and again in the background: expiry, autosuspend."""
        self._rounds = list(rounds)
        self._watch.start()

    def close(self, mode: str = "fast") -> None:
        """Finish the running operations, then stop every server, in PostgreSQL's way ``mode``."""
        self._closing.set()
        if self._watch.is_alive():
            self._watch.join()
        self._crew.shutdown(wait=True, cancel_futures=True)
        self.save()
        self.clusters.close(mode)

    def save(self) -> None:
        """Write the state to its file."""
        with self.lock:
            self.state.save(self._file)

    @contextmanager
    def writing(self) -> Iterator[State]:
        """Give the state to change. Raise ApiError (423) while operations are running."""
        with self.lock:
            if self.state.running():
                raise busy()
            yield self.state
            self.state.save(self._file)

    def schedule(self, *steps: Step) -> list[Operation]:
        """Record the steps as operations, start on the first, and return them. Call it while writing."""
        outcome = self.faults.take_outcome()
        now = self.clock.text()
        operations = [
            self.state.new_operation(step.action, now, step.branch_id, step.endpoint_id) for step in steps
        ]
        if operations:
            operations[0].status = "running"
            self._crew.submit(self._perform, list(zip(steps, operations, strict=True)), outcome)
        return operations

    def perform(self, *steps: Step) -> None:
        """Record and carry out the steps in this thread, for what happens by itself."""
        with self.lock:
            now = self.clock.text()
            pairs = [
                (step, self.state.new_operation(step.action, now, step.branch_id, step.endpoint_id))
                for step in steps
            ]
        self._perform(pairs, None)

    def _perform(self, pairs: list[tuple[Step, Operation]], outcome: str | None) -> None:
        for position, (step, operation) in enumerate(pairs):
            begun = time.monotonic()
            operation.status = "running"
            ending, problem = self._attempt(step, outcome if position == 0 else None)
            self._closing.wait(max(0.0, self.operation_seconds - (time.monotonic() - begun)))
            with self.lock:
                if problem is None:
                    step.settle()
                operation.total_duration_ms = int((time.monotonic() - begun) * 1000)
                operation.updated_at = self.clock.text()
                operation.error = problem
                operation.failures_count = int(problem is not None)
                if problem is not None:
                    for _, later in pairs[position + 1 :]:
                        later.status = "cancelled"
                operation.status = ending
                self.state.save(self._file)
            if problem is not None:
                return

    def _attempt(self, step: Step, outcome: str | None) -> tuple[str, str | None]:
        """Return how the operation ends and what went wrong, if anything did."""
        if outcome in {"failed", "error", "cancelled"}:
            return outcome, "this operation was made to fail"
        try:
            step.work()
        except (ApiError, SupaneonError, psycopg2.Error, OSError) as error:
            _log.exception("%s failed", step.action)
            return "failed", str(error)
        return outcome or "finished", None

    def _do_rounds(self) -> None:
        while not self._closing.wait(_ROUND_SECONDS):
            for one in self._rounds:
                try:
                    one()
                except (ApiError, SupaneonError, psycopg2.Error, OSError) as error:
                    _log.warning("a round failed, the next one will tell: %s", error)
