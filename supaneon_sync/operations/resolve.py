"""Where an application has to connect to: the URIs of a backup, minted in the job that needs them."""

from __future__ import annotations

from supaneon_sync.errors import ConfigError, Refused
from supaneon_sync.operations import failover_resolve, failover_state, handover
from supaneon_sync.operations.standby import opened
from supaneon_sync.operations.standing import StandingBackup
from supaneon_sync.policy import anomaly
from supaneon_sync.report.outcome import Outcome
from supaneon_sync.run import Run
from supaneon_sync.settings import Settings


def resolve(settings: Settings, run: Run) -> Outcome:
    """Return the way to the named backup, or to the newest healthy one, after proving it is that.

    Needs neither the primary nor the mirror's compute. Raises Refused for a backup that is older
    than ``max-age``, failed its last drill without being named, or is not what it says it is.
    """
    with opened(settings, run) as standby:
        if failover_resolve.is_meant(settings.backup):
            return failover_resolve.resolve(standby)
        if settings.role is not None:
            raise ConfigError("role is for a failover branch: on a backup, the owner alone can log in.")
        in_force = failover_state.in_force(standby)
        one = standby.choose(settings.backup)
        now = run.clock()
        _check_age(one, settings, one.age(now))
        run.progress.step(f"Prove that the URI leads to {one.name}")
        doors = standby.doors(one.branch)
        document = standby.prove_identity(one, doors.direct)
        fallen = anomaly.remark(one.backup, (other.backup for other in standby.backups()))
    age = handover.age_in_words(one.age(now))
    outputs = handover.plain(one, now) | handover.connection(doors)
    notes = [fallen] if fallen else []
    if not one.backup.healthy:
        notes.append(f"The last drill of {one.name} failed: its data may be wrong.")
    if in_force is not None:
        notes.append(f"A failover is in force: {in_force.name} takes the traffic (--backup failover).")
    return Outcome(
        operation="resolve",
        verdict="degraded" if fallen or not one.backup.healthy else "ok",
        headline=f"{one.name}: switching to it now loses {age} of changes.",
        facts=(
            ("Backup", one.name),
            ("Snapshot of the primary", outputs["snapshot-time"]),
            ("You will lose", age),
            ("Drill", outputs["drill-verdict"]),
            *((("Anomaly", one.backup.anomaly),) if fallen else ()),
            ("Tables", str(len(document["tables"]))),
            ("Rows", str(sum(table["rows"] for table in document["tables"]))),
            ("Direct", outputs["connection-uri-without-password"]),
            ("Pooled", doors.for_application(doors.pooled).without_password()),
        ),
        notes=tuple(notes),
        outputs=outputs,
        secrets=handover.secret(doors),
        report={"manifest": document},
    )


def _check_age(one: StandingBackup, settings: Settings, seconds: float) -> None:
    if settings.max_age is not None and seconds > settings.max_age.total_seconds():
        raise Refused(
            f"{one.name} is {handover.age_in_words(seconds)} old, more than max-age allows.",
            remedy="Make a new backup, raise --max-age, or leave it out to take what there is.",
        )
