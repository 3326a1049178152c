"""What the retry table promises, each row over real HTTP."""

from __future__ import annotations

import json
import socket
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from supaneon_sync.errors import NeonError, QuotaError, SupaneonError
from supaneon_sync.neon_client import (
    AlreadyExists,
    AnswerLost,
    BranchRequest,
    EndpointRequest,
    NeonClient,
    NotFound,
    Patience,
)
from tests.neon_client.tiny_neon import KEY, PASSWORD, PROJECT, FakeTime, Fault, TinyNeon, client, error

HTML = Fault(524, "<html><body>A timeout occurred</body></html>", {"Content-Type": "text/html"})
BUSY = error(423, "project already has running conflicting operations, scheduling of new ones is prohibited")
DROPPED = Fault(drop=True)
DROPPED_AFTER = Fault(drop=True, processed=True)
LATE_HTML = Fault(524, HTML.body, HTML.headers, processed=True)


def post(fault: Fault) -> Fault:
    return Fault(
        fault.status,
        fault.body,
        fault.headers,
        "POST",
        "/branches$",
        fault.processed,
        fault.drop,
        fault.change,
    )


def test_a_burst_of_423_is_waited_out_with_jitter_whatever_the_method(
    api: NeonClient, neon: TinyNeon, time: FakeTime
) -> None:
    neon.faulty(*[post(BUSY)] * 12)
    assert api.create_branch(PROJECT, BranchRequest("b")).branch.name == "b"
    assert len(neon.sent("POST", "/branches$")) == 13
    assert len(neon.named("b")) == 1
    assert len(set(time.waits[:12])) == 12
    assert max(time.waits) <= 10


def test_a_423_that_does_not_end_is_given_up_after_minutes_and_says_who_is_in_the_way(
    api: NeonClient, neon: TinyNeon, time: FakeTime
) -> None:
    neon.faulty(*[BUSY] * 1000)
    began = time.now
    with pytest.raises(NeonError, match="Other operations are running") as caught:
        api.create_branch(PROJECT, BranchRequest("b"))
    assert 300 <= time.now - began < 301
    assert caught.value.evidence["status"] == 423
    assert not neon.named("b")


def test_retry_after_in_seconds_is_waited_at_least(api: NeonClient, neon: TinyNeon, time: FakeTime) -> None:
    neon.faulty(error(429, "slow down", headers={"Retry-After": "7"}))
    api.project(PROJECT)
    assert 7 <= time.waits[0] < 8


def test_retry_after_as_a_date_is_measured_by_the_servers_own_clock(
    api: NeonClient, neon: TinyNeon, time: FakeTime
) -> None:
    neon.faulty(error(503, headers={"Retry-After": "Sun, 22 Nov 2026 10:00:20 GMT"}))
    api.project(PROJECT)
    assert 20 <= time.waits[0] < 21


@pytest.mark.parametrize("header", ["soon", "-5", "Sun, 99 Nov 2026 10:00:20 GMT", "1e9", ""])
def test_a_retry_after_that_says_nothing_is_ignored(
    api: NeonClient, neon: TinyNeon, time: FakeTime, header: str
) -> None:
    neon.faulty(error(429, headers={"Retry-After": header}))
    api.project(PROJECT)
    assert time.waits[0] < 1


def test_a_retry_after_beyond_all_patience_fails_at_once(
    api: NeonClient, neon: TinyNeon, time: FakeTime
) -> None:
    neon.faulty(error(429, "slow down", headers={"Retry-After": "86400"}))
    with pytest.raises(NeonError, match="700 a minute"):
        api.project(PROJECT)
    assert not time.waits


@pytest.mark.parametrize(
    "fault",
    [
        error(503),
        error(500, "internal"),
        HTML,
        DROPPED,
        Fault(200, "<html>welcome to the hotel's network</html>"),
        Fault(200, "{half a"),
        Fault(200, "[1, 2]"),
        Fault(200, "9" * 5000),
        Fault(200, "[" * 100_000),
        Fault(200, {"project": {}}, {"Content-Length": "100000"}),
    ],
)
def test_a_read_is_repeated_after_an_outage(
    api: NeonClient, neon: TinyNeon, time: FakeTime, fault: Fault
) -> None:
    neon.faulty(fault, fault)
    if fault.headers.get("Content-Length"):
        neon.faults = [DROPPED]
    assert api.project(PROJECT).id == PROJECT
    assert len(time.waits) == len(neon.seen) - 1 >= 1


def test_an_outage_that_lasts_ends_as_an_error_that_may_be_repeated(
    api: NeonClient, neon: TinyNeon, time: FakeTime
) -> None:
    neon.faulty(*[HTML] * 1000)
    began = time.now
    with pytest.raises(AnswerLost, match="HTTP 524") as caught:
        api.project(PROJECT)
    assert 120 <= time.now - began < 121
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("lost", [DROPPED_AFTER, LATE_HTML, Fault(201, "<html>", processed=True)])
def test_a_write_whose_answer_was_lost_is_looked_up_before_it_is_tried_again(
    api: NeonClient, neon: TinyNeon, lost: Fault
) -> None:
    neon.faulty(post(lost))
    made = api.create_branch(PROJECT, BranchRequest("b", annotations={"digest": "abc"}, with_endpoint=True))
    assert len(neon.sent("POST", "/branches$")) == 1
    assert neon.named("b")[0]["id"] == made.branch.id
    assert made.endpoint is not None
    assert all(o["status"] == "finished" for o in neon.operations)


@pytest.mark.parametrize("lost", [DROPPED, HTML, error(500, "internal")])
def test_a_write_that_had_no_effect_is_tried_again_after_the_lookup(
    api: NeonClient, neon: TinyNeon, lost: Fault
) -> None:
    neon.faulty(post(lost), post(lost))
    made = api.create_branch(PROJECT, BranchRequest("b"))
    assert [b["id"] for b in neon.named("b")] == [made.branch.id]
    order = [seen.method for seen in neon.seen if seen.path.endswith("/branches")]
    assert order == ["POST", "GET", "POST", "GET", "POST"]


def test_a_create_answer_without_the_branch_is_looked_up_too(api: NeonClient, neon: TinyNeon) -> None:
    neon.faulty(Fault(method="POST", change=lambda _: {"operations": "none"}))
    assert api.create_branch(PROJECT, BranchRequest("b")).branch.name == "b"
    assert len(neon.named("b")) == 1


def test_a_503_after_all_processed_is_recognized_when_the_name_is_taken(
    api: NeonClient, neon: TinyNeon
) -> None:
    neon.faulty(post(Fault(503, {}, processed=True)))
    made = api.create_branch(PROJECT, BranchRequest("b"))
    assert [b["id"] for b in neon.named("b")] == [made.branch.id]


def test_a_strangers_branch_of_that_name_is_not_adopted_after_a_lost_answer(
    api: NeonClient, neon: TinyNeon
) -> None:
    stranger = neon.add_branch("b", parent_id=next(iter(neon.branches)))
    neon.faulty(post(DROPPED))
    with pytest.raises(AlreadyExists, match="not made by this call"):
        api.create_branch(PROJECT, BranchRequest("b"))
    assert neon.named("b") == [stranger]


@pytest.mark.parametrize("difference", ["annotations", "parent"])
def test_a_branch_found_that_is_not_as_asked_is_not_adopted(
    api: NeonClient, neon: TinyNeon, difference: str
) -> None:
    def spoil(answer: object) -> object:
        branch = neon.named("b")[0]
        if difference == "parent":
            branch["parent_id"] = "br-some-other-1"
        else:
            neon.annotations[branch["id"]]["digest"] = "another"
        return "junk"

    neon.faulty(Fault(method="POST", change=spoil))
    request = BranchRequest("b", parent_id=next(iter(neon.branches)), annotations={"digest": "abc"})
    with pytest.raises(AlreadyExists):
        api.create_branch(PROJECT, request)


def test_an_unanswered_create_during_a_long_outage_is_an_error_not_a_second_branch(
    base: str, neon: TinyNeon, time: FakeTime
) -> None:
    neon.faulty(post(DROPPED_AFTER), *[HTML] * 1000)
    with pytest.raises(AnswerLost), client(base, time) as api:
        api.create_branch(PROJECT, BranchRequest("b"))
    assert neon.creations == ["b"]


@pytest.mark.parametrize("lost", [DROPPED_AFTER, LATE_HTML, DROPPED])
def test_a_commit_whose_answer_was_lost_is_read_back(api: NeonClient, neon: TinyNeon, lost: Fault) -> None:
    branch = neon.add_branch("staging-1", expires_at="2026-11-30T00:00:00Z")
    neon.faulty(Fault(lost.status, lost.body, lost.headers, "PATCH", "", lost.processed, lost.drop))
    done = api.commit_branch(PROJECT, branch["id"], "backup-1")
    assert (done.name, done.expires_at) == ("backup-1", None)
    assert len(neon.sent("PATCH")) == (1 if lost.processed else 2)


def test_a_commit_under_a_name_that_is_taken_fails(api: NeonClient, neon: TinyNeon) -> None:
    neon.add_branch("backup-1")
    branch = neon.add_branch("staging-1")
    with pytest.raises(AlreadyExists):
        api.commit_branch(PROJECT, branch["id"], "backup-1")
    assert branch["name"] == "staging-1"


def test_a_deletion_whose_answer_was_lost_is_simply_repeated(api: NeonClient, neon: TinyNeon) -> None:
    ident = neon.add_branch("old")["id"]
    neon.faulty(Fault(method="DELETE", drop=True, processed=True))
    api.delete_branch(PROJECT, ident)
    assert not neon.named("old")
    assert len(neon.sent("DELETE")) == 2


@pytest.mark.parametrize("lost", [DROPPED, DROPPED_AFTER])
def test_databases_roles_and_endpoints_are_looked_up_too(
    api: NeonClient, neon: TinyNeon, lost: Fault
) -> None:
    ident = neon.add_branch("one")["id"]
    neon.faulty(
        Fault(method="POST", path="/databases$", drop=True, processed=lost.processed),
        Fault(method="POST", path="/roles$", drop=True, processed=lost.processed),
        Fault(method="POST", path="/endpoints$", drop=True, processed=lost.processed),
    )
    assert api.create_database(PROJECT, ident, "supaneon", "neondb_owner").name == "supaneon"
    role = api.create_role(PROJECT, ident, "app")
    assert role.password is not None
    assert api.create_endpoint(PROJECT, ident).branch_id == ident
    assert len(neon.databases) == len(neon.roles) == len(neon.endpoints) == 1
    assert not neon.faults


def test_a_database_found_after_a_lost_answer_must_have_the_owner_asked_for(
    api: NeonClient, neon: TinyNeon
) -> None:
    ident = neon.add_branch("one")["id"]
    api.create_database(PROJECT, ident, "supaneon", "somebody")
    neon.faulty(Fault(method="POST", drop=True))
    with pytest.raises(AlreadyExists, match="somebody"):
        api.create_database(PROJECT, ident, "supaneon", "neondb_owner")


def test_a_password_reset_whose_answer_was_lost_is_done_once_more(api: NeonClient, neon: TinyNeon) -> None:
    ident = neon.add_branch("one")["id"]
    neon.faulty(Fault(method="POST", drop=True, processed=True))
    assert api.reset_password(PROJECT, ident, "app").reveal().startswith(PASSWORD)
    assert len(neon.sent("POST", "reset_password")) == 2


def test_a_branch_just_made_that_reads_404_is_waited_for(
    api: NeonClient, neon: TinyNeon, time: FakeTime
) -> None:
    gone = error(404, "branch not found", method="GET", path=r"/branches/br-[^/]*$")
    neon.faulty(gone, gone, error(404, "operation not found", path="/operations/"))
    assert api.create_branch(PROJECT, BranchRequest("b")).branch.name == "b"
    assert not neon.faults


def test_any_other_404_is_final(api: NeonClient, neon: TinyNeon, time: FakeTime) -> None:
    with pytest.raises(NotFound, match="branch not found"):
        api.branch(PROJECT, "br-a-b-1")
    assert len(neon.seen) == 1
    made = api.create_branch(PROJECT, BranchRequest("b")).branch
    api.delete_branch(PROJECT, made.id)
    before = len(neon.seen)
    with pytest.raises(NotFound):
        api.branch(PROJECT, made.id)
    assert len(neon.seen) == before + 1


def test_a_branch_that_is_not_ready_yet_is_waited_for_shortly(
    api: NeonClient, neon: TinyNeon, time: FakeTime
) -> None:
    neon.faulty(*[post(error(422, "branch not ready yet"))] * 3)
    assert api.create_branch(PROJECT, BranchRequest("b")).branch.name == "b"
    began = time.now
    neon.faulty(*[post(error(422, "branch not ready yet"))] * 1000)
    with pytest.raises(NeonError, match="not ready"):
        api.create_branch(PROJECT, BranchRequest("c"))
    assert 20 <= time.now - began < 21


def test_a_suspend_interval_that_the_plan_refuses_is_left_out_once(api: NeonClient, neon: TinyNeon) -> None:
    neon.faulty(post(error(412, "suspend interval is too short for your plan")))
    endpoint = EndpointRequest(suspend_timeout_seconds=60, autoscaling_limit_max_cu=1)
    made = api.create_branch(PROJECT, BranchRequest("b", with_endpoint=endpoint))
    first, second = neon.sent("POST", "/branches$")
    assert first.body["endpoints"][0]["suspend_timeout_seconds"] == 60
    assert second.body["endpoints"] == [{"type": "read_write", "autoscaling_limit_max_cu": 1}]
    assert made.endpoint is not None
    neon.faulty(*[post(error(412, "suspend interval is too short for your plan"))] * 2)
    with pytest.raises(NeonError, match="suspend interval"):
        api.create_branch(PROJECT, BranchRequest("c", with_endpoint=endpoint))


def test_the_same_goes_for_an_endpoint_alone(api: NeonClient, neon: TinyNeon) -> None:
    ident = neon.add_branch("one")["id"]
    neon.faulty(error(412, "suspend interval is too short for your plan", method="POST"))
    api.create_endpoint(PROJECT, ident, EndpointRequest(suspend_timeout_seconds=60))
    assert "suspend_timeout_seconds" not in neon.sent("POST")[1].body["endpoint"]


@pytest.mark.parametrize(
    ("fault", "family", "says"),
    [
        (error(401, "supplied credentials do not pass authentication"), NeonError, "NEON_API_KEY"),
        (error(403, "forbidden"), NeonError, "NEON_PROJECT_ID"),
        (error(400, "bad body"), NeonError, "bad body"),
        (error(412, "precondition"), NeonError, "precondition"),
        (Fault(302, "", {"Location": "https://elsewhere.example/"}), NeonError, "HTTP 302"),
        (error(422, "you have reached the limit", "BRANCHES_LIMIT_EXCEEDED"), QuotaError, "[Pp]rune"),
        (error(422, "", "ROOT_BRANCHES_LIMIT_EXCEEDED"), QuotaError, "[Pp]rune"),
        (error(422, "branches limit exceeded"), QuotaError, "[Pp]rune"),
        (error(423, "", "COMPUTE_TIME_EXCEEDED"), QuotaError, "COMPUTE_TIME_EXCEEDED"),
        (error(422, "", "BRANCH_SIZE_LIMIT_EXCEEDED_THRESHOLD"), QuotaError, "SIZE_LIMIT"),
        (error(402, "payment required"), QuotaError, "402"),
    ],
)
def test_what_would_not_help_is_never_tried_again(
    api: NeonClient, neon: TinyNeon, time: FakeTime, fault: Fault, family: type[SupaneonError], says: str
) -> None:
    neon.faulty(fault)
    with pytest.raises(family, match=says) as caught:
        api.create_branch(PROJECT, BranchRequest("b"))
    assert len(neon.seen) == 1
    assert not time.waits
    evidence = caught.value.evidence
    assert evidence["status"] == fault.status
    assert {"code", "message", "request_id"} <= evidence.keys()
    assert not neon.creations


def test_an_error_carries_neons_request_id_and_ours_where_there_is_none(
    api: NeonClient, neon: TinyNeon
) -> None:
    neon.faulty(error(400, "bad"), Fault(400, "<html>"))
    with pytest.raises(NeonError, match="theirs-1"):
        api.project(PROJECT)
    with pytest.raises(NeonError) as caught:
        api.project(PROJECT)
    assert caught.value.evidence["request_id"] == neon.seen[-1].headers["X-Request-ID"]


def test_a_list_that_goes_round_in_circles_is_an_error(api: NeonClient, neon: TinyNeon) -> None:
    page = {"branches": [], "annotations": {}, "pagination": {"next": "again"}}
    full = page | {"branches": [neon.add_branch("b")]}
    neon.faulty(*[Fault(200, full)] * 50)
    with pytest.raises(NeonError, match="does not end"):
        api.branches(PROJECT)
    neon.faults = [Fault(200, page | {"pagination": {"next": str(n)}}) for n in range(50)]
    with pytest.raises(NeonError, match="does not end"):
        api.branches(PROJECT)
    assert len(neon.seen) < 10


def test_an_empty_last_page_that_repeats_its_cursor_is_the_end(api: NeonClient, neon: TinyNeon) -> None:
    first = {"branches": [neon.add_branch("b")], "annotations": {}, "pagination": {"next": "x"}}
    last = {"branches": [], "annotations": {}, "pagination": {"next": "x"}}
    neon.faulty(Fault(200, first), Fault(200, last))
    assert [branch.name for branch in api.branches(PROJECT)] == ["b"]


def test_no_connection_at_all_is_said_so_and_nothing_was_changed(time: FakeTime) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(
            NeonError, match=r"no connection could be made.*Nothing was changed.*NEON_API_HOST"
        ):
            client(f"http://127.0.0.1:{port}/api/v2", time).create_branch(PROJECT, BranchRequest("b"))
    assert len(time.waits) > 5


def test_a_server_whose_certificate_is_not_trusted_gets_nothing(
    neon: TinyNeon, base: str, time: FakeTime
) -> None:
    with pytest.raises(NeonError, match="certificate was not accepted"):
        client(base.replace("http", "https"), time, Patience(outage=1)).project(PROJECT)
    assert not neon.seen
    assert not time.waits


def every_trace(error: BaseException) -> str:
    seen = "".join(traceback.format_exception(error))
    step: BaseException | None = error
    while step is not None:
        seen += repr(step) + str(step) + repr(vars(step))
        step = step.__cause__ or step.__context__
    return seen


LEAKS: list[Callable[[NeonClient], object]] = [
    lambda api: api.project(PROJECT),
    lambda api: api.create_branch(PROJECT, BranchRequest("b", with_endpoint=True)),
    lambda api: api.connection_uri(PROJECT, "br-a-b-1", database="d", role="r"),
    lambda api: api.reset_password(PROJECT, "br-a-b-1", "r"),
]


@pytest.mark.parametrize("call", LEAKS)
@pytest.mark.parametrize(
    "fault",
    [
        error(400, f"key {KEY} and postgresql://u:{PASSWORD}@host/db are bad"),
        error(401, f"Bearer {KEY}"),
        error(422, "x", f"{KEY}"),
        Fault(200, {"uri": {"postgresql": PASSWORD}, "role": {"password": [PASSWORD]}}),
        Fault(200, {"uri": PASSWORD, "role": {"name": "r", "branch_id": "b"}, "password": PASSWORD}),
        Fault(500, f"<html>{KEY} {PASSWORD}"),
        DROPPED,
    ],
)
def test_neither_key_nor_password_is_in_any_error(
    base: str, neon: TinyNeon, time: FakeTime, call: Callable[[NeonClient], object], fault: Fault
) -> None:
    neon.faulty(*[fault] * 2000)
    with client(base, time) as api:
        assert KEY not in repr(api)
        assert KEY not in repr(vars(api))
        with pytest.raises(SupaneonError) as caught:
            call(api)
    told = every_trace(caught.value)
    assert KEY not in told
    assert PASSWORD not in told
    json.dumps({name: str(value) for name, value in caught.value.evidence.items()})


def test_a_role_found_after_a_lost_answer_gets_a_new_password_where_neon_stores_none(
    api: NeonClient, neon: TinyNeon
) -> None:
    ident = neon.add_branch("one")["id"]
    neon.faulty(
        Fault(method="POST", path="/roles$", drop=True, processed=True),
        error(412, "project does not store passwords", path="reveal_password"),
    )
    role = api.create_role(PROJECT, ident, "app")
    assert role.password is not None
    assert len(neon.sent("POST", "reset_password")) == 1


def test_a_read_only_endpoint_is_not_taken_for_the_one_whose_creation_was_lost(
    api: NeonClient, neon: TinyNeon
) -> None:
    ident = neon.add_branch("one")["id"]
    reader = neon.add_endpoint(ident)
    reader["type"] = "read_only"
    alone = Fault(200, {"endpoints": [dict(reader)]}, method="GET", path="/endpoints$")
    neon.faulty(Fault(method="POST", path="/endpoints$", drop=True), alone)
    neon.endpoints.clear()
    assert api.create_endpoint(PROJECT, ident).id != reader["id"]


@pytest.mark.parametrize("lost", [DROPPED, DROPPED_AFTER])
def test_starting_an_endpoint_is_repeated_after_a_lost_answer(
    api: NeonClient, neon: TinyNeon, lost: Fault
) -> None:
    ident = neon.add_endpoint("br-a-b-1")["id"]
    neon.faulty(lost)
    assert api.start_endpoint(PROJECT, ident).current_state == "active"
    assert len(neon.sent("POST")) == 2


def test_a_409_that_is_not_about_a_name_is_no_already_exists(api: NeonClient, neon: TinyNeon) -> None:
    neon.faulty(error(409, "compute is being moved"))
    with pytest.raises(NeonError, match="compute is being moved") as caught:
        api.create_branch(PROJECT, BranchRequest("b"))
    assert not isinstance(caught.value, AlreadyExists)


def test_neither_a_proxy_nor_netrc_comes_between_us_and_this_machine(
    base: str, neon: TinyNeon, time: FakeTime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with client(base, time) as api:
        api.project(PROJECT)
    assert neon.seen[0].headers["Authorization"] == f"Bearer {KEY}"
    assert not time.waits
