"""What may befall a run: killed, cut off from a server, the primary changing under it, the mirror altered.

Each accident runs what it has to and leaves the town to a run that is not disturbed. ``when`` is a
part of a run, from 0 to 1; where it falls is told by how long and in how many steps the last one ran.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace

from supaneon_sync.errors import DataDiffers, SupaneonError
from supaneon_sync.policy import names
from supaneon_sync.report.outcome import Outcome
from tests.comparing import branch_contents
from tests.operations.nights import steps
from tests.operations.nights.town import Town
from tests.tool import Watching, command

Accident = Callable[[Town, int, float], None]

_START_UP = 0.6
"""Seconds until a process of the command line begins its work."""
_END_SESSIONS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


def nothing(_: Town, __: int, ___: float) -> None:
    """Let the night pass."""


def killed(town: Town, number: int, when: float) -> None:
    """Kill a run's process; whatever looks like a backup then must be one."""
    before = town.backups()
    town.story.append(f"-- a run is killed after {when:.2f} of its time")
    process = command(town.sandbox, "backup-run")
    timer = threading.Timer(
        _START_UP + when * town.seconds_of_a_run, lambda: os.killpg(process.pid, signal.SIGKILL)
    )
    timer.start()
    process.communicate()
    timer.cancel()
    for name in town.backups() - before:
        complete(town, name)


def complete(town: Town, name: str) -> None:
    """Demand that a backup is what its name says: reachable by its owner, with its manifest, with rows."""
    digest = town.sandbox.branch(name).annotation.get("supaneon-manifest")
    ((stored,),) = town.sandbox.execute(name, "SELECT digest FROM supaneon.manifest", "supaneon")
    assert stored == digest
    assert len(branch_contents(town.sandbox, name)) > 40


def cut_from_mirror(town: Town, number: int, when: float) -> None:
    """End all sessions of the mirror's server in mid-run."""
    _cut(town, when, "mirror", lambda: town.sandbox.execute(names.MIRROR, _END_SESSIONS, "postgres"))


def cut_from_primary(town: Town, number: int, when: float) -> None:
    """End all sessions of the primary's server in mid-run."""
    _cut(town, when, "primary", lambda: town.primary.execute(_END_SESSIONS))


def _cut(town: Town, when: float, side: str, act: Callable[[], object]) -> None:
    if names.MIRROR not in town.sandbox.names():
        return
    town.story.append(f"-- a run's sessions on the {side} are ended after {when:.2f} of its time")
    timer = threading.Timer(when * town.seconds_of_a_run, act)
    timer.start()
    try:
        outcome = _disturbed(town, Watching())
    finally:
        timer.cancel()
        timer.join()
    if outcome is not None:
        town.prove(outcome.outputs["branch-name"])


def changed_meanwhile(town: Town, number: int, when: float) -> None:
    """Change the primary while a run reads it; a backup then shows it as it was before, or after."""
    chosen = (*steps.ROWS, *steps.SCHEMA)
    step = chosen[number % len(chosen)]
    position = int(when * town.steps_of_a_run)
    begun: list[str] = []
    before = town.portrait()

    def hook(title: str) -> None:
        begun.append(title)
        if len(begun) == position + 1:
            town.take(step, number)

    town.story.append(f"-- what follows happens at step {position} of a run")
    outcome = _disturbed(town, Watching(hook=hook))
    if outcome is None:
        return
    found = town.portrait_of(outcome.outputs["branch-name"])
    likeness = replace(town.likeness, still=False)
    from_before = likeness.differences(before, found)
    from_after = likeness.differences(town.portrait(), found)
    assert not from_before or not from_after, (
        f"a backup shows a primary that never was: {from_before[:5]} from before, {from_after[:5]} from after"
    )


def altered_by_hand(town: Town, number: int, when: float) -> None:
    """Alter the mirror, as nobody should."""
    if names.MIRROR in town.sandbox.names():
        town.on_mirror(steps.MIRROR[number % len(steps.MIRROR)], number)


def _disturbed(town: Town, progress: Watching) -> Outcome | None:
    """Run a backup that may fail, but neither find fault with the data nor leave what looks like a backup."""
    before = town.backups()
    try:
        outcome = town.backup(progress)
    except DataDiffers:
        raise
    except SupaneonError as error:
        town.story.append(f"-- it ended with {type(error).__name__}: {error.message}")
        for name in town.backups() - before:
            complete(town, name)
        return None
    town.story.append(f"-- it ended with {outcome.outputs['branch-name']}")
    return outcome


ACCIDENTS: tuple[Accident, ...] = (
    cut_from_primary,
    killed,
    altered_by_hand,
    cut_from_mirror,
    changed_meanwhile,
    nothing,
    altered_by_hand,
)
