"""The alarm, tried out: damage of every kind to throw-away branches, each of which the drill must notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from supaneon_sync.errors import DataDiffers, SupaneonError
from supaneon_sync.neon_client import Branch
from supaneon_sync.operations import drill_branches
from supaneon_sync.operations.drill_areas import PURPOSE
from supaneon_sync.operations.drilling import Drill, Examination, Subject
from supaneon_sync.operations.standby import Standby, opened
from supaneon_sync.operations.standing import StandingBackup
from supaneon_sync.policy import names
from supaneon_sync.policy.alarm import Case, Tried, rings, summary
from supaneon_sync.policy.checks import Check
from supaneon_sync.policy.drill import Verdict
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres import inventory, spoiling
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.session import Session
from supaneon_sync.report.outcome import Outcome, Table
from supaneon_sync.run import Progress, Run, Silent
from supaneon_sync.settings import Settings

_A_DAY = timedelta(days=1)
_WRONG_CHECK = Check("one is two", "SELECT 1", expect=2)


@dataclass(frozen=True)
class _Damage:
    """A case that damages the branch itself: the copy's database, or the house beside it."""

    case: Case
    spoil: Callable[[Session, list[Relation]], str]
    in_house: bool = False


def _data(title: str, area: str, spoil: Callable[[Session, list[Relation]], str]) -> _Damage:
    return _Damage(Case(title, Verdict.FAIL_DATA, area), spoil)


def _object(title: str, statements: str, area: str = "schema") -> _Damage:
    return _data(title, area, lambda session, _: spoiling.by(session, statements))


DAMAGES = (
    _data("a row is deleted", "rows", spoiling.delete_row),
    _data("a row is there twice", "rows", spoiling.double_row),
    _data("one value is changed", "rows", spoiling.change_value),
    _object("an index is dropped", spoiling.INDEX),
    _object("a policy is dropped", spoiling.POLICY),
    _object("a constraint is dropped", spoiling.CONSTRAINT),
    _object("a trigger is dropped", spoiling.TRIGGER),
    _object("a table is dropped", spoiling.TABLE, "rows"),
    _object("a trigger is disabled", spoiling.ENABLED_TRIGGER),
    _object("row security is disabled", spoiling.ROW_SECURITY),
    _object("a privilege is given to everybody", spoiling.PRIVILEGE),
    _object("a sequence is moved back", spoiling.SEQUENCE, "sequences"),
    _Damage(
        Case("the manifest is forged", Verdict.FAIL_DATA, "identity"),
        lambda house, _: spoiling.forge_manifest(house),
        in_house=True,
    ),
)
OLD = Case("the backup is older than allowed", Verdict.FAIL_STALE, "freshness")
AT_MIRROR = Case("the URI leads to the mirror", Verdict.FAIL_CONNECTIVITY, "connection")
AT_OTHER = Case("the URI leads to another branch", Verdict.FAIL_CONNECTIVITY, "connection")
CHECK_FAILS = Case("a check of your own fails", Verdict.FAIL_CHECKS, "your checks")


class _Quiet(Silent):
    """Progress of the drills inside: told to nobody, but secrets are masked all the same."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def secret(self, value: str) -> None:
        """Pass it on."""
        self._progress.secret(value)


def self_test(settings: Settings, run: Run) -> Outcome:
    """Damage throw-away branches of a backup in every known way, and demand that the drill notices each.

    No backup is touched; one branch at a time is made. Raises Refused where there is no backup,
    NeonError and QuotaError where branches cannot be made.
    """
    began = run.monotonic()
    with opened(settings, run) as outer:
        quiet = replace(run, progress=_Quiet(run.progress))
        standby = Standby(outer.client, outer.project, replace(settings, max_age=None, checks=()), quiet)
        backup = standby.choose(settings.backup, newest=True)
        for note in drill_branches.sweep(standby):
            run.progress.note(note)
        run.progress.step(f"Drill an untouched branch of {backup.name}")
        alarm = _Alarm(standby, backup, run.progress)
        control, tried = alarm.untouched()
        run.progress.step(f"Damage throw-away branches in {len(DAMAGES)} ways, and drill each")
        for number, damage in enumerate(DAMAGES, 1):
            run.progress.advance(damage.case.title, number, len(DAMAGES))
            tried.append(alarm.damaged(damage))
    return _outcome(backup, control, tried, run.monotonic() - began)


class _Alarm:
    """The drill as it is tried out on one backup."""

    def __init__(self, standby: Standby, backup: StandingBackup, progress: Progress) -> None:
        self._standby = standby
        self._backup = backup
        self._progress = progress
        self._last = ""

    def untouched(self) -> tuple[Examination, list[Tried]]:
        """Drill an untouched branch: as it is, and with what surrounds it changed."""
        with self._branch() as branch:
            subject = self._subject(branch)
            control = self._drill(subject)
            self._progress.step("Change what surrounds it: age, URI, checks")
            settings = self._standby.settings
            mirror = self._standby.mirror()
            tried = [
                self._tried(
                    OLD,
                    "its snapshot time",
                    replace(subject, backup=self._aged()),
                    replace(settings, max_age=_A_DAY),
                ),
                self._tried(
                    AT_OTHER,
                    self._backup.name,
                    replace(subject, door=lambda: self._standby.doors(self._backup.branch).direct),
                ),
                self._tried(
                    CHECK_FAILS, _WRONG_CHECK.name, subject, replace(settings, checks=(_WRONG_CHECK,))
                ),
            ]
            if mirror is None:
                tried.append(Tried(AT_MIRROR, ""))
            else:
                at_mirror = replace(subject, door=lambda: self._standby.doors(mirror).direct)
                tried.append(self._tried(AT_MIRROR, mirror.name, at_mirror))
        return control, tried

    def damaged(self, damage: _Damage) -> Tried:
        """Damage a new branch and drill it."""
        with self._branch() as branch:
            what = self._spoil(branch, damage)
            return self._tried(damage.case, what, self._subject(branch)) if what else Tried(damage.case, "")

    def _spoil(self, branch: Branch, damage: _Damage) -> str:
        door = self._standby.doors(branch).direct
        where = names.HOUSE_DATABASE if damage.in_house else None
        with self._standby.connect(door, f"{PURPOSE} self-test", database=where) as session:
            if damage.in_house:
                return damage.spoil(session, [])
            with session.transaction("READ ONLY"):
                relations = inventory.read(session).relations.values()
            filled = [one for one in relations if one.kind == "r" and one.pages > 0]
            return damage.spoil(session, sorted(filled, key=lambda one: (one.pages, one.label)))

    def _tried(self, case: Case, what: str, subject: Subject, settings: Settings | None = None) -> Tried:
        seen = self._drill(subject, settings)
        return Tried(case, what, seen.verdict, seen.areas)

    def _drill(self, subject: Subject, settings: Settings | None = None) -> Examination:
        standby = self._standby
        if settings is not None:
            standby = Standby(standby.client, standby.project, settings, standby.run)
        return Drill(standby, subject, standby.run.monotonic()).examine()

    def _subject(self, branch: Branch) -> Subject:
        return Subject(self._backup, branch, partial(self._door, branch))

    def _door(self, branch: Branch) -> Conninfo:
        return self._standby.doors(branch).direct

    def _aged(self) -> StandingBackup:
        one = self._backup.backup
        return replace(self._backup, backup=replace(one, moment=one.moment - 2 * _A_DAY))

    @contextmanager
    def _branch(self) -> Iterator[Branch]:
        """Give a new branch of the backup and take it away again."""
        run = self._standby.run
        while names.stamp(run.clock()) == self._last:
            run.stop.wait(0.1)  # branches are named by the second
        self._last = names.stamp(run.clock())
        branch = drill_branches.cut(self._standby, self._backup)
        try:
            yield branch
        except BaseException:
            with suppress(SupaneonError):
                self._standby.client.delete_branch(self._standby.project.id, branch.id)
            raise
        self._standby.client.delete_branch(self._standby.project.id, branch.id)


def _outcome(backup: StandingBackup, control: Examination, tried: list[Tried], seconds: float) -> Outcome:
    good = rings(tried, control.verdict)
    line = summary(tried, control.verdict)
    rows = tuple(
        (one.case.title, one.what, str(one.case.wanted), str(one.got or ""), one.result, one.told)
        for one in tried
    )
    found = tuple(
        f"Control, {area.name}: {finding.text}." for area in control.areas for finding in area.findings
    )
    return Outcome(
        operation="self-test",
        verdict="ok" if good else "failed",
        headline=f"The drill's alarm {'rings' if good else 'does NOT ring as it should'}: {line}.",
        facts=(
            ("Backup", backup.name),
            ("Control", str(control.verdict)),
            ("Whole self-test", f"{seconds:.1f} s"),
        ),
        tables=(Table("Cases", ("damage", "done to", "wanted", "verdict", "result", "told"), rows),),
        notes=(*found, line),
        report={
            "backup": backup.name,
            "control": str(control.verdict),
            "seconds": round(seconds, 3),
            "cases": [
                {
                    "title": one.case.title,
                    "done_to": one.what,
                    "wanted": str(one.case.wanted),
                    "verdict": str(one.got or ""),
                    "result": one.result,
                    "told": one.told,
                }
                for one in tried
            ],
        },
        exit_code=0 if good else DataDiffers.exit_code,
        failure_kind="" if good else "checks",
    )
