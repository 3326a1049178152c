"""The doctor's rules about the primary as a server: can it be reached, trusted, and read for long?"""

from __future__ import annotations

from supaneon_sync.errors import ConfigError, PrimaryError
from supaneon_sync.policy.examined import Door, Primary, Seen
from supaneon_sync.policy.findings import (
    Finding,
    counted,
    failed,
    in_bytes,
    of_error,
    ok,
    skipped,
    some,
    warning,
)

_SESSION_POOLER = (
    "Take the session pooler's string (….pooler.supabase.com, port 5432) from Supabase's Connect dialog."
)
_MANY_LOCKS = 0.7


def primary_of(seen: Seen) -> Primary:
    """Return the primary that a check needs; `judge` skips the check where it was not reached."""
    if seen.primary is None:
        raise ConfigError("a check of the primary needs the primary")
    return seen.primary


def connection_string(seen: Seen) -> Finding:
    """SUPABASE_DATABASE_URL is one that can be trusted: session mode, TLS, a certificate that is there."""
    if "door" in seen.troubles:
        return of_error(seen.troubles["door"])
    if seen.door is None:
        return skipped("SUPABASE_DATABASE_URL is not set; only backup needs it")
    door = seen.door
    return ok(f"{door.host}:{door.port}, role {door.user}, sslmode {door.sslmode}")


def address(seen: Seen) -> Finding:
    """The host has an address that GitHub's runners can reach."""
    door = _door(seen)
    if door.families == {"IPv6"}:
        return warning(
            f"{door.host} has IPv6 addresses alone; GitHub's hosted runners have no IPv6",
            f"For runs there, set SUPABASE_DATABASE_URL to the session pooler. {_SESSION_POOLER}",
        )
    kinds = " and ".join(sorted(door.families)) or "this machine, or an address of its own"
    return ok(f"{door.host}: {kinds}")


def reachable(seen: Seen) -> Finding:
    """A session can be opened."""
    if "primary" in seen.troubles:
        return of_error(seen.troubles["primary"])
    if seen.primary is None:
        return skipped("the primary's connection string cannot be used")
    one = seen.primary
    return ok(f"PostgreSQL {one.version}, database {one.database}, {in_bytes(one.size)}")


def tls(seen: Seen) -> Finding:
    """The connection is encrypted, and the server is who it says it is."""
    door, one = _door(seen), primary_of(seen)
    if not one.tls:
        return warning(
            "the connection is not encrypted (this machine alone)",
            "Use sslmode=require in SUPABASE_DATABASE_URL, and leave --insecure-loopback out.",
        )
    if door.sslmode == "verify-full":
        return ok(f"{one.tls}, certificate and host name verified")
    return warning(
        f"{one.tls}, encrypted, but sslmode={door.sslmode} does not check who answers",
        "Download prod-ca-2021.crt (dashboard, Database settings, SSL) and set SUPABASE_CA_FILE to it.",
    )


def session_mode(seen: Seen) -> Finding:
    """Sessions stay what they are between transactions: no transaction pooler in the way."""
    one = primary_of(seen).sticking
    if one.moved:
        return failed(
            PrimaryError,
            f"a transaction pooler stands in the way: {'; '.join(one.moved)}",
            "A copy read through it can be wrong without any error. In SUPABASE_DATABASE_URL use the direct "
            f"host, or session mode. {_SESSION_POOLER}",
        )
    if one.opened < 2:
        return skipped("only one session could be opened")
    return ok(f"{one.opened} sessions open at once, each kept its own backend and settings")


def connections(seen: Seen) -> Finding:
    """There is room for the run's connections: one a job, the snapshot's and pg_dump's."""
    one, jobs = primary_of(seen), seen.wanted.jobs
    limit = one.reader.connection_limit
    if one.sticking.refusal is not None:
        fit = max(one.sticking.opened - 2, 0)
        remedy = f"Set jobs to {fit} (--jobs {fit})" if fit else "Free connections"
        return failed(
            PrimaryError,
            f"{one.sticking.opened} of {one.sticking.wanted} sessions could be opened "
            f"({one.sticking.refusal.message})",
            f"{remedy}, or raise the pool size (dashboard, Database settings, Connection pooling)"
            + (f" or the role's CONNECTION LIMIT of {limit}." if limit >= 0 else "."),
            sql=(f"ALTER ROLE {one.reader.name} CONNECTION LIMIT {jobs + 2};",)
            if 0 <= limit < jobs + 2
            else (),
        )
    return ok(f"{one.sticking.opened} at once, as a run with jobs={jobs} needs")


def recovery(seen: Seen) -> Finding:
    """The primary is the primary, and neither a replica nor shut for writing."""
    one = primary_of(seen)
    if one.in_recovery:
        lag = "" if one.lag is None else f", {one.lag:.0f} s behind"
        return warning(
            f"this is a read replica{lag}: it cancels long reads, and its sequences may lag",
            "Point SUPABASE_DATABASE_URL at the primary itself.",
        )
    if one.read_only:
        return warning(
            "the database is in read-only mode (on Supabase: the disk is full)",
            "A backup works. Free or enlarge the primary's disk: the application cannot write.",
        )
    return ok("it takes writes")


def timeouts(seen: Seen) -> Finding:
    """No time limit of the server ends a long read: our sessions switch each off, and it stays off."""
    one = primary_of(seen)
    left = {name: ours for name, (_, ours) in one.timeouts.items() if ours}
    if left:
        told = ", ".join(f"{name} = {value} ms" for name, value in sorted(left.items()))
        return failed(
            PrimaryError,
            f"our sessions could not switch off {told}",
            "Let the role have none, and connect without a transaction pooler.",
            sql=[f"ALTER ROLE {one.reader.name} SET {name} = 0;" for name in sorted(left)],
        )
    own = ", ".join(
        f"{name} {value / 1000:g} s" for name, (value, _) in sorted(one.timeouts.items()) if value
    )
    return ok(f"off in our sessions (the role's own: {own or 'none'})")


def encoding(seen: Seen) -> Finding:
    """Text can be copied without loss."""
    name = primary_of(seen).encoding
    if name == "UTF8":
        return ok("UTF8")
    return failed(
        PrimaryError,
        f"the database's encoding is {name}",
        "Only UTF8 can be copied. Move the data to a UTF8 one.",
    )


def reading(seen: Seen) -> Finding:
    """How much a run reads, and whether the server can lock so many tables at once."""
    one = primary_of(seen).contents
    volume = f"about {in_bytes(one.pages * 8192)} in {counted(one.tables, 'table')} a run"
    if one.tables > one.lock_capacity * _MANY_LOCKS:
        return warning(
            f"{volume}; pg_dump locks every table in one transaction, and the server has room for"
            f" {one.lock_capacity} locks",
            "Raise max_locks_per_transaction (supabase postgres-config update), or merge tables.",
        )
    return ok(f"{volume} (as of the last ANALYZE)")


def activity(seen: Seen) -> Finding:
    """Nobody holds tables locked, or a transaction open for long."""
    one, patience = primary_of(seen).activity, seen.wanted.lock_wait.total_seconds()
    parts = []
    if one.locked:
        parts.append("locked by a migration: " + some([f"{name}{_for(age)}" for name, age in one.locked]))
    if one.waiting:
        parts.append(f"{counted(one.waiting, 'session')} waiting for a lock")
    if one.long_transactions:
        told = [f"pid {pid} of {who}{_for(age)}" for pid, who, age in one.long_transactions]
        parts.append("long transactions: " + some(told, 3))
    if one.prepared:
        parts.append(
            "prepared transactions: " + some([f"{gid!r}{_for(age)}" for gid, age in one.prepared], 3)
        )
    hidden = f" ({counted(one.hidden, 'session')} of other roles not shown to this one)" if one.hidden else ""
    if not parts:
        return ok(f"no table locked, nobody waiting, no long transaction{hidden}")
    return warning(
        "; ".join(parts) + hidden,
        f"A run waits {patience:.0f} s for a locked table (--lock-wait), then stops. Let the migration end;"
        " end transactions that nobody needs.",
    )


def _for(seconds: float | None) -> str:
    return "" if seconds is None else f" for {seconds:.0f} s"


def _door(seen: Seen) -> Door:
    if seen.door is None:
        raise ConfigError("a check of the connection string needs one")
    return seen.door
