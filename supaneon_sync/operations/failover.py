"""The night the primary is down: a branch of the newest healthy backup that takes the traffic."""

from __future__ import annotations

from dataclasses import replace

from supaneon_sync.errors import ConfigError, SupaneonError
from supaneon_sync.neon_client import Branch
from supaneon_sync.operations import failover_state, handover
from supaneon_sync.operations.failover_branch import Cutting, Order, followed
from supaneon_sync.operations.failover_diff import diff
from supaneon_sync.operations.failover_end import end
from supaneon_sync.operations.failover_making import Making, Served
from supaneon_sync.operations.failover_rehearsal import rehearse
from supaneon_sync.operations.failover_report import planned, served, warnings
from supaneon_sync.operations.failover_state import Ledger
from supaneon_sync.operations.standby import Standby, opened
from supaneon_sync.operations.standing import StandingBackup, impostors
from supaneon_sync.policy import failover as policy
from supaneon_sync.postgres import conninfo, serving, session
from supaneon_sync.postgres.failures import Side
from supaneon_sync.report import ledger
from supaneon_sync.report.outcome import Outcome
from supaneon_sync.run import Run
from supaneon_sync.settings import Settings


def failover(settings: Settings, run: Run) -> Outcome:
    """Make a failover branch that takes traffic, or find the one that is in force; ``--plan`` only tells.

    Also ``--end``, ``--diff``, ``--rehearse``. Needs neither the primary, nor the mirror's compute, nor
    the ledger. Raises Refused where no backup is fit, QuotaError at a limit, NeonError where Neon does
    not get through; called again, it goes on from where it was.
    """
    began = run.monotonic()
    _check(settings)
    only_plan = settings.plan or settings.dry_run or not settings.yes
    with opened(settings, run) as standby:
        if settings.diff:
            return diff(standby)
        if settings.end:
            return end(standby, only_plan=only_plan)
        branches = standby.branches()
        book = Ledger(standby)
        there = None if settings.rehearse else failover_state.in_force(standby, branches)
        if there is None:
            order = Order(choose(standby, book, branches))
        else:
            order = followed(standby, there, Order(failover_state.parent_of(standby, there, branches)))
        _announce(standby, order.source)
        if only_plan:
            return planned(standby, order, there, book.note)
        if settings.rehearse:
            return rehearse(standby, order, book, began)
        return _do(standby, Cutting(standby, order, there), book, began)


def choose(standby: Standby, book: Ledger, branches: list[Branch]) -> StandingBackup:
    """Return the backup to fail over to, judged by the ledger where it can be had."""
    there = standby.judged(book.rows(), branches)
    chosen = policy.choose([one.backup for one in there], standby.settings.backup, dict(impostors(branches)))
    return next(one for one in there if one.backup == chosen)


def _check(settings: Settings) -> None:
    modes = [name for name in ("end", "diff", "rehearse") if getattr(settings, name)]
    if len(modes) > 1:
        raise ConfigError(f"{' and '.join(modes)} cannot be done in one call.", remedy="Choose one of them.")
    if settings.min_cu > settings.max_cu:
        raise ConfigError("min-cu is larger than max-cu.", remedy="Raise max-cu, or lower min-cu.")


def _announce(standby: Standby, source: StandingBackup) -> None:
    run = standby.run
    age = handover.age_in_words(source.age(run.clock()))
    run.progress.note(
        f"{source.name} holds the primary as it was at {source.backup.moment:%Y-%m-%d %H:%M:%S} UTC. "
        f"You will lose what was written in the {age} since."
    )
    for text in warnings(standby, source):
        run.progress.warning(text)


def _do(standby: Standby, cutting: Cutting, book: Ledger, began: float) -> Outcome:
    run = standby.run
    found = cutting.branch is not None and not cutting.starting
    fenced = _fence(standby) if standby.settings.fence_primary else ()
    done = Making(cutting).serve()
    seconds = run.monotonic() - began
    _record(book, done, seconds, again=found)
    done = replace(done, notes=(*fenced, *done.notes, *book.note))
    return served(standby, done, seconds, again=found)


def _record(book: Ledger, done: Served, seconds: float, *, again: bool) -> None:
    book.record(
        ledger.FAILOVER,
        done.branch.name,
        "found in force" if again else "in force",
        {
            "backup": done.source.name,
            "branch": done.branch.id,
            "role": done.application.direct.user,
            "seconds": round(seconds, 3),
            "steps": {step: round(took, 3) for step, took in done.seconds.items()},
        },
    )


def _fence(standby: Standby) -> tuple[str, ...]:
    """Make the primary read-only because somebody asked for it; say what came of it, and the way back.

    A primary that cannot be reached is what a failover is for, so that is no reason to stop.
    """
    settings, run = standby.settings, standby.run
    run.progress.step("Make the primary read-only")
    if settings.supabase_database_url is None:
        return ("The primary was NOT made read-only: SUPABASE_DATABASE_URL is missing or malformed.",)
    try:
        door = conninfo.primary(
            settings.supabase_database_url,
            ca_file=settings.supabase_ca_file,
            insecure_loopback=settings.insecure_loopback,
        )
        quick = replace(door, options=dict(door.options) | {"connect_timeout": "5"})
        with session.connect(quick, Side.PRIMARY, purpose="fence", stop=run.stop) as primary:
            name = serving.make_read_only(primary)
    except SupaneonError as error:
        run.stop.check()
        return (f"The primary was NOT made read-only: {error.message}",)
    return (
        (
            f"New sessions on the primary's database {name} are read-only by default; open ones are not. "
            f'To undo it there: ALTER DATABASE "{name}" RESET default_transaction_read_only;'
        ),
    )
