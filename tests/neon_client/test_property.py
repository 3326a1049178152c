"""Whatever a network and a server do to the answers: one branch at most, and it is known."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supaneon_sync.errors import SupaneonError
from supaneon_sync.neon_client import BranchRequest, NeonClient, Patience
from tests.neon_client.tiny_neon import PROJECT, FakeTime, Fault, TinyNeon, client, error, serving

_FAULTS = st.sampled_from(
    [
        Fault(change=lambda answer: answer),
        Fault(drop=True),
        Fault(drop=True, processed=True),
        Fault(524, "<html>"),
        Fault(524, "<html>", processed=True),
        Fault(200, "<html>", processed=True),
        Fault(201, {"branch": {}}, processed=True),
        error(503),
        error(423, "busy"),
        error(429, "slow"),
        error(422, "branch not ready yet"),
        error(500, "internal", processed=True),
        error(404, "not found", method="GET", path=r"(branches|operations)/"),
        error(401, "no"),
        error(422, "", "BRANCHES_LIMIT_EXCEEDED", method="POST"),
    ]
)
_IMPATIENT = Patience(conflict=20, rate=20, outage=5, settling=5, operations=20)


@given(faults=st.lists(_FAULTS, max_size=14), endpoint=st.booleans(), stranger=st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_sequence_of_answers_makes_two_branches_or_loses_one(
    faults: list[Fault], endpoint: bool, stranger: bool
) -> None:
    neon, time = TinyNeon(), FakeTime()
    if stranger:
        neon.add_branch("wanted")
        neon.creations.clear()
    neon.faults = list(faults)
    with serving(neon) as base, client(base, time, _IMPATIENT) as api:
        outcome = _create(api, endpoint)
    posted = neon.sent("POST", "/branches$")
    assert len({seen.body["annotation_value"]["supaneon-request-id"] for seen in posted}) == 1
    assert len(neon.named("wanted")) == 1 or not neon.creations
    assert neon.creations in ([], ["wanted"])
    if stranger:
        assert not neon.creations
        assert isinstance(outcome, SupaneonError)
    elif isinstance(outcome, str):
        assert neon.named("wanted")[0]["id"] == outcome
        assert len(neon.endpoints) == int(endpoint)
    elif neon.creations:
        known = outcome.evidence.get("branch_id") == neon.named("wanted")[0]["id"]
        assert known or outcome.evidence.get("unconfirmed") == "create branch wanted"


def _create(api: NeonClient, endpoint: bool) -> str | SupaneonError:
    try:
        return api.create_branch(PROJECT, BranchRequest("wanted", with_endpoint=endpoint)).branch.id
    except SupaneonError as error:
        return error


@given(faults=st.lists(_FAULTS, max_size=14))
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_commit_that_returns_is_true_whatever_the_answers_were(faults: list[Fault]) -> None:
    neon, time = TinyNeon(), FakeTime()
    branch = neon.add_branch("staging-1", expires_at="2026-11-30T00:00:00Z")
    neon.faults = list(faults)
    with serving(neon) as base, client(base, time, _IMPATIENT) as api:
        try:
            done = api.commit_branch(PROJECT, branch["id"], "backup-1")
        except SupaneonError:
            return
    assert (done.name, done.expires_at) == ("backup-1", None)
    assert branch["name"] == "backup-1"
    assert "expires_at" not in branch
