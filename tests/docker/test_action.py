"""The action in the image, called as GitHub's runner calls it, against a sandbox."""

from __future__ import annotations

import time

import pytest

from supaneon_sync.sandbox.testing import Sandbox
from tests.docker.engine import Runner, as_shown, docker, image, masked_values, pretty

HOSTILE = {
    "PATH": "utter-nonsense",
    "PYTHONPATH": "/nowhere",
    "PYTHONHOME": "/nowhere",
    "PGHOST": "nowhere.invalid",
}
BACKUP = r"backup-\d{8}T\d{6}Z"


def test_without_secrets_it_says_what_is_missing(runner: Runner) -> None:
    step = runner.run({"operation": "list"})
    assert step.code == 2
    assert "NEON_API_KEY is missing" in step.log
    assert "::error" in step.log
    assert step.outputs["failure-kind"] == "config"
    assert "neon-api-key" in step.summary


def test_an_unknown_operation_names_the_nearest(runner: Runner) -> None:
    step = runner.run({"operation": "bakcup"})
    assert step.code == 2
    assert "'backup'" in step.log


@pytest.mark.parametrize(
    "value", ["$(touch pwned)", "'; touch pwned; '", 'a" b', "first\nsecond", "::set-output::x"]
)
def test_inputs_are_words_and_never_commands(runner: Runner, value: str) -> None:
    step = runner.run({"operation": value})
    assert step.code == 2
    assert not list(runner.workspace.iterdir())
    assert "\n::set-output" not in step.log


def test_a_hostile_environment_changes_nothing(runner: Runner) -> None:
    step = runner.run({"operation": "config"}, **HOSTILE)
    assert step.code == 0, step.log


def test_a_backup_hands_out_its_branch_and_masked_uris(runner: Runner, standby: Sandbox) -> None:
    step = runner.run({"operation": "backup", **runner.give_sandbox(standby)}, **HOSTILE)
    assert step.code == 0, step.log
    name = step.outputs["branch-name"]
    assert name in standby.names(), pretty(step.outputs)
    uri = step.outputs["connection-uri"]
    assert uri in masked_values(step.log)
    assert uri not in as_shown(step.log)
    assert name in step.summary
    password = uri.partition("://")[2].partition("@")[0].partition(":")[2]
    assert password
    assert password in masked_values(step.log)
    assert password not in as_shown(step.log) + step.summary
    for secret in (standby.key, standby.primary_password):
        assert secret not in as_shown(step.log) + step.summary


def test_resolve_gives_the_uri_while_the_primary_is_unknown(runner: Runner, standby: Sandbox) -> None:
    inputs = runner.give_sandbox(standby)
    del inputs["supabase-database-url"]
    step = runner.run({"operation": "resolve", **inputs})
    assert step.code == 0, step.log
    assert step.outputs["branch-name"] in standby.names()
    assert step.outputs["connection-uri"] in masked_values(step.log)


def test_a_drill_passes_and_leaves_nothing(runner: Runner, standby: Sandbox) -> None:
    inputs = runner.give_sandbox(standby)
    del inputs["supabase-database-url"]
    step = runner.run({"operation": "restore-test", **inputs})
    assert step.code == 0, step.log
    assert not any(name.startswith("debug-restore-") for name in standby.names())


def test_prune_plans_when_it_is_asked_to(runner: Runner, standby: Sandbox) -> None:
    before = standby.names()
    inputs = runner.give_sandbox(standby)
    del inputs["supabase-database-url"]
    step = runner.run({"operation": "prune", "keep-last": "1", "dry-run": "true", **inputs})
    assert step.code == 0, step.log
    assert standby.names() == before


def test_a_failover_serves_while_the_primary_is_unknown(runner: Runner, standby: Sandbox) -> None:
    inputs = runner.give_sandbox(standby)
    del inputs["supabase-database-url"]
    step = runner.run({"operation": "failover", **inputs})
    assert step.code == 0, step.log
    assert step.outputs["branch-name"] in standby.names()
    assert step.outputs["connection-uri"] in masked_values(step.log)
    assert step.outputs["connection-uri"] not in as_shown(step.log) + step.summary
    assert runner.run({"operation": "resolve", "backup": step.outputs["branch-name"], **inputs}).code == 0
    assert runner.run({"operation": "failover", "end": "true", **inputs}).code == 0


def test_a_cancelled_backup_publishes_nothing(runner: Runner) -> None:
    with Sandbox(primary="sample", operation_seconds=0.5) as sandbox:
        running = runner.start({"operation": "backup", **runner.give_sandbox(sandbox)})
        deadline = time.monotonic() + 60
        while "supaneon-mirror" not in sandbox.names():
            assert running.child.poll() is None, running.log()
            assert time.monotonic() < deadline, running.log()
            time.sleep(0.05)
        begin = time.monotonic()
        running.cancel()
        step = running.wait(30)
        assert time.monotonic() - begin < 7.5, "GitHub follows with SIGTERM after 7.5 seconds"
        assert step.code == 130, step.log
        assert step.outputs["failure-kind"] == "cancelled"
        assert not any(name.startswith("backup-") for name in sandbox.names())


def test_a_plain_docker_run_backs_up_too(runner: Runner, standby: Sandbox) -> None:
    time.sleep(1.1)  # names have whole seconds
    variables = dict(standby.environment)
    place = "/etc/ca.pem"
    mount = f"{variables['NEON_CA_FILE']}:{place}:ro"
    variables |= {"NEON_CA_FILE": place, "SUPABASE_CA_FILE": place}
    flags = [word for name in variables for word in ("-e", name)]
    done = docker(
        "run", "--rm", "--network", "host", "-v", mount, *flags, image(), "backup", environment=variables
    )
    assert done.returncode == 0, done.stderr
    assert standby.primary_password not in done.stdout + done.stderr
