"""The night the primary is down, in the sandbox: a query is served, whatever else is broken."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from supaneon_sync.errors import ConfigError, DataDiffers, Refused
from supaneon_sync.policy import names
from supaneon_sync.policy.failover import Step
from supaneon_sync.report.outcome import Outcome
from supaneon_sync.sandbox.testing import Sandbox
from tests.comparing import branch_contents
from tests.operations.failing_over import (
    ask,
    backup_of,
    call,
    failovers,
    ledger_rows,
    resets,
    uri,
    with_backup,
)
from tests.tool import at, command, finished, perform

PROGRAM = """
import os, sys, psycopg2
with psycopg2.connect(os.environ["DATABASE_URL"], sslrootcert=os.environ["ROOTS"]) as session:
    cursor = session.cursor()
    cursor.execute("INSERT INTO public.labels SELECT * FROM public.labels WHERE false")
    cursor.execute("SELECT count(*) FROM public.tasks")
    print(cursor.fetchone()[0], session.get_dsn_parameters()["host"])
"""


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Sandbox, Outcome]]:
    """A standby whose failover is in force, for tests that leave it so."""
    with with_backup() as sandbox:
        yield sandbox, call(sandbox)


def own_share(sandbox: Sandbox, outcome: Outcome) -> float:
    """Return the seconds from call to served query that are not the API's operations and compute start."""
    operations = sandbox.plane.state.operations.values()
    theirs = [
        one.total_duration_ms or 0 for one in operations if one.branch_id == outcome.outputs["branch-id"]
    ]
    return float(outcome.outputs["serving-seconds"]) - sum(theirs) / 1000


def test_a_query_is_served_with_the_primary_and_the_mirrors_compute_stopped() -> None:
    with with_backup() as sandbox:
        assert sandbox.primary_server is not None
        before = branch_contents(sandbox, backup_of(sandbox))
        sandbox.primary_server.stop("immediate")
        sandbox.plane.clusters.stop(sandbox.branch(names.MIRROR).id)
        began = time.monotonic()
        outcome = call(sandbox)
        assert ask(sandbox, uri(outcome), "SELECT count(*) > 0 FROM public.tasks") == [(True,)]
        assert time.monotonic() - began < 60
        assert 0 < own_share(sandbox, outcome) < 30  # 1 to 2 s on a machine with nothing else to do
        assert ask(sandbox, uri(outcome, "pooled-connection-uri"), "SELECT 1") == [(1,)]
        (durations,) = outcome.tables
        assert [row[0] for row in durations.rows] == [step.value for step in Step if step is not Step.ROLE]
        assert any("The ledger on supaneon-mirror cannot be had" in note for note in outcome.notes)
        name = outcome.outputs["branch-name"]
        assert sandbox.branch(name).parent_id == sandbox.branch(backup_of(sandbox)).id
        assert sandbox.branch(name).protected
        ask(sandbox, uri(outcome), "DELETE FROM public.comments")
        assert branch_contents(sandbox, backup_of(sandbox)) == before
        again = call(sandbox)
        assert again.outputs["branch-name"] == name
        over = call(sandbox, end=True)
        assert any("cannot be had" in note for note in over.notes)
        assert names.is_ended_failover(over.outputs["branch-name"])


def test_the_plan_changes_nothing_and_says_what_will_be_lost(standby: Sandbox) -> None:
    before = standby.names()
    for flags in ({}, {"yes": True, "plan": True}, {"yes": True, "dry_run": True}):
        outcome = perform(standby, "failover", **flags)
        assert outcome.verdict == "planned"
        assert "would take backup-" in outcome.headline
        assert "of changes" in outcome.headline
        assert not outcome.secrets
        assert "Storage files" in " ".join(outcome.notes)
    assert standby.names() == before
    assert {one["method"] for one in standby.requests} == {"GET"}


def test_a_second_call_returns_the_failover_that_is_there(served: tuple[Sandbox, Outcome]) -> None:
    sandbox, first = served
    ask(sandbox, uri(first), "CREATE TABLE public.of_the_night AS SELECT 1 AS a")
    second = call(sandbox)
    name = first.outputs["branch-name"]
    assert dict(first.secrets) == dict(second.secrets)
    assert second.outputs["branch-name"] == name
    assert "was there already" in second.headline
    assert resets(sandbox) == 1
    assert failovers(sandbox) == {name}
    verdicts = [verdict for subject, verdict in ledger_rows(sandbox) if subject == name]
    assert verdicts[0] == "in force"
    assert set(verdicts[1:]) == {"found in force"}


def test_the_branch_has_a_password_that_opens_nothing_else(served: tuple[Sandbox, Outcome]) -> None:
    sandbox, outcome = served
    name = outcome.outputs["branch-name"]
    assert names.failover_moment(name) is not None
    secret = sandbox.branch(name).roles["neondb_owner"].password
    others = {
        branch.roles["neondb_owner"].password
        for branch in sandbox.plane.state.branches.values()
        if branch.name != name
    }
    assert secret
    assert secret not in others
    assert secret in uri(outcome)
    assert all(secret not in value for value in outcome.outputs.values())


def test_an_application_role_is_let_in_and_the_owner_is_not_handed_out(
    served: tuple[Sandbox, Outcome],
) -> None:
    sandbox, owner = served
    outcome = call(sandbox, role="authenticated")
    assert outcome.outputs["role"] == "authenticated"
    assert "neondb_owner" not in uri(outcome)
    assert ask(sandbox, uri(outcome), "SELECT current_user::text") == [("authenticated",)]
    assert ask(sandbox, uri(outcome), "SELECT count(*) FROM public.tasks") == [(0,)]
    assert ask(sandbox, uri(owner), "SELECT count(*) > 0 FROM public.tasks") == [(True,)]
    again = call(sandbox, role="authenticated")
    assert dict(again.secrets) == dict(outcome.secrets)
    resolved = perform(sandbox, "resolve", backup="failover", role="authenticated")
    assert dict(resolved.secrets) == dict(outcome.secrets)
    backups = psycopg2.extensions.parse_dsn(sandbox.uri(backup_of(sandbox)))
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(**(backups | {"user": "authenticated"}))


def test_a_role_that_bypasses_row_security_is_told(served: tuple[Sandbox, Outcome]) -> None:
    outcome = call(served[0], role="service_role")
    assert any("does not restrain the role service_role" in note for note in outcome.notes)


def test_a_role_that_is_not_there_hands_nothing_out_and_the_next_call_goes_on(standby: Sandbox) -> None:
    with pytest.raises(Refused, match="has no role aplication") as refusal:
        call(standby, role="aplication")
    assert "authenticated" in refusal.value.remedy
    assert failovers(standby) == {names.STARTING_FAILOVER}
    assert call(standby, role="authenticated").outputs["role"] == "authenticated"
    assert resets(standby) == 1


def test_the_owner_is_no_application_role(served: tuple[Sandbox, Outcome]) -> None:
    with pytest.raises(Refused, match="row security does not restrain"):
        call(served[0], role="neondb_owner")


def test_a_role_with_a_password_of_somebody_elses_is_left_alone(served: tuple[Sandbox, Outcome]) -> None:
    sandbox, outcome = served
    name = outcome.outputs["branch-name"]
    sandbox.execute(name, "ALTER ROLE anon LOGIN PASSWORD 'theirs'")
    with pytest.raises(Refused, match="a password that this tool does not know"):
        call(sandbox, role="anon")
    parts = psycopg2.extensions.parse_dsn(sandbox.uri(name))
    psycopg2.connect(**(parts | {"user": "anon", "password": "theirs"})).close()


def test_a_program_moves_over_by_the_resolved_uri_alone(served: tuple[Sandbox, Outcome]) -> None:
    """The same program, the same SQL: only the variable DATABASE_URL is another."""
    standby, outcome = served

    def run(address: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=dict(os.environ) | {"DATABASE_URL": address, "ROOTS": str(standby.ca_file)},
            capture_output=True,
            text=True,
            check=True,
        )
        count, host = done.stdout.split()
        return int(count), host

    tasks, host = run(standby.primary_url)
    branch = outcome.outputs["branch-name"]
    for wanted in ("failover", branch):
        outcome = perform(standby, "resolve", backup=wanted)
        assert run(uri(outcome)) == (tasks, outcome.outputs["host"])
        assert outcome.outputs["host"] != host
        assert outcome.outputs["branch-name"] == branch


def test_resolve_does_not_pass_a_backup_off_for_what_serves(standby: Sandbox) -> None:
    with pytest.raises(Refused, match="No failover is in force"):
        perform(standby, "resolve", backup="failover")
    assert "Takes the traffic" not in dict(perform(standby, "list").facts)
    branch = call(standby).outputs["branch-name"]
    outcome = perform(standby, "resolve")
    assert outcome.outputs["branch-name"] == backup_of(standby)
    assert any(branch in note and "takes the traffic" in note for note in outcome.notes)
    with pytest.raises(ConfigError, match="role is for a failover branch"):
        perform(standby, "resolve", role="authenticated")
    with pytest.raises(Refused, match="cannot log in"):
        perform(standby, "resolve", backup="failover", role="authenticated")
    call(standby, end=True)
    with pytest.raises(Refused, match="is not in force"):
        perform(standby, "resolve", backup=branch)


def test_prune_leaves_everything_alone_while_a_failover_is_in_force(served: tuple[Sandbox, Outcome]) -> None:
    sandbox, _ = served
    before = sandbox.names()
    with pytest.raises(Refused, match="A failover is in force"):
        perform(sandbox, "prune", yes=True, keep_last=1, minimum=1)
    assert sandbox.names() == before
    assert perform(sandbox, "prune", dry_run=True, keep_last=1, minimum=1).exit_code == 0


def test_backup_refuses_while_a_failover_is_in_force_and_runs_again_when_it_is_over(standby: Sandbox) -> None:
    mirror = branch_contents(standby, names.MIRROR)
    call(standby)
    before = standby.names()
    with pytest.raises(Refused, match="A failover is in force") as refusal:
        perform(standby, "backup")
    assert refusal.value.exit_code == 7
    assert "failover --end" in refusal.value.remedy
    assert branch_contents(standby, names.MIRROR) == mirror
    assert standby.names() == before
    call(standby, end=True)
    time.sleep(1)  # a backup's name has seconds
    assert perform(standby, "backup").outputs["branch-name"] in standby.names() - before


def test_a_half_made_failover_stops_backups_too(standby: Sandbox) -> None:
    with pytest.raises(Refused):
        call(standby, role="nobody")
    with pytest.raises(Refused, match="starting-failover takes"):
        perform(standby, "backup")
    serving = dict(perform(standby, "list").facts)["Takes the traffic"]
    assert "not ready yet" in serving
    with pytest.raises(Refused, match="is not ready"):
        perform(standby, "resolve", backup="failover")


def test_list_shows_what_serves(served: tuple[Sandbox, Outcome]) -> None:
    sandbox, outcome = served
    assert outcome.outputs["branch-name"] in dict(perform(sandbox, "list").facts)["Takes the traffic"]


def test_the_end_renames_and_deletes_nothing(standby: Sandbox) -> None:
    first = call(standby)
    branch = standby.branch(first.outputs["branch-name"])
    assert perform(standby, "failover", end=True).verdict == "planned"
    assert branch.name in standby.names()
    deleted = [one for one in standby.requests if one["method"] == "DELETE"]
    outcome = call(standby, end=True)
    assert outcome.outputs["branch-name"] == f"ended-{first.outputs['branch-name']}"
    assert standby.branch(outcome.outputs["branch-name"]).id == branch.id
    assert [one for one in standby.requests if one["method"] == "DELETE"] == deleted == []
    assert ask(standby, uri(first), "SELECT 1") == [(1,)]
    assert ledger_rows(standby)[-1] == (first.outputs["branch-name"], "ended")
    assert "nothing to end" in call(standby, end=True).headline


def test_after_the_end_the_next_call_makes_another_branch(standby: Sandbox) -> None:
    first = call(standby).outputs["branch-name"]
    call(standby, end=True)
    time.sleep(1)  # a branch's name has seconds
    second = call(standby).outputs["branch-name"]
    assert failovers(standby) == {f"ended-{first}", second}


def test_two_modes_in_one_call_are_refused(standby: Sandbox) -> None:
    with pytest.raises(ConfigError, match="end and diff"):
        call(standby, end=True, diff=True)
    with pytest.raises(ConfigError, match="min-cu is larger"):
        call(standby, min_cu="8", max_cu="2")


# --- the branch is not what it should be


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("DELETE FROM public.labels", "public.labels has 0 rows, recorded"),
        ("ALTER TABLE public.tasks DISABLE ROW LEVEL SECURITY", "public.tasks: row security is off"),
        ("DROP POLICY admins_invite ON public.members", "admins_invite on public.members is missing"),
        ("CREATE TABLE public.stranger (a int)", "public.stranger is there and was not recorded"),
    ],
)
def test_a_branch_that_is_not_as_recorded_is_never_handed_out(
    standby: Sandbox, damage: str, told: str
) -> None:
    progress = at(Step.CHECK.value, lambda: standby.execute(names.STARTING_FAILOVER, damage) and None)
    with pytest.raises(DataDiffers) as failure:
        call(standby, progress=progress)
    assert told in failure.value.message
    assert failovers(standby) == {names.STARTING_FAILOVER}


def test_a_branch_that_was_refused_is_refused_again_until_it_is_ended(standby: Sandbox) -> None:
    damage = "DELETE FROM public.labels"
    with pytest.raises(DataDiffers):
        call(
            standby,
            progress=at(Step.CHECK.value, lambda: standby.execute(names.STARTING_FAILOVER, damage) and None),
        )
    with pytest.raises(DataDiffers):
        call(standby)
    call(standby, end=True)
    assert call(standby).verdict == "ok"


def test_a_branch_with_another_manifest_is_not_taken_for_the_backups_child(standby: Sandbox) -> None:
    def forge() -> None:
        standby.execute(names.STARTING_FAILOVER, "UPDATE supaneon.manifest SET body = '{}'", "supaneon")

    with pytest.raises(DataDiffers, match="not the one that was written"):
        call(standby, progress=at(Step.PROVE.value, forge))
    assert failovers(standby) == {names.STARTING_FAILOVER}


def test_a_branch_of_another_parent_is_not_taken_for_the_backups_child(standby: Sandbox) -> None:
    def move() -> None:
        standby.branch(names.STARTING_FAILOVER).parent_id = standby.branch("main").id

    with pytest.raises(Refused, match="was not cut from"):
        call(standby, progress=at(Step.PROVE.value, move))


def test_a_branch_that_cannot_be_written_is_not_handed_out(standby: Sandbox) -> None:
    def freeze() -> None:
        standby.execute(
            names.STARTING_FAILOVER, "ALTER ROLE neondb_owner SET default_transaction_read_only = on"
        )

    with pytest.raises(Exception, match="read"):
        call(standby, progress=at(Step.CHECK.value, freeze))
    assert failovers(standby) == {names.STARTING_FAILOVER}


# --- the primary


def test_a_malformed_url_of_the_primary_stops_no_failover(
    served: tuple[Sandbox, Outcome],
) -> None:
    standby, _ = served
    outcome = call(standby, environment={"SUPABASE_DATABASE_URL": "[YOUR-PASSWORD]"}, fence_primary=True)
    assert outcome.verdict == "ok"
    assert any("NOT made read-only" in note for note in outcome.notes)


def read_only(sandbox: Sandbox) -> bool:
    assert sandbox.primary_server is not None
    ((setting,),) = sandbox.primary_server.execute("SHOW default_transaction_read_only", "postgres")
    return bool(setting == "on")


def test_the_primary_is_made_read_only_when_asked_alone_and_the_way_back_is_told(
    served: tuple[Sandbox, Outcome],
) -> None:
    standby, _ = served
    call(standby)
    assert not read_only(standby)
    outcome = call(standby, fence_primary=True)
    assert read_only(standby)
    (told,) = (note for note in outcome.notes if "To undo it" in note)
    undo = told.partition("To undo it there: ")[2]
    with psycopg2.connect(standby.primary_url) as session:
        session.cursor().execute("SET transaction_read_only = off; " + undo)
    assert not read_only(standby)


def test_a_primary_that_is_down_is_no_reason_to_stop(
    served: tuple[Sandbox, Outcome],
) -> None:
    standby, _ = served
    url = standby.primary_url.replace(f":{standby.primary_server.port}/", ":9/")  # type: ignore[union-attr]
    outcome = call(standby, environment={"SUPABASE_DATABASE_URL": url}, fence_primary=True)
    assert any("NOT made read-only: Cannot connect" in note for note in outcome.notes)


# --- the doors


def test_the_command_line_plans_without_yes_and_hands_the_uris_over_with_it(
    served: tuple[Sandbox, Outcome],
) -> None:
    standby, _ = served
    before = standby.names()
    code, said = finished(command(standby, "failover"))
    assert code == 0
    assert "Nothing was changed" in said
    assert standby.names() == before
    code, said = finished(command(standby, "failover", "--yes"))
    (branch,) = failovers(standby)
    password = standby.branch(branch).roles["neondb_owner"].password
    assert code == 0
    assert password is not None
    assert f"postgresql://neondb_owner:{password}@" in said
    assert standby.key not in said


def test_the_action_does_it_and_masks_before_it_writes(
    served: tuple[Sandbox, Outcome], tmp_path: Path
) -> None:
    standby, _ = served
    output = tmp_path / "output"
    output.touch()
    variables: dict[str, Any] = {
        "INPUT_OPERATION": "failover",
        "INPUT_ROLE": "authenticated",
        "GITHUB_ACTIONS": "true",
        "GITHUB_OUTPUT": str(output),
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run(
        [sys.executable, "-m", "supaneon_sync.action"],
        env=standby.environment | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    (branch,) = failovers(standby)
    written = output.read_text()
    assert branch in written
    assert "postgresql://authenticated:" in written
    password = written.partition("postgresql://authenticated:")[2].partition("@")[0]
    owner = standby.branch(branch).roles["neondb_owner"].password
    for secret in (password, owner):
        assert secret
        lines = [line for line in done.stdout.splitlines() if secret in line]
        assert lines
        assert all(line.startswith("::add-mask::") for line in lines)
