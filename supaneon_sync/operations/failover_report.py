"""What people and machines are told of a failover: the plan, and the branch that serves."""

from __future__ import annotations

from supaneon_sync.neon_client import Branch, Endpoint
from supaneon_sync.operations import handover
from supaneon_sync.operations.backup import NOT_IN_THE_DATABASE
from supaneon_sync.operations.failover_branch import Order
from supaneon_sync.operations.failover_making import Served
from supaneon_sync.operations.standby import Standby
from supaneon_sync.operations.standing import StandingBackup
from supaneon_sync.policy import anomaly, names
from supaneon_sync.policy import failover as policy
from supaneon_sync.policy.failover import Sight, Step
from supaneon_sync.report.outcome import Outcome, Table

_FOR_GOOD = (Step.PROTECT, Step.NAME)
"""Steps that a rehearsal leaves out."""
_STAYS = "The backup itself stays as it is: the failover branch is a child of it."


def planned(standby: Standby, order: Order, there: Branch | None, notes: tuple[str, ...]) -> Outcome:
    """Return what a failover would do, without having done any of it."""
    source, now, settings = order.source, standby.run.clock(), standby.settings
    age = handover.age_in_words(source.age(now))
    sight = Sight(
        exists=there is not None,
        named=there is not None and there.name != names.STARTING_FAILOVER,
        protected=there is not None and (there.protected or there.name != names.STARTING_FAILOVER),
        role=settings.role is None,
    )
    todo = [step for step in policy.steps(sight) if not settings.rehearse or step not in _FOR_GOOD]
    rows = tuple((str(number), step.value) for number, step in enumerate(todo, 1))
    what = "The rehearsal" if settings.rehearse else "The failover"
    found = "" if there is None else f" {there.name} is there already, and is gone on with."
    return Outcome(
        operation="failover",
        verdict="planned",
        headline=f"Nothing was changed. {what} would take {source.name} and lose {age} of changes."
        f"{anomaly.aside(source.backup)}{found}",
        facts=(
            *_source(source, age),
            ("URIs will be for", settings.role or f"{settings.neon_db_user} (the owner)"),
            ("Compute", f"{settings.min_cu:g} to {settings.max_cu:g} CU, where the plan has that"),
        ),
        tables=(Table("What would be done", ("step", "what"), rows, frozenset(("step",))),),
        notes=(
            *warnings(standby, source),
            *notes,
            *_owner_note(settings.role, None),
            "To do it: the same command with --yes.",
            *(f"Not in the database, and so not there afterwards: {what}." for what in NOT_IN_THE_DATABASE),
        ),
        outputs={"backup-name": source.name} | _times(source, standby),
        report={"steps": [step.name.lower() for step in todo], "backup": source.name},
    )


def served(standby: Standby, done: Served, seconds: float, *, again: bool) -> Outcome:
    """Return the outcome of a failover that serves: where to point the application, and what to know."""
    source, way = done.source, done.application
    age = handover.age_in_words(source.age(standby.run.clock()))
    outputs = (
        {"branch-name": done.branch.name, "branch-id": done.branch.id, "backup-name": source.name}
        | _times(source, standby)
        | {"serving-seconds": f"{seconds:.1f}"}
        | handover.connection(way)
    )
    came = "was there already, and serves" if again else "serves"
    return Outcome(
        operation="failover",
        verdict="degraded" if source.backup.anomaly or not source.backup.healthy else "ok",
        headline=f"{done.branch.name} {came}: point the application at it. Lost: {age} of changes."
        f"{' Its backup is an anomaly.' if source.backup.anomaly else ''}",
        facts=(
            ("Failover branch", done.branch.name),
            *_source(source, age),
            ("Served a query", f"{seconds:.1f} s after the call"),
            ("Role", way.direct.user),
            ("Direct", outputs["connection-uri-without-password"]),
            ("Pooled", way.for_application(way.pooled).without_password()),
            ("Compute", compute_in_words(done.endpoint)),
            ("Protected", "yes" if done.branch.protected else "no"),
            *_looked(done),
        ),
        tables=(durations(done),),
        notes=(
            *warnings(standby, source),
            *done.notes,
            *_owner_note(standby.settings.role, done),
            _STAYS,
            "From now on backup refuses and prune removes nothing, until supaneon-sync failover --end --yes.",
        ),
        outputs=outputs,
        secrets=handover.secret(way),
        report={
            "backup": source.name,
            "branch": done.branch.name,
            "again": again,
            "seconds": round(seconds, 3),
            "steps": {name: round(took, 3) for name, took in done.seconds.items()},
        },
    )


def warnings(standby: Standby, source: StandingBackup) -> tuple[str, ...]:
    """Return what is wrong with the backup, a sentence each; of an anomaly, what there is instead."""
    wrong = policy.wrong_with(source.backup)
    named = (f"{source.name} was named, although {wrong}.",) if wrong else ()
    if not source.backup.anomaly:
        return named
    return (*named, anomaly.remark(source.backup, (one.backup for one in standby.backups())))


def durations(done: Served) -> Table:
    """Return how long each step took, in their order."""
    rows = tuple(
        (step.value, f"{done.seconds[step.value]:.2f} s") for step in Step if step.value in done.seconds
    )
    return Table("Durations", ("step", "took"), rows, frozenset(("took",)))


def compute_in_words(endpoint: Endpoint) -> str:
    """Return a compute's size, and when it falls asleep."""
    low, high = endpoint.autoscaling_limit_min_cu, endpoint.autoscaling_limit_max_cu
    size = f"{low:g} to {high:g} CU" if low is not None and high is not None else "the project's default size"
    idle = endpoint.suspend_timeout_seconds
    if idle == -1:
        return f"{size}, never falls asleep"
    after = "the plan's default time (5 minutes)" if not idle else f"{idle} s"
    return f"{size}, falls asleep after {after} without a query; the next one waits about a second"


def _source(source: StandingBackup, age: str) -> tuple[tuple[str, str], ...]:
    return (
        ("Backup", source.name),
        ("Primary as it was at", f"{source.backup.moment:%Y-%m-%d %H:%M:%S} UTC"),
        ("You will lose", age),
        ("Its last drill", str(source.backup.drill or "never drilled")),
        *((("Anomaly", source.backup.anomaly),) if source.backup.anomaly else ()),
    )


def _times(source: StandingBackup, standby: Standby) -> dict[str, str]:
    told = handover.plain(source, standby.run.clock())
    return {name: told[name] for name in ("snapshot-time", "age-seconds", "drill-verdict", "anomaly")}


def _looked(done: Served) -> tuple[tuple[str, str], ...]:
    if done.look is None:
        return ()
    look = done.look
    left = look.tables - look.counted
    more = f"; {left} of the largest not counted, for time" if left else ""
    return (
        ("Schema", f"{look.objects} objects as recorded, row security on for {look.guarded} tables"),
        ("Rows", f"{look.rows} in {look.counted} tables, as recorded{more}"),
    )


def _owner_note(role: str | None, done: Served | None) -> tuple[str, ...]:
    if role is not None or (done is not None and done.look is not None and not done.look.guarded):
        return ()
    advice = "If the application relies on row security, use --role NAME with a role of its own."
    return (f"The URIs are for the owner role, which row security does not restrain. {advice}",)
