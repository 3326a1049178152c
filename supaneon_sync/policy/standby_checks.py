"""The doctor's rules about the standby side: key, project, limits, mirror, compute, clients."""

from __future__ import annotations

from supaneon_sync.errors import ConfigError, NeonError, QuotaError, Refused
from supaneon_sync.policy import allowance, names
from supaneon_sync.policy.examined import Compute, Project, Seen
from supaneon_sync.policy.findings import Finding, failed, in_bytes, of_error, ok, skipped, some, warning

_KEY_KINDS = {
    "api_key_user": "a personal key",
    "api_key_org": "an organization's or a project's key",
    "oauth": "an OAuth token",
}
_NARROW_KEY = "A key of this project alone is best (Neon console, organization settings, API keys)."
_RESERVE = 2
_NEARLY_FULL = 0.8
MAJORS = (15, 16, 17, 18)


def clients(seen: Seen) -> Finding:
    """PostgreSQL's client programs are there: the target's own major above all."""
    there = ", ".join(seen.clients.values()) or "none"
    wanted = seen.compute.target.major if seen.compute else seen.project.major if seen.project else None
    if wanted is not None and wanted not in seen.clients:
        return failed(
            ConfigError,
            f"no pg_dump of PostgreSQL {wanted}, the target's major; found: {there}",
            f"Install postgresql-client-{wanted}, or point SUPANEON_CLIENTS at a directory that holds"
            f" {wanted}/bin/pg_dump. The image of this tool has all of them.",
        )
    if not seen.clients:
        return failed(
            ConfigError,
            "no pg_dump from 15 to 18 was found",
            "Install postgresql-client-17 (the target's major), or set SUPANEON_CLIENTS.",
        )
    chosen = f"; {seen.clients[wanted]} reads the schema" if wanted is not None else ""
    return ok(f"pg_dump {there}{chosen}")


def api(seen: Seen) -> Finding:
    """Neon's API answers, and the key is valid and no stronger than needed."""
    if "api" in seen.troubles:
        return of_error(seen.troubles["api"])
    if seen.project is None:
        return ok("the key is valid")
    kind = _KEY_KINDS.get(seen.project.key_kind, seen.project.key_kind or "a key")
    visible = seen.project.visible_projects
    if visible is not None and visible > 1:
        return warning(f"NEON_API_KEY is {kind} that reaches {visible} projects", _NARROW_KEY)
    if seen.project.key_kind == "api_key_user":
        return warning("NEON_API_KEY is a personal key: it can do all that its owner can", _NARROW_KEY)
    return ok(f"NEON_API_KEY is {kind}")


def project(seen: Seen) -> Finding:
    """The standby project is there."""
    if "project" in seen.troubles:
        return of_error(seen.troubles["project"])
    if seen.project is None:
        return skipped("Neon's API did not let us in")
    one = seen.project
    return ok(f"{one.id} ({one.name}), PostgreSQL {one.major or '?'}")


def access(seen: Seen) -> Finding:
    """Computes of the project can be reached from where runs happen."""
    one, reached = _project(seen), seen.compute is not None
    if one.blocks_public:
        remedy = (
            "Allow public connections in the project's network settings, or run inside its private network."
        )
        if reached:
            return warning("public connections are blocked; this machine is inside", remedy)
        return failed(NeonError, "the project blocks public connections", remedy)
    if one.allowed_addresses and not one.protected_addresses_only:
        told = f"the project's IP allow list ({some(one.allowed_addresses, 3)})"
        remedy = (
            "Hosted runners have no fixed addresses: run on one with a fixed address that is on the list, or "
            "restrict the list to protected branches (project settings, IP Allow)."
        )
        here = "lets this machine in, and may keep others out" if reached else "may keep runs out"
        return warning(f"{told} {here}", remedy)
    return ok("no IP allow list in the way, public connections allowed")


def branches(seen: Seen) -> Finding:
    """There is a branch left for the next backup and its drill."""
    one = _project(seen)
    limit, assumed = _limit(one)
    told = f"{one.branches} of {limit}{assumed}"
    prune = "Run supaneon-sync prune --yes, or delete branches nobody needs."
    if one.branches < limit:
        room = limit - one.branches
        if room >= _RESERVE:
            return ok(told)
        return warning(f"{told}: room for {room}, and a backup with its drill needs {_RESERVE}", prune)
    if seen.wanted.make_room:
        return warning(f"{told}: full; the next backup first removes what prune would (make-room)", prune)
    return warning(f"{told}: full", prune) if assumed else failed(QuotaError, f"{told}: full", prune)


def retention(seen: Seen) -> Finding:
    """The retention policy fits into the plan's allowance in the worst case."""
    if "retention" in seen.troubles:
        return of_error(seen.troubles["retention"])
    limit, assumed = _limit(_project(seen))
    fit = allowance.fits(seen.wanted.retention, limit)
    if fit.fits:
        return ok(fit.sentence)
    return warning(fit.sentence, f"Lower keep-last and its kin{assumed}, or raise the plan.")


def size(seen: Seen) -> Finding:
    """The primary fits into a branch."""
    one = _project(seen)
    if not one.size_limit:
        return ok("Neon names no limit of a branch's size")
    if seen.primary is None:
        return ok(f"a branch may hold {in_bytes(one.size_limit)}; the primary's size is not known")
    used = seen.primary.size / one.size_limit
    told = f"the primary is {in_bytes(seen.primary.size)}, a branch may hold {in_bytes(one.size_limit)}"
    remedy = "Raise the plan's storage, or exclude tables from the copy."
    if used > 1:
        return failed(QuotaError, told, remedy)
    return warning(f"{told}: {used:.0%}", remedy) if used > _NEARLY_FULL else ok(told)


def mirror(seen: Seen) -> Finding:
    """The mirror is ours and can be the parent of backups, or can be made."""
    one = _project(seen)
    there = one.mirror
    if there is None:
        return ok("not there yet; the first backup makes it")
    if not there.ours or there.default:
        return failed(
            Refused,
            f"the branch {names.MIRROR} was not made by this tool",
            "Rename it, or set NEON_PROJECT_ID to a project that holds nothing else. It is left untouched.",
        )
    if there.expires_at is not None:
        return failed(
            NeonError,
            f"{names.MIRROR} expires on {there.expires_at:%Y-%m-%d}, but a parent may not",
            "Take the expiry off it in the Neon console.",
        )
    if there.protected:
        evidence = f"{names.MIRROR} is protected: every backup then gets a password of its own"
        remedy = "Take the protection off it; protect single backups instead."
        if one.stores_passwords:
            return warning(evidence, remedy)
        return failed(NeonError, f"{evidence}, and the project does not store passwords", remedy)
    return ok(f"{names.MIRROR} is ours")


def compute(seen: Seen) -> Finding:
    """A compute lets our role in: the password is known, and nothing of somebody else's is in the way."""
    if "compute" in seen.troubles:
        return of_error(seen.troubles["compute"])
    if seen.compute is None:
        return skipped("the project has no compute yet to try")
    one = seen.compute
    if one.filled_by_others:
        return failed(
            Refused,
            f"database {seen.wanted.database} on {one.branch} holds objects, and no marker says: ours",
            "Use a project of its own (NEON_PROJECT_ID), or another database (NEON_DATABASE).",
        )
    if one.other_database:
        return failed(
            Refused,
            f"{one.branch} holds database {one.other_database}, NEON_DATABASE names {seen.wanted.database}",
            f"Set NEON_DATABASE={one.other_database}, or use another project.",
        )
    return ok(f"{one.branch}, PostgreSQL {one.target.major}, as {one.target.owner}")


def owner(seen: Seen) -> Finding:
    """The role may do what a backup does."""
    one = _compute(seen)
    lacking = [
        word
        for word, there in (("CREATEDB", one.may_create_databases), ("CREATEROLE", one.may_create_roles))
        if not there
    ]
    if lacking:
        able = "list and resolve work with the role as it is"
        if not one.reads_house:
            able = f"list and resolve work once this was run in database {names.HOUSE_DATABASE}"
        return failed(
            NeonError,
            f"{one.target.owner} lacks {' and '.join(lacking)}: backup cannot make databases and roles",
            f"Set NEON_DB_USER to neondb_owner (or a role made in the Neon console) for backup; {able}.",
            sql=() if one.reads_house else _house_grants(one),
        )
    if not one.reads_house:
        return failed(
            NeonError,
            f"{one.target.owner} cannot read the manifests in database {names.HOUSE_DATABASE}",
            "Set NEON_DB_USER to the role that made the backups, or run this in that database as that role.",
            sql=_house_grants(one),
        )
    if not one.target.can_create_bypassrls:
        return ok(
            f"{one.target.owner} may create databases and roles; on PostgreSQL {one.target.major} none that"
            " bypasses row security, so service_role reads on the copy only what policies allow"
        )
    return ok(f"{one.target.owner} may create databases and roles")


def _house_grants(one: Compute) -> tuple[str, ...]:
    return (
        f"GRANT USAGE ON SCHEMA supaneon TO {one.role};",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA supaneon TO {one.role};",
    )


def _limit(one: Project) -> tuple[int, str]:
    if one.branches_limit is not None and one.branches_limit > 0:
        return one.branches_limit, ""
    return allowance.FREE_BRANCHES, " (the free plan's number; Neon does not tell this project's)"


def _project(seen: Seen) -> Project:
    if seen.project is None:
        raise ValueError("a check of the project needs the project")
    return seen.project


def _compute(seen: Seen) -> Compute:
    if seen.compute is None:
        raise ValueError("a check of the compute needs one")
    return seen.compute
