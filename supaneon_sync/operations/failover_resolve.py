"""The URIs of a failover branch, minted in the job that needs them."""

from __future__ import annotations

from supaneon_sync.errors import Refused
from supaneon_sync.neon_client import Branch
from supaneon_sync.operations import failover_state, handover
from supaneon_sync.operations.failover_making import as_role, prove
from supaneon_sync.operations.standby import Standby
from supaneon_sync.policy import names
from supaneon_sync.postgres import serving
from supaneon_sync.report.outcome import Outcome


def is_meant(wanted: str | None) -> bool:
    """Say whether ``--backup`` names a failover: the word ``failover``, or a failover branch's name."""
    return wanted is not None and (wanted == "failover" or names.failover_moment(wanted) is not None)


def resolve(standby: Standby) -> Outcome:
    """Return the way to the failover that is in force, for its owner or for ``--role``.

    Raises Refused where none is in force, where it is another one than was named, where it is not ready
    yet, and where the role cannot log in there.
    """
    branches = standby.branches()
    branch = _in_force(standby, branches)
    standby.run.progress.step(f"Prove that the URI leads to {branch.name}")
    source = failover_state.parent_of(standby, branch, branches)
    owner = standby.doors(branch)
    prove(standby, source, branch, owner.direct)
    role = standby.settings.role
    way = owner if role is None else as_role(standby, branch, owner, role)
    if role is not None:
        with standby.connect(owner.direct, "role") as session:
            known = serving.login_role(session, role)
        if known is None or not known.can_login:
            raise Refused(
                f"The role {role} cannot log in on {branch.name}.",
                remedy=f"Let it: supaneon-sync failover --yes --role {role}",
            )
    told = handover.plain(source, standby.run.clock())
    outputs = handover.connection(way) | {
        "branch-name": branch.name,
        "branch-id": branch.id,
        **{name: told[name] for name in ("snapshot-time", "age-seconds", "drill-verdict")},
    }
    return Outcome(
        operation="resolve",
        verdict="ok",
        headline=f"{branch.name} takes the application's traffic.",
        facts=(
            ("Failover branch", branch.name),
            ("Cut from", source.name),
            ("Role", way.direct.user),
            ("Direct", outputs["connection-uri-without-password"]),
            ("Pooled", way.for_application(way.pooled).without_password()),
        ),
        outputs=outputs,
        secrets=handover.secret(way),
        report={"branch": branch.name, "backup": source.name},
    )


def _in_force(standby: Standby, branches: list[Branch]) -> Branch:
    branch, wanted = failover_state.in_force(standby, branches), standby.settings.backup
    if branch is None or wanted not in ("failover", branch.name):
        there = f"{branch.name} is" if branch else "none is"
        raise Refused(
            f"The failover {wanted} is not in force; {there}."
            if wanted != "failover"
            else "No failover is in force.",
            remedy="See supaneon-sync list. To call one: supaneon-sync failover",
        )
    if branch.name == names.STARTING_FAILOVER:
        raise Refused(
            f"{branch.name} is not ready: the call that made it did not end.",
            remedy="Run supaneon-sync failover --yes again; it goes on from where it was.",
        )
    return branch
