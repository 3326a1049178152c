"""The doctor's rules about what is in the primary: what will not be, or will not work, on the copy."""

from __future__ import annotations

from supaneon_sync.errors import Refused
from supaneon_sync.policy.examined import Compute, Contents, Seen
from supaneon_sync.policy.findings import Finding, counted, failed, ok, some, warning

_PLATFORM_EXTENSIONS = frozenset({"pg_net", "supabase_vault", "pgsodium", "pg_graphql", "plpgsql"})
"""Supabase's own machinery: that it stays behind needs no warning."""


def _contents(seen: Seen) -> Contents:
    if seen.primary is None:
        raise ValueError("a check of the primary's contents needs the primary")
    return seen.primary.contents


def version(seen: Seen) -> Finding:
    """The target is not older than the primary."""
    source, target = _major(seen), _compute(seen).target.major
    if target < source:
        return failed(
            Refused,
            f"the primary runs PostgreSQL {source}, the standby project {target}: a copy cannot go back",
            f"Make a Neon project of PostgreSQL {source} or newer and set NEON_PROJECT_ID to it.",
        )
    if source < 15:
        return warning(f"PostgreSQL {source} to {target}", "Tested are primaries from 15 to 18: upgrade it.")
    return ok(f"PostgreSQL {source} to {target}")


def _major(seen: Seen) -> int:
    return seen.primary.major if seen.primary else 0


def _compute(seen: Seen) -> Compute:
    if seen.compute is None:
        raise ValueError("a check of the target needs the target")
    return seen.compute


def extensions(seen: Seen) -> Finding:
    """Every extension of the primary can be had on the target, or nothing with rows needs it."""
    contents, target = _contents(seen), _compute(seen).target
    missing = sorted(set(contents.extensions) - target.extensions)
    needed = [name for name in missing if contents.needing.get(name)]
    if needed:
        named = "; ".join(f"{name} (needed by {some(contents.needing[name], 3)})" for name in needed)
        return failed(
            Refused,
            f"the target does not offer {named}",
            "Ask Neon for the extension, choose a target major that has it, or drop what needs it: a copy "
            "without it would be none.",
            details=[f"{name}: {what}" for name in needed for what in contents.needing[name]],
        )
    told = [name for name in missing if name not in _PLATFORM_EXTENSIONS]
    if told:
        return warning(
            f"left out, since the target does not offer them: {', '.join(told)}",
            "No table or index needs them. See that the application can do without, should it fail over.",
        )
    rest = f"; left out as the platform's own: {', '.join(missing)}" if missing else ""
    return ok(f"all {len(contents.extensions) - len(missing)} are offered{rest}")


def triggers(seen: Seen) -> Finding:
    """No trigger calls what the copy will not have."""
    one = _contents(seen)
    if one.webhooks:
        return warning(
            f"{counted(len(one.webhooks), 'webhook trigger')} left out: {some(one.webhooks)}",
            "The copy calls nobody. After a failover, send these notifications in another way.",
            details=one.webhooks,
        )
    return ok("no webhook triggers")


def functions(seen: Seen) -> Finding:
    """No function's body names platform schemas that the copy will not have."""
    one = _contents(seen)
    if not one.calling:
        return ok("none names net, vault, pgmq, pgsodium, supabase_functions or cron")
    tables = sorted({table for table, _ in one.calling_triggers})
    broken = f"; writes to {some(tables)} fail there, since their triggers call them" if tables else ""
    return warning(
        f"bodies that name what the copy does not have: "
        f"{some([f'{name} ({words})' for name, words in one.calling.items()])}{broken}",
        "They are copied as they are and fail when called there. Catch the missing schema in them, or drop "
        "these triggers after a failover.",
        details=[f"{name}: {words}" for name, words in one.calling.items()],
    )


def search_path(seen: Seen) -> Finding:
    """No index, check, generated column or materialized view uses a function that needs a search_path."""
    found = _contents(seen).wandering
    if not found:
        return ok("no index, check or materialized view depends on it")
    paths = {one.name: one.path for one in found}
    return warning(
        "functions that leave names to the search_path while a copy is made: "
        + some([f"{one.name} (used by {one.used_by}; names {one.names})" for one in found], 3),
        "A restore runs them with an empty search_path and they fail. Give each its own, on the primary:",
        sql=[f"ALTER FUNCTION {name} SET search_path = {path};" for name, path in sorted(paths.items())],
        details=[f"{one.name}: used by {one.used_by}, names {one.names}" for one in found],
    )


def unmoved(seen: Seen) -> Finding:
    """What stays behind by its nature, by name."""
    found = _contents(seen).unmoved
    if not found:
        return ok("no event triggers, publications, foreign servers or cron jobs of yours")
    told = "; ".join(
        f"{kind if len(names) == 1 else kind + 's'} {some(names)}" for kind, names in found.items()
    )
    return warning(
        f"not copied: {told}",
        "A copy must not act by itself. After a failover make anew what the application needs of it.",
        details=[f"{kind} {name}" for kind, names in found.items() for name in names],
    )
