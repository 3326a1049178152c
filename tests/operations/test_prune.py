"""Prune against the sandbox: what the policy drops goes, and nothing else, whatever happens meanwhile."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from supaneon_sync.errors import Cancelled, ConfigError, Locked, Refused
from supaneon_sync.neon_client import BranchRequest
from supaneon_sync.operations import prune as pruning
from supaneon_sync.operations.mirroring import held
from supaneon_sync.operations.standby import opened
from supaneon_sync.policy import marks, names
from supaneon_sync.policy.marks import Mark
from supaneon_sync.policy.retention import DEFAULT, Backup, plan
from supaneon_sync.report import ledger
from supaneon_sync.report.outcome import Outcome
from supaneon_sync.run import Run, Stop
from supaneon_sync.sandbox.testing import Sandbox
from supaneon_sync.settings import Settings, load
from tests.operations.test_backup import backups
from tests.tool import Watching

MakeSandbox = Callable[..., Sandbox]
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
DIGEST = "d" * 64


@pytest.fixture(scope="module")
def world() -> Iterator[Sandbox]:
    """A sandbox with a mirror and its ledger, and one backup that is newer than any that a test adds."""
    with Sandbox() as sandbox:
        furnish(sandbox)
        yield sandbox


@pytest.fixture
def sandbox(world: Sandbox) -> Iterator[Sandbox]:
    """The world, without whatever a test before has left in it."""
    state = world.plane.state
    there = {one.id for one in state.branches.values()}
    yield world
    world.plane.faults.clear()
    world.settle()
    for branch in list(state.branches.values()):
        if branch.id not in there:
            state.branches.pop(branch.id)
    world.execute(names.MIRROR, "DELETE FROM supaneon.ledger WHERE kind <> 'backup'", "supaneon")


def furnish(sandbox: Sandbox) -> str:
    """Make the mirror with its ledger, as a first backup does, and record a backup of this hour."""
    settings, run = asked(sandbox)
    with opened(settings, run) as standby, held(standby):
        pass
    return record(sandbox, NOW)[0]


def mark(moment: datetime, kind: str = marks.BACKUP) -> dict[str, str]:
    return Mark(kind, "1.0", DIGEST, moment).pairs()


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def record(sandbox: Sandbox, *moments: datetime, **fields: Any) -> list[str]:
    """Seed backups as this tool would have made them; return their names."""
    mirror = sandbox.branch(names.MIRROR)
    wanted = [
        {
            "name": names.backup(moment),
            "parent_id": mirror.id,
            "created_at": stamp(moment),
            "annotation": mark(moment),
            "logical_size": 1_000_000,
        }
        | fields
        for moment in moments
    ]
    return [branch.name for branch in sandbox.seed(*wanted)]


def drill(sandbox: Sandbox, moment: datetime, at: datetime, **fields: Any) -> str:
    parent = sandbox.branch(names.backup(moment))
    row = {
        "name": names.drill(moment, at),
        "parent_id": parent.id,
        "created_at": stamp(at),
        "annotation": mark(moment, marks.DRILL),
    }
    return sandbox.seed(row | fields)[0].name


def note(sandbox: Sandbox, kind: str, subject: str, verdict: str, at: datetime = NOW) -> None:
    """Write a row into the ledger on the mirror."""
    values = f"'{at.isoformat()}', '{kind}', '{subject}', '{verdict}'"
    sandbox.execute(
        names.MIRROR,
        f"INSERT INTO supaneon.ledger (at, kind, subject, verdict) VALUES ({values})",
        "supaneon",
    )


def nights(count: int, first: int = 1) -> list[datetime]:
    return [NOW - number * DAY for number in range(first, first + count)]


def asked(
    sandbox: Sandbox,
    verb: str = "prune",
    *,
    progress: Watching | None = None,
    stop: Stop | None = None,
    attended: bool = True,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    **flags: object,
) -> tuple[Settings, Run]:
    """What the doors would hand to the verb."""
    given = {name.replace("_", "-"): value for name, value in flags.items()}
    loaded = load([verb], flags=given, environment=sandbox.environment, file={})
    run = Run(
        clock=clock,
        monotonic=time.monotonic,
        token=secrets.token_bytes,
        progress=progress or Watching(),
        stop=stop or Stop(),
        attended=attended,
    )
    return loaded.settings, run


def prune(sandbox: Sandbox, **options: Any) -> Outcome:
    return pruning.prune(*asked(sandbox, **options))


def plan_of(outcome: Outcome) -> dict[str, dict[str, Any]]:
    return {row["branch"]: row for row in json.loads(outcome.outputs["plan"])}


def why(outcome: Outcome, name: str) -> str:
    return "; ".join(plan_of(outcome)[name]["reasons"])


# Plan and do -----------------------------------------------------------------------------------


def test_two_hundred_branches_are_pruned_to_the_policy_and_nothing_else_is_touched(sandbox: Sandbox) -> None:
    before = sandbox.names()
    old = record(sandbox, *nights(200))
    foreign = {one.name for one in sandbox.seed(*({"name": f"preview/pr-{n}"} for n in range(30)))}
    outcome = prune(sandbox, yes=True, keep_within="165d", keep_monthly=8, max_deletes=500)
    assert outcome.verdict == "ok"
    plan = plan_of(outcome)
    kept = {name for name in old if plan[name]["decision"] == "keep"}
    assert sandbox.names() == before | foreign | kept
    assert 165 <= len(kept) <= 167
    assert int(outcome.outputs["removed"]) == 200 - len(kept)
    assert int(outcome.outputs["kept"]) == int(outcome.outputs["backups"]) == len(backups(sandbox))
    assert all(row["reasons"] for row in plan.values())
    assert {name for name, row in plan.items() if row["decision"] == "untouched"} >= foreign | {names.MIRROR}
    rows = sandbox.execute(
        names.MIRROR,
        "SELECT count(*) FROM supaneon.ledger WHERE kind = 'prune' AND verdict = 'removed'",
        "supaneon",
    )
    assert rows == [(200 - len(kept),)]
    again = prune(sandbox, yes=True, keep_within="165d", keep_monthly=8)
    assert again.outputs["removed"] == "0"
    assert again.verdict == "ok"


def test_a_thousand_branches_over_many_pages_are_all_seen(sandbox: Sandbox) -> None:
    old = record(sandbox, *(NOW - number * HOUR for number in range(1, 1001)))
    outcome = prune(sandbox, keep_within="7d", keep_monthly=2)
    plan = plan_of(outcome)
    assert set(old) <= set(plan)
    assert sum(row["decision"] == "keep" for name, row in plan.items() if name in old) in (166, 167, 168, 169)
    assert set(old) <= sandbox.names()
    assert outcome.outputs["removed"] == "100"
    assert sum(row["decision"] == "wait" for row in plan.values()) > 700


def test_without_yes_the_plan_is_shown_and_nothing_is_changed(sandbox: Sandbox) -> None:
    old = record(sandbox, *nights(6))
    before = sandbox.names()
    outcome = prune(sandbox, keep_last=2, minimum=2)
    assert outcome.verdict == "planned"
    assert outcome.headline == "Would remove 5 of 7 backups, 2 would stay: nothing was changed."
    assert sandbox.names() == before
    assert plan_of(outcome)[old[-1]]["decision"] == "remove"
    assert not any(request["method"] == "DELETE" for request in sandbox.requests)


def test_a_dry_run_changes_nothing_even_with_yes(sandbox: Sandbox) -> None:
    record(sandbox, *nights(6))
    before = sandbox.names()
    assert prune(sandbox, yes=True, dry_run=True, keep_last=2).verdict == "planned"
    assert sandbox.names() == before


def test_a_step_of_a_workflow_without_a_rule_only_plans_and_says_what_to_set(sandbox: Sandbox) -> None:
    record(sandbox, *nights(8))
    before = sandbox.names()
    outcome = prune(sandbox, yes=True, attended=False)
    assert sandbox.names() == before
    assert outcome.verdict == "planned"
    assert any("keep-last: 3" in text for text in outcome.notes)
    assert prune(sandbox, yes=True, attended=False, keep_last=5).outputs["removed"] == "4"


def test_at_a_terminal_the_default_policy_is_carried_out(sandbox: Sandbox) -> None:
    record(sandbox, *nights(20))
    outcome = prune(sandbox, yes=True)
    assert outcome.verdict == "ok"
    assert 3 <= len(backups(sandbox)) <= 4


def test_a_policy_that_keeps_nothing_is_refused_by_name_before_anything_is_asked(sandbox: Sandbox) -> None:
    requests = len(sandbox.requests)
    with pytest.raises(ConfigError, match="keep-last"):
        prune(sandbox, yes=True, keep_last=0, keep_daily=0)
    assert len(sandbox.requests) == requests


def test_max_deletes_removes_the_oldest_first_and_the_next_run_goes_on(sandbox: Sandbox) -> None:
    old = record(sandbox, *nights(8))
    outcome = prune(sandbox, yes=True, keep_last=3, max_deletes=2)
    assert set(old) - sandbox.names() == set(old[-2:])
    assert "waits" in why(outcome, old[3])
    prune(sandbox, yes=True, keep_last=3, max_deletes=50)
    assert set(old) & sandbox.names() == set(old[:2])


# Guards ----------------------------------------------------------------------------------------


def test_names_that_almost_match_are_never_touched(sandbox: Sandbox) -> None:
    moment = NOW - 90 * DAY
    text = names.stamp(moment)
    mirror = sandbox.branch(names.MIRROR)
    near = [
        f"backup-{text}-old",
        f"my-backup-{text}",
        f"Backup-{text}",
        f"backup-{text.lower()}",
        f"backup-{text[:-1]}",
        f" backup-{text}",
        "backup-20260231T020000Z",
        f"backup_{text}",
        f"debug-restore-{text}",
        f"staging-{text}x",
        "backup-２０２６0131T020000Z",
    ]
    sandbox.seed(*({"name": name, "parent_id": mirror.id, "annotation": mark(moment)} for name in near))
    record(sandbox, *nights(6))
    outcome = prune(sandbox, yes=True, keep_last=1, minimum=1, keep_failed="0s")
    assert set(near) <= sandbox.names()
    assert {plan_of(outcome)[name]["decision"] for name in near} == {"untouched"}


def test_a_branch_with_a_backups_name_that_this_tool_did_not_make_stays_in_doubt(sandbox: Sandbox) -> None:
    old, other, wrong, expiring = nights(4, first=50)
    stranger = sandbox.seed({"name": names.backup(old)})[0].name
    elsewhere = sandbox.seed({"name": names.backup(other), "annotation": mark(other)})[0].name
    (renamed,) = record(sandbox, wrong, annotation=mark(wrong - HOUR))
    (leaving,) = record(sandbox, expiring, expires_at=stamp(NOW + DAY))
    record(sandbox, *nights(5))
    outcome = prune(sandbox, yes=True, keep_last=1, minimum=1)
    assert {stranger, elsewhere, renamed, leaving} <= sandbox.names()
    assert why(outcome, stranger) == "in doubt: not made by this tool"
    assert why(outcome, elsewhere) == "in doubt: not cut from this mirror"
    assert why(outcome, renamed) == "in doubt: its name is not that of its snapshot"
    assert why(outcome, leaving) == "in doubt: it has an expiry"


def test_protected_pinned_serving_parent_and_used_backups_stay_and_say_so(sandbox: Sandbox) -> None:
    moments = nights(6, first=30)
    (protected,) = record(sandbox, moments[0], protected=True)
    pinned, unpinned, serving, parent, called = record(sandbox, *moments[1:])
    note(sandbox, ledger.PIN, pinned, "pinned")
    note(sandbox, ledger.PIN, unpinned, "pinned")
    note(sandbox, ledger.UNPIN, unpinned, "unpinned")
    note(sandbox, ledger.FAILOVER, called, "ready")
    child, over = names.failover(moments[3], NOW), names.ended_failover(names.failover(moments[1], NOW))
    sandbox.seed({"name": child, "parent_id": sandbox.branch(serving).id})
    made = {"annotation": mark(moments[1], marks.FAILOVER)}
    sandbox.seed({"name": over, "parent_id": sandbox.branch(pinned).id} | made)
    sandbox.seed({"name": "somebody-elses-child", "parent_id": sandbox.branch(parent).id})
    outcome = prune(sandbox, yes=True, keep_last=1, minimum=1)
    assert {
        protected,
        pinned,
        serving,
        parent,
        called,
        child,
        over,
        "somebody-elses-child",
    } <= sandbox.names()
    assert unpinned not in sandbox.names()
    assert why(outcome, protected) == "protected on Neon"
    assert why(outcome, pinned) == "pinned; has child branches"
    assert why(outcome, serving) == "takes the application's traffic; has child branches"
    assert why(outcome, parent) == "has child branches"
    assert why(outcome, called) == "takes the application's traffic"


def test_a_backup_whose_compute_was_used_lately_stays(sandbox: Sandbox) -> None:
    """Somebody may have pointed an application at it: the runbook says how."""
    moment = NOW - 10 * DAY
    settings, run = asked(sandbox)
    with opened(settings, run) as standby:
        request = BranchRequest(
            names.backup(moment),
            sandbox.branch(names.MIRROR).id,
            annotations=mark(moment),
            with_endpoint=True,
        )
        used = standby.client.create_branch(standby.project.id, request).branch
    record(sandbox, *nights(2))
    sandbox.branch(used.name).created_at = stamp(moment)
    outcome = prune(sandbox, yes=True, keep_last=1, minimum=1)
    assert "its compute was in use in the last day" in why(outcome, used.name)
    endpoint = sandbox.plane.state.endpoint_of(used.id)
    assert endpoint is not None
    endpoint.last_active = stamp(NOW - 2 * DAY)
    prune(sandbox, yes=True, keep_last=1, minimum=1)
    assert used.name not in sandbox.names()


def test_a_kept_drill_goes_with_its_failed_backup_and_the_newest_failure_keeps_its_own(
    sandbox: Sandbox,
) -> None:
    young, old = NOW - 5 * DAY, NOW - 9 * DAY
    failed = record(sandbox, young, old)
    record(sandbox, *nights(2))
    drills = [drill(sandbox, moment, moment + HOUR) for moment in (young, old)]
    for name, moment in zip(failed, (young, old), strict=True):
        note(sandbox, ledger.DRILL, name, "fail-data", moment + HOUR)
    outcome = prune(sandbox, yes=True, keep_last=2, minimum=2)
    assert {failed[0], drills[0]} <= sandbox.names()
    assert not {failed[1], drills[1]} & sandbox.names()
    assert "newest evidence of a failed drill" in why(outcome, failed[0])
    assert why(outcome, drills[0]).startswith("kept for diagnosis")


def test_a_drill_that_may_be_running_stays_with_its_backup_and_an_expired_one_goes(sandbox: Sandbox) -> None:
    moments = nights(2, first=20)
    running, killed = record(sandbox, *moments)
    record(sandbox, *nights(2))
    soon, past = (NOW + 5 * HOUR, NOW - HOUR)
    at_work = drill(sandbox, moments[0], NOW, expires_at=stamp(soon))
    dead = drill(sandbox, moments[1], NOW - DAY, expires_at=stamp(past))
    outcome = prune(sandbox, yes=True, keep_last=2, minimum=2)
    assert {running, at_work} <= sandbox.names()
    assert not {killed, dead} & sandbox.names()
    assert "being drilled now" in why(outcome, running)


def test_half_made_backups_are_swept_once_no_run_can_be_at_them(sandbox: Sandbox) -> None:
    mirror = sandbox.branch(names.MIRROR)
    fresh, stale = NOW, NOW - 2 * DAY
    rows = [
        {
            "name": names.staging(moment),
            "parent_id": mirror.id,
            "annotation": mark(moment),
            "expires_at": stamp(moment + 6 * HOUR),
        }
        for moment in (fresh, stale)
    ]
    sandbox.seed(*rows, {"name": names.staging(NOW - 5 * DAY)})
    prune(sandbox, yes=True, keep_last=1)
    left = {name for name in sandbox.names() if name.startswith("staging-")}
    assert left == {names.staging(fresh), names.staging(NOW - 5 * DAY)}


def test_after_a_failed_drill_nothing_that_passed_goes_until_one_passes_again(sandbox: Sandbox) -> None:
    old = record(sandbox, *nights(6))
    for name in old[1:]:
        note(sandbox, ledger.DRILL, name, "pass", NOW - 20 * DAY)
    note(sandbox, ledger.DRILL, old[0], "fail-data")
    outcome = prune(sandbox, yes=True, keep_last=1, minimum=1)
    assert set(old) <= sandbox.names()
    assert any(text.startswith("Frozen:") for text in outcome.notes)
    note(sandbox, ledger.DRILL, old[0], "pass")
    prune(sandbox, yes=True, keep_last=1, minimum=1)
    assert set(old) & sandbox.names() == {old[0]}


def test_a_stale_or_unreachable_drill_condemns_no_backup(sandbox: Sandbox) -> None:
    old = record(sandbox, *nights(3))
    note(sandbox, ledger.DRILL, old[0], "fail-stale")
    note(sandbox, ledger.DRILL, old[1], "fail-connectivity")
    outcome = prune(sandbox, yes=True, keep_last=3)
    assert plan_of(outcome)[old[0]]["drill"] == "passed"
    assert plan_of(outcome)[old[1]]["drill"] == "never"


# Bad days --------------------------------------------------------------------------------------


def test_an_unreachable_ledger_makes_prune_refuse(sandbox: Sandbox) -> None:
    old = record(sandbox, *nights(6))
    sandbox.inject(
        {"kind": "answer", "status": 404, "message": "no", "path": "/endpoints$|/connection_uri", "times": 50}
    )
    sandbox.inject({"kind": "answer", "status": 403, "message": "no", "path": "/endpoints$", "times": 50})
    with pytest.raises(Refused) as refusal:
        prune(sandbox, yes=True, keep_last=1)
    assert refusal.value.exit_code == 7
    assert "ledger" in refusal.value.message
    assert set(old) <= sandbox.names()


def test_a_ledger_whose_tables_are_gone_makes_prune_refuse(sandbox: Sandbox) -> None:
    old = record(sandbox, *nights(6))
    sandbox.execute(names.MIRROR, "ALTER TABLE supaneon.ledger RENAME TO elsewhere", "supaneon")
    try:
        with pytest.raises(Refused):
            prune(sandbox, yes=True, keep_last=1)
    finally:
        sandbox.execute(names.MIRROR, "ALTER TABLE supaneon.elsewhere RENAME TO ledger", "supaneon")
    assert set(old) <= sandbox.names()


def test_a_project_without_our_mirror_is_refused(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox()
    with pytest.raises(Refused, match="no supaneon-mirror"):
        prune(sandbox, yes=True, keep_last=1)
    sandbox.seed({"name": names.MIRROR})
    with pytest.raises(Refused, match="no supaneon-mirror"):
        prune(sandbox, yes=True, keep_last=1)


def test_a_busy_project_is_waited_for_and_a_rate_limit_obeyed(sandbox: Sandbox) -> None:
    old = record(sandbox, *nights(7))
    sandbox.inject(
        {"kind": "423", "method": "DELETE", "path": "/branches/", "times": 5},
        {"kind": "429", "method": "GET", "path": "/branches$", "times": 2, "retry_after": 1},
    )
    outcome = prune(sandbox, yes=True, keep_last=3)
    assert outcome.verdict == "ok"
    assert sandbox.fired() == 7
    assert set(old) & sandbox.names() == set(old[:2])


def test_a_project_that_stays_busy_ends_the_run_with_a_verdict_and_not_after_hours(sandbox: Sandbox) -> None:
    old = record(sandbox, *nights(12))
    sandbox.inject({"kind": "423", "method": "DELETE", "path": "/branches/", "times": 10_000})
    outcome = prune(sandbox, yes=True, keep_last=3, operation_timeout="1s")
    assert (outcome.exit_code, outcome.failure_kind, outcome.verdict) == (4, "neon", "incomplete")
    assert outcome.outputs["removed"] == "0"
    assert set(old) <= sandbox.names()
    results = [one["result"] for one in outcome.report["removals"]]  # type: ignore[attr-defined]
    assert results == ["failed"] * 3 + ["untried"] * 7


def test_removals_go_on_after_one_fails_and_the_verdict_says_so(sandbox: Sandbox) -> None:
    old = record(sandbox, *nights(8))
    stubborn = sandbox.branch(old[5])
    sandbox.inject(
        {
            "kind": "answer",
            "status": 422,
            "message": "cannot",
            "method": "DELETE",
            "path": stubborn.id,
            "times": 99,
        }
    )
    outcome = prune(sandbox, yes=True, keep_last=3)
    assert outcome.exit_code == 4
    assert set(old) & sandbox.names() == {*old[:2], old[5]}
    assert plan_of(outcome)[old[5]]["decision"] == "failed"
    assert "1 that should have gone is still there" in outcome.headline


def test_a_lost_answer_to_a_removal_is_no_failure(sandbox: Sandbox) -> None:
    old = record(sandbox, *nights(6))
    sandbox.inject({"kind": "drop-after-commit", "method": "DELETE", "path": "/branches/", "times": 2})
    outcome = prune(sandbox, yes=True, keep_last=3)
    assert outcome.verdict == "ok"
    assert [plan_of(outcome)[name]["decision"] for name in old[:1:-1]] == ["gone", *["removed"] * 3]
    assert set(old) & sandbox.names() == set(old[:2])


class Meddling(Watching):
    """Progress that does something after a number of removals."""

    def __init__(self, after: int, action: Callable[[], None]) -> None:
        super().__init__()
        self.after, self.action = after, action

    def advance(self, label: str, done: int, total: int, volume: int = 0) -> None:
        if done == self.after:
            self.action()


def test_what_somebody_else_removes_meanwhile_is_fine_and_is_told(sandbox: Sandbox) -> None:
    old = record(sandbox, *nights(10))

    def remove() -> None:
        sandbox.plane.state.branches.pop(sandbox.branch(old[6]).id)

    outcome = prune(sandbox, yes=True, keep_last=3, progress=Meddling(2, remove))
    assert outcome.verdict == "ok"
    results = {one["name"]: one["result"] for one in outcome.report["removals"]}  # type: ignore[attr-defined]
    assert results[old[6]] == "gone"
    assert set(old) & sandbox.names() == set(old[:2])


def test_a_kept_backup_that_somebody_removes_meanwhile_keeps_another_one_from_going(sandbox: Sandbox) -> None:
    """The floor holds for what really stands, not for what stood when the plan was made."""
    old = record(sandbox, *nights(6))

    def remove() -> None:
        sandbox.plane.state.branches.pop(sandbox.branch(old[0]).id)

    prune(sandbox, yes=True, keep_last=1, minimum=3, progress=Meddling(1, remove))
    assert set(old) & sandbox.names() == {old[1], old[2]}
    assert len(backups(sandbox)) == 3


def test_a_pin_and_a_failed_drill_written_meanwhile_are_heeded(sandbox: Sandbox) -> None:
    old = record(sandbox, *nights(8))
    for name in old[3:6]:
        note(sandbox, ledger.DRILL, name, "pass", NOW - 20 * DAY)

    def write() -> None:
        note(sandbox, ledger.PIN, old[6], "pinned")
        note(sandbox, ledger.DRILL, old[0], "fail-data")

    outcome = prune(sandbox, yes=True, keep_last=1, minimum=1, progress=Meddling(1, write))
    assert set(old[3:7]) <= sandbox.names()
    assert old[7] not in sandbox.names()
    assert plan_of(outcome)[old[6]]["decision"] == "stays"
    assert why(outcome, old[6]) == "pinned"


def test_a_backup_that_gets_a_child_or_protection_meanwhile_stays(sandbox: Sandbox) -> None:
    old = record(sandbox, *nights(8))

    def change() -> None:
        sandbox.seed({"name": names.failover(NOW, NOW), "parent_id": sandbox.branch(old[6]).id})
        sandbox.branch(old[5]).protected = True

    prune(sandbox, yes=True, keep_last=1, minimum=1, progress=Meddling(1, change))
    assert {old[5], old[6]} <= sandbox.names()


def test_two_prunes_at_once_exclude_each_other_and_leave_the_policys_result(sandbox: Sandbox) -> None:
    old = record(sandbox, *nights(10))
    refused: list[Exception] = []

    def second() -> None:
        try:
            prune(sandbox, yes=True, keep_last=3)
        except Locked as error:
            refused.append(error)

    prune(sandbox, yes=True, keep_last=3, progress=Meddling(2, second))
    assert len(refused) == 1
    assert set(old) & sandbox.names() == set(old[:2])


def test_a_backup_that_begins_meanwhile_gets_the_mirror_and_prune_leaves_the_rest(sandbox: Sandbox) -> None:
    """Whoever takes the mirror's lock ends our other sessions there; what is left goes next time."""
    old = record(sandbox, *nights(8))

    def backup() -> None:
        settings, run = asked(sandbox)
        with opened(settings, run) as standby, held(standby):
            pass

    outcome = prune(sandbox, yes=True, keep_last=3, progress=Meddling(2, backup))
    assert (outcome.exit_code, outcome.verdict) == (4, "incomplete")
    assert set(old[:6]) == set(old) & sandbox.names()
    assert plan_of(outcome)[old[5]]["decision"] == "untried"
    assert "ledger" in why(outcome, old[5])
    assert prune(sandbox, yes=True, keep_last=3).verdict == "ok"
    assert set(old) & sandbox.names() == set(old[:2])


def test_a_cancelled_prune_stops_between_two_removals(sandbox: Sandbox) -> None:
    old = record(sandbox, *nights(10))
    stop = Stop()
    with pytest.raises(Cancelled):
        prune(sandbox, yes=True, keep_last=3, stop=stop, progress=Meddling(2, stop.set))
    assert len(set(old) - sandbox.names()) == 2


def test_a_clock_that_is_a_year_behind_removes_nothing(sandbox: Sandbox) -> None:
    old = record(sandbox, *nights(6))
    outcome = prune(sandbox, yes=True, keep_last=1, minimum=1, clock=lambda: NOW - 365 * DAY)
    assert set(old) <= sandbox.names()
    assert "dated in the future" in why(outcome, old[0])


# The free plan ---------------------------------------------------------------------------------


def due(count: int) -> list[str]:
    """What the default policy drops of the backups of so many nights, oldest first."""
    known = [Backup(names.backup(moment), moment) for moment in nights(count, first=0)]
    return [one.name for one in plan(known, DEFAULT, datetime.now(UTC)).remove]


def test_a_full_free_project_makes_room_and_never_crosses_the_floor(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(plan="free")
    furnish(sandbox)
    record(sandbox, *nights(7))
    assert len(sandbox.names()) == 10
    settings, run = asked(sandbox)
    with opened(settings, run) as standby:
        assert [one.name for one in pruning.make_room(standby)] == due(8)[:1]
        assert len(sandbox.names()) == 9
        assert {one.result for one in pruning.make_room(standby, needed=20)} == {"removed"}
        assert len(backups(sandbox)) in (3, 4)
        assert pruning.make_room(standby, needed=20) == ()
    assert len(backups(sandbox)) in (3, 4)


def test_no_room_is_made_while_another_prune_is_at_work(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(plan="free")
    furnish(sandbox)
    record(sandbox, *nights(7))
    settings, run = asked(sandbox)
    with opened(settings, run) as standby:
        with pruning.pruning(standby, DEFAULT):
            assert pruning.make_room(standby) == ()
        assert [one.name for one in pruning.make_room(standby)] == due(8)[:1]


def later(moment: datetime) -> datetime:
    return moment + 3 * HOUR


@pytest.mark.slow
def test_a_month_of_failing_drills_on_the_free_plan_never_stops_the_backups(
    make_sandbox: MakeSandbox,
) -> None:
    sandbox = make_sandbox(plan="free")
    sandbox.plane.state.branches.pop(sandbox.branch(furnish(sandbox)).id)
    proven = record(sandbox, *nights(4, first=31))
    for name in proven:
        note(sandbox, ledger.DRILL, name, "pass")
    for number in range(30, 0, -1):
        moment = NOW - number * DAY
        assert len(sandbox.names()) <= 9, "no branch left for the backup"
        (name,) = record(sandbox, moment)
        assert len(sandbox.names()) <= 9, "no branch left for the drill"
        drill(sandbox, moment, moment + HOUR)
        note(sandbox, ledger.DRILL, name, "fail-data", moment + HOUR)
        outcome = prune(sandbox, yes=True, clock=partial(later, moment))
        assert outcome.verdict == "ok"
    assert set(proven) <= sandbox.names()
    assert name in sandbox.names()
