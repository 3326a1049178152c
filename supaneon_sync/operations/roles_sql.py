"""The SQL for the two roles of the runbook, right for the servers at hand, for people or for psql."""

from __future__ import annotations

from supaneon_sync.errors import SupaneonError
from supaneon_sync.operations.examining import standby_major
from supaneon_sync.policy import role_scripts
from supaneon_sync.postgres import conninfo, session
from supaneon_sync.postgres.failures import Side
from supaneon_sync.report.outcome import Outcome
from supaneon_sync.run import Run
from supaneon_sync.settings import Settings


def roles_sql(settings: Settings, run: Run) -> Outcome:
    """Print the SQL for ``backup_user`` (the primary) and ``restore_user`` (Neon), or for one side.

    Servers that the settings name are asked for their version; where one is not reached the SQL holds
    what is right for every version. Nothing is changed. Raises Cancelled alone.
    """
    parts, majors = [], {}
    if settings.side in (None, "primary"):
        majors["primary"] = _primary_major(settings, run)
        parts.append(role_scripts.backup_user(majors["primary"]))
    if settings.side in (None, "neon"):
        majors["neon"] = standby_major(settings, run)
        parts.append(role_scripts.restore_user(majors["neon"]))
    return Outcome(
        operation="roles-sql",
        verdict="ok",
        headline="SQL for the roles that back up and restore.",
        report={"sql": parts, "majors": majors},
        script="\n\n".join(parts).rstrip("\n"),
    )


def _primary_major(settings: Settings, run: Run) -> int | None:
    if settings.supabase_database_url is None:
        return None
    try:
        where = conninfo.primary(
            settings.supabase_database_url,
            ca_file=settings.supabase_ca_file,
            insecure_loopback=settings.insecure_loopback,
        )
        with session.connect(where, Side.PRIMARY, purpose="roles", stop=run.stop) as opened:
            return opened.connection.server_version // 10000
    except SupaneonError as error:
        run.stop.check()
        run.progress.note(f"The primary was not asked for its version: {error.message}")
        return None
