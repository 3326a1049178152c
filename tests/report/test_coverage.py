"""The coverage ledger: nothing of a plan is without a line, and no surface has two statuses."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from supaneon_sync.policy.facts import MemberTable, Relation
from supaneon_sync.policy.plan import Plan, Topic
from supaneon_sync.policy.platform import KEPT, NEVER, ROWS, SESSION
from supaneon_sync.report import coverage
from supaneon_sync.report.coverage import Found, Line, Status
from tests.policy.portability_cases import TARGET, decided, entry, facts, relation

NOTHING = Found(0, 0, 0, (), (), (), ())
KINDS = sorted(KEPT | SESSION | ROWS | set(NEVER) | {"ACL"})


def lines(plan: Plan, found: Found = NOTHING, *relations: Relation) -> dict[str, Line]:
    return {one.surface: one for one in coverage.coverage(plan, facts(*relations), found)}


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.sets(st.integers(1, 20))), max_size=20))
def test_every_decision_of_any_plan_is_in_a_line_and_what_is_told_is_named(
    listed: list[tuple[str, set[int]]],
) -> None:
    entries = [entry(n, kind, f"t{n}", needs=needs) for n, (kind, needs) in enumerate(listed, 1)]
    plan = decided(entries)
    found = coverage.coverage(plan, facts(), NOTHING)
    assert len({one.surface for one in found}) == len(found)
    by_surface = {one.surface: one for one in found}
    for decision in plan.decisions:
        line = by_surface[decision.topic.value]
        assert line.status is not Status.NONE
        assert (line.status is Status.LEFT_OUT) == (decision.fate.value == "left out")
        if decision.told and decision.fate.value == "left out":
            assert any(decision.entry.tag in name for name in line.names)


def test_a_surface_that_the_primary_does_not_have_is_said_to_be_none() -> None:
    empty = lines(decided([]))
    assert {one.value for one in Topic} <= set(empty)
    assert empty["Users and their identities"].status is Status.NONE
    assert empty["Scheduled jobs"].status is Status.NONE
    assert empty["Storage files"].status is Status.OUTSIDE


def test_logins_that_are_not_copied_are_said_to_be_left_out() -> None:
    users = relation(1, "users", "auth")
    there = [entry(1, "TABLE", "users", schema="auth")]
    copied = lines(decided(there, facts(users)), NOTHING, users)
    assert copied["Users and their identities"].status is Status.COPIED
    gone = lines(decided([], facts(users)), NOTHING, users)
    assert gone["Users and their identities"].status is Status.LEFT_OUT


def test_names_that_could_not_be_read_are_not_passed_off_as_none() -> None:
    found = replace(NOTHING, jobs=None, secrets=("key",))
    told = lines(decided([]), found)
    assert told["Scheduled jobs"].status is Status.LEFT_OUT
    assert "may not read" in told["Scheduled jobs"].said
    assert told["Secrets of the vault"].names == ("key",)


def test_row_security_that_binds_more_roles_is_not_called_copied() -> None:
    plan = decided([entry(1, "POLICY", "p")], target=replace(TARGET, major=15, can_create_bypassrls=False))
    line = lines(plan)["Row level security"]
    assert line.status is Status.TRANSFORMED
    assert "service_role" in line.said


def test_rows_of_an_extensions_tables_are_named_and_make_the_copy_degraded() -> None:
    queue = facts(member_tables=(MemberTable("pgmq", "pgmq.q_mails", 3), MemberTable("postgis", "ref", 9)))
    (said,) = decided([], queue).degraded
    assert said.startswith("These tables belong to extensions")
    assert said.endswith(": pgmq.q_mails.")


def test_the_summary_stays_short_and_the_manifest_complete() -> None:
    many = tuple(f"job {n}" for n in range(500))
    found = coverage.coverage(decided([]), facts(), replace(NOTHING, jobs=many))
    text = str(coverage.table(found).rows)
    assert "job 5 and 494 more" in text
    assert len(text) < 3000
    (document,) = (one for one in coverage.document(found) if one["surface"] == "Scheduled jobs")
    assert document["names"] == list(many)
