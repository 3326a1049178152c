"""Whatever breaks in the middle, and however many call at once: one branch, one password, no half answer."""

from __future__ import annotations

import os
import signal
import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from supaneon_sync.errors import NeonError, QuotaError, Refused
from supaneon_sync.operations.failover_password import OwnPassword
from supaneon_sync.policy import marks, names
from supaneon_sync.policy.failover import Step
from supaneon_sync.policy.marks import Mark
from supaneon_sync.postgres.session import Session
from supaneon_sync.report.outcome import Outcome
from supaneon_sync.sandbox.testing import Sandbox
from tests.operations.failing_over import (
    Killed,
    ask,
    backup_of,
    call,
    failovers,
    kill,
    resets,
    uri,
    with_backup,
)
from tests.tool import Watching, at, command, perform

CREATE = {"method": "POST", "path": "/branches$"}
RESET = {"method": "POST", "path": "/reset_password$"}
CHANGE = {"method": "PATCH", "path": "/branches/"}
URI = {"method": "GET", "path": "/connection_uri$"}


def check_one(sandbox: Sandbox, *outcomes: Outcome) -> None:
    """Demand one failover branch, one new password ever, and URIs that all lead there."""
    (name,) = failovers(sandbox)
    assert names.failover_moment(name) is not None
    assert resets(sandbox) == 1
    for outcome in outcomes:
        assert outcome.outputs["branch-name"] == name
        assert dict(outcome.secrets) == dict(outcomes[0].secrets)
        assert ask(sandbox, uri(outcome), "SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    "faults",
    [
        [{"kind": "423", **CREATE}, {"kind": "429", "retry_after": 0, **RESET}, {"kind": "503", **CHANGE}],
        [{"kind": "524", **CREATE}, {"kind": "drop-after-commit", **CHANGE}, {"kind": "503", **URI}],
        [{"kind": "drop-after-commit", **CREATE}, {"kind": "423", "times": 3, **RESET}],
        [{"kind": "404-after-create", **CREATE}, {"kind": "drop-before", **CHANGE}],
        [{"kind": "slow", "seconds": 1, **one} for one in (CREATE, RESET, CHANGE, URI)],
    ],
    ids=["busy", "outage", "lost answers", "not seen at once", "slow"],
)
def test_one_call_gets_through_a_bad_day_of_the_api(standby: Sandbox, faults: list[dict[str, Any]]) -> None:
    standby.inject(*faults)
    outcome = call(standby)
    assert standby.fired() >= len({str(fault) for fault in faults}) - 1
    check_one(standby, outcome)


@pytest.mark.parametrize(
    "step", [Step.READY, Step.PASSWORD, Step.CHECK, Step.NAME, Step.SERVE], ids=lambda step: step.name
)
def test_a_call_that_was_killed_before_a_step_is_gone_on_with(standby: Sandbox, step: Step) -> None:
    with pytest.raises(Killed):
        call(standby, progress=at(step.value, kill))
    check_one(standby, call(standby))


@pytest.mark.parametrize(
    ("fault", "left"),
    [
        ({"kind": "operation-failed", **CREATE}, set()),
        ({"kind": "answer", "status": 500, "times": 1000, **CREATE}, set()),
        ({"kind": "answer", "status": 400, **RESET}, {names.STARTING_FAILOVER}),
        ({"kind": "operation-error", **RESET}, {names.STARTING_FAILOVER}),
        ({"kind": "answer", "status": 403, "times": 2, **URI}, {names.STARTING_FAILOVER}),
    ],
    ids=[
        "no branch came",
        "an endless outage",
        "no password came",
        "the password did not hold",
        "no URI came",
    ],
)
def test_a_call_that_neon_failed_is_gone_on_with(
    standby: Sandbox, fault: dict[str, Any], left: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from supaneon_sync.neon_client.retries import Patience

    monkeypatch.setattr(Patience.__init__, "__defaults__", (5.0, 5.0, 1.0, 2.0, 20.0, 0.05, 0.2, 0.05, 0.2))
    standby.inject(fault)
    with pytest.raises(NeonError):
        call(standby)
    assert failovers(standby) == left
    standby.plane.faults.rules.clear()
    outcome = call(standby)
    (name,) = failovers(standby)
    assert outcome.outputs["branch-name"] == name
    assert ask(standby, uri(outcome), "SELECT 1") == [(1,)]


def test_a_branch_that_never_came_to_be_is_replaced(standby: Sandbox) -> None:
    """A killed call left a branch whose making failed afterwards: it is in nobody's way."""
    standby.inject({"kind": "operation-failed", **CREATE}, {"kind": "423", "times": 1000, "method": "DELETE"})

    def stop() -> None:
        raise Killed

    progress = Watching()
    thread_stop = at(Step.READY.value, stop)
    with pytest.raises((Killed, NeonError)):
        perform(standby, "failover", yes=True, operation_timeout="1s", progress=thread_stop)
    assert failovers(standby) == {names.STARTING_FAILOVER}
    standby.plane.faults.rules.clear()
    check_one(standby, call(standby, progress=progress))


def test_a_process_that_is_killed_while_the_password_changes_is_gone_on_with(standby: Sandbox) -> None:
    standby.inject({"kind": "slow", "seconds": 2, **RESET})
    process = command(standby, "failover", "--yes")
    deadline = time.monotonic() + 60
    while not standby.fired() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    outcome = call(standby)
    (name,) = failovers(standby)
    assert outcome.outputs["branch-name"] == name
    assert dict(call(standby).secrets) == dict(outcome.secrets)
    assert ask(standby, uri(outcome), "SELECT 1") == [(1,)]


# --- two at once


@pytest.mark.parametrize("step", [Step.CREATE, Step.READY, Step.PASSWORD, Step.NAME], ids=lambda s: s.name)
def test_a_second_person_who_is_quicker_is_followed(standby: Sandbox, step: Step) -> None:
    quicker: list[Outcome] = []
    slower = call(standby, progress=at(step.value, lambda: quicker.append(call(standby))))
    check_one(standby, slower, *quicker)


def test_a_second_person_in_the_middle_of_a_first_one_finds_one_branch(standby: Sandbox) -> None:
    """The second call begins while the first is at its branch, and ends after it."""
    ready, go = threading.Event(), threading.Event()
    second: list[Outcome] = []

    def hold() -> None:
        ready.set()
        go.wait(60)

    def run() -> None:
        second.append(call(standby, progress=at(Step.PASSWORD.value, hold)))

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(60)
    first = call(standby)
    go.set()
    thread.join()
    check_one(standby, first, *second)


def test_a_password_that_was_set_while_one_waited_for_the_turn_is_not_set_again(
    standby: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, others = OwnPassword._turn, []

    def turn(self: OwnPassword) -> Session | None:
        monkeypatch.setattr(OwnPassword, "_turn", waiting)
        session = waiting(self)
        assert session is not None
        session.close()  # the lock goes to whoever comes now
        others.append(call(standby))
        return session

    monkeypatch.setattr(OwnPassword, "_turn", turn)
    check_one(standby, call(standby), *others)


def test_many_who_call_at_the_same_moment_get_one_branch(standby: Sandbox) -> None:
    outcomes: list[Outcome] = []
    barrier = threading.Barrier(3)

    def run() -> None:
        barrier.wait()
        outcomes.append(call(standby))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 3
    check_one(standby, *outcomes)


def test_another_backup_than_the_one_in_force_is_refused(standby: Sandbox) -> None:
    branch = call(standby).outputs["branch-name"]
    (other,) = standby.seed(
        {
            "name": "backup-20200101T000000Z",
            "parent_id": standby.branch(names.MIRROR).id,
            "annotation": Mark(marks.BACKUP, "0", "digest", datetime(2020, 1, 1, tzinfo=UTC)).pairs(),
        }
    )
    try:
        with pytest.raises(Refused, match=f"in force already \\({branch}\\)"):
            call(standby, backup=other.name)
    finally:
        del standby.plane.state.branches[other.id]


def test_a_stranger_under_the_name_is_left_alone(standby: Sandbox) -> None:
    (stranger,) = standby.seed({"name": names.STARTING_FAILOVER})
    try:
        with pytest.raises(Refused, match="this tool did not make it"):
            call(standby)
        assert failovers(standby) == {names.STARTING_FAILOVER}
    finally:
        del standby.plane.state.branches[stranger.id]


# --- limits of the plan, and which backup


def test_a_size_that_the_plan_refuses_is_left_to_the_project(standby: Sandbox) -> None:
    refusal = {"kind": "answer", "status": 422, "message": "autoscaling limit is too high for your plan"}
    standby.inject(refusal | CREATE)
    outcome = call(standby)
    assert any("refused a compute of 1 to 4 CU (autoscaling limit" in note for note in outcome.notes)
    check_one(standby, outcome)


def test_the_compute_has_the_size_that_was_asked_for(standby: Sandbox) -> None:
    outcome = call(standby, min_cu="2", max_cu="8")
    endpoint = standby.plane.state.endpoint_of(outcome_id := outcome.outputs["branch-id"])
    assert endpoint is not None
    assert endpoint.branch_id == outcome_id
    assert (endpoint.min_cu, endpoint.max_cu) == (2, 8)
    assert "2 to 8 CU, falls asleep" in dict(outcome.facts)["Compute"]


def test_on_a_plan_without_protection_the_failover_serves_unprotected() -> None:
    with with_backup(plan="free") as sandbox:
        outcome = call(sandbox)
        assert any("is not protected (protected branches limit exceeded)" in note for note in outcome.notes)
        assert dict(outcome.facts)["Protected"] == "no"
        call(sandbox, end=True)
        sandbox.seed(*({"name": f"feature-{number}"} for number in range(10 - len(sandbox.names()))))
        with pytest.raises(QuotaError, match="No failover branch could be made") as failure:
            call(sandbox)
        assert f"supaneon-sync resolve --backup {backup_of(sandbox)}" in failure.value.remedy
        before = sandbox.names()
        with pytest.raises(QuotaError):
            call(sandbox, rehearse=True)
        assert sandbox.names() == before


def fail_its_drill(sandbox: Sandbox) -> str:
    """Leave a failed drill's branch as evidence; return its id."""
    moment = backup_of(sandbox).removeprefix("backup-")
    (drill,) = sandbox.seed(
        {
            "name": f"debug-restore-{moment}-20260131T120000Z",
            "parent_id": sandbox.branch(backup_of(sandbox)).id,
            "annotation": Mark(marks.DRILL, "0").pairs(),
        }
    )
    return drill.id


def test_without_a_healthy_backup_the_best_is_offered_and_taken_when_named(standby: Sandbox) -> None:
    drill = fail_its_drill(standby)
    try:
        with pytest.raises(Refused, match="None of the 1 backups is healthy") as refusal:
            call(standby)
        assert f"--backup {backup_of(standby)}" in refusal.value.remedy
        assert not failovers(standby)
        outcome = call(standby, backup=backup_of(standby))
        assert outcome.verdict == "degraded"
        assert any("although its last drill failed" in note for note in outcome.notes)
    finally:
        del standby.plane.state.branches[drill]


def test_the_ledger_tells_of_drills_that_left_no_branch(standby: Sandbox) -> None:
    row = "INSERT INTO supaneon.ledger (at, kind, subject, verdict) VALUES (now(), 'drill', '{}', '{}')"
    standby.execute(names.MIRROR, row.format(backup_of(standby), "fail-data"), "supaneon")
    try:
        with pytest.raises(Refused, match=r"is healthy\. The best there is: .* its last drill on"):
            call(standby)
    finally:
        standby.execute(names.MIRROR, row.format(backup_of(standby), "pass"), "supaneon")
    assert call(standby).verdict == "ok"


@pytest.mark.parametrize("ours", [False, True], ids=["not there", "not ours"])
def test_a_backup_that_is_not_there_or_not_ours_is_refused(standby: Sandbox, ours: bool) -> None:
    made = standby.seed({"name": "backup-20200101T000000Z"}) if ours else []
    try:
        with pytest.raises(
            Refused, match="was not made by this tool" if ours else "There is no backup"
        ) as refusal:
            call(standby, backup="backup-20200101T000000Z")
        assert backup_of(standby) in refusal.value.remedy
        assert not failovers(standby)
    finally:
        for branch in made:
            del standby.plane.state.branches[branch.id]
