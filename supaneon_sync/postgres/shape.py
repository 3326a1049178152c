"""The shape of a database, read from its catalogs: one query a kind, free of OIDs, definitions as digests.

Members of extensions are told by their extension's version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from supaneon_sync.policy.shape import Facts, Shape
from supaneon_sync.postgres.session import Session

_USER = "n.nspname <> 'information_schema' AND n.nspname !~ '^pg_(catalog|toast|temp_|toast_temp_)'"


def _own(catalog: str, oid: str) -> str:
    return (
        f"NOT EXISTS (SELECT FROM pg_depend m WHERE m.deptype = 'e' AND m.classid = '{catalog}'::regclass"
        f" AND m.objid = {oid})"
    )


def _digest(text: str) -> str:
    return f"encode(sha256(convert_to(coalesce({text}, ''), 'UTF8')), 'hex')"


_OWN_TABLE = f"{_USER} AND {_own('pg_class', 'c.oid')}"

_SCHEMAS = f"""
SELECT format('%I', n.nspname), jsonb_build_object('owner', pg_get_userbyid(n.nspowner))
FROM pg_namespace n WHERE {_USER} AND {_own("pg_namespace", "n.oid")}
"""
_EXTENSIONS = """
SELECT format('%I', e.extname), jsonb_build_object('version', e.extversion, 'schema', n.nspname)
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
"""
_RELATIONS = f"""
SELECT format('%I.%I', n.nspname, c.relname), jsonb_build_object(
         'kind', c.relkind::text, 'persistence', c.relpersistence::text, 'owner', pg_get_userbyid(c.relowner),
         'row security', c.relrowsecurity, 'forced row security', c.relforcerowsecurity,
         'populated', c.relispopulated, 'replica identity', c.relreplident::text,
         'definition', {
    _digest(
        "concat_ws('; ', a.columns, array_to_string(c.reloptions, ','), q.numbers, p.parents,"
        " pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid),"
        " CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END)"
    )
})
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
  SELECT string_agg(concat_ws(' ', format('%I', t.attname), format_type(t.atttypid, t.atttypmod),
           t.attcollation::regcollation::text, t.attnotnull, t.attidentity::text, t.attgenerated::text,
           pg_get_expr(d.adbin, d.adrelid)), '; ' ORDER BY t.attnum) AS columns
  FROM pg_attribute t LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (t.attrelid, t.attnum)
  WHERE t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped) a ON true
LEFT JOIN LATERAL (
  SELECT concat_ws(' ', format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax,
           s.seqcache, s.seqcycle) AS numbers
  FROM pg_sequence s WHERE s.seqrelid = c.oid) q ON true
LEFT JOIN LATERAL (
  SELECT string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno) AS parents
  FROM pg_inherits i WHERE i.inhrelid = c.oid) p ON true
WHERE c.relkind IN ('r', 'p', 'S', 'v', 'm', 'f', 'c') AND {_OWN_TABLE}
"""
_INDEXES = f"""
SELECT format('%I.%I', n.nspname, x.relname), jsonb_build_object(
         'table', c.oid::regclass::text, 'valid', i.indisvalid, 'ready', i.indisready, 'live', i.indislive,
         'replica identity', i.indisreplident, 'definition', {_digest("pg_get_indexdef(x.oid)")})
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OWN_TABLE}
"""
_CONSTRAINTS = f"""
SELECT format('%I on %s', k.conname, coalesce(c.oid::regclass::text, format_type(k.contypid, NULL))),
       jsonb_build_object('type', k.contype::text, 'validated', k.convalidated,
         'deferrable', k.condeferrable, 'deferred', k.condeferred,
         'triggers', (SELECT string_agg(DISTINCT t.tgenabled::text, ',') FROM pg_trigger t
                      WHERE t.tgconstraint = k.oid),
         'definition', {_digest("pg_get_constraintdef(k.oid)")})
FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace LEFT JOIN pg_class c ON c.oid = k.conrelid
WHERE {_USER} AND k.contype <> 't' AND (c.oid IS NULL OR {_own("pg_class", "c.oid")})
  AND {_own("pg_type", "k.contypid")}
"""
_TRIGGERS = f"""
SELECT format('%I on %s', t.tgname, c.oid::regclass),
       jsonb_build_object('enabled', t.tgenabled::text, 'definition', {_digest("pg_get_triggerdef(t.oid)")})
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal AND {_OWN_TABLE}
"""
_RULES = f"""
SELECT format('%I on %s', r.rulename, c.oid::regclass),
       jsonb_build_object('enabled', r.ev_enabled::text, 'definition', {_digest("pg_get_ruledef(r.oid)")})
FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE r.rulename <> '_RETURN' AND {_OWN_TABLE}
"""
_POLICIES = f"""
SELECT format('%I on %s', p.polname, c.oid::regclass), jsonb_build_object(
         'command', p.polcmd::text, 'permissive', p.polpermissive,
         'roles', (SELECT string_agg(coalesce(r.rolname, 'public'), ', ' ORDER BY r.rolname)
                   FROM unnest(p.polroles) AS o (oid) LEFT JOIN pg_roles r ON r.oid = o.oid),
         'definition', {
    _digest(
        "concat_ws(' / ', coalesce(pg_get_expr(p.polqual, p.polrelid), '-'),"
        " coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '-'))"
    )
})
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE {_OWN_TABLE}
"""
_FUNCTIONS = f"""
SELECT p.oid::regprocedure::text, jsonb_build_object(
         'kind', p.prokind::text, 'runs as its owner', p.prosecdef, 'owner', pg_get_userbyid(p.proowner),
         'definition', {
    _digest(
        "CASE p.prokind WHEN 'a' THEN (SELECT concat_ws(' ', g.aggtransfn::text, g.aggfinalfn::text,"
        " format_type(g.aggtranstype, NULL), g.agginitval) FROM pg_aggregate g WHERE g.aggfnoid = p.oid)"
        " ELSE pg_get_functiondef(p.oid) END"
    )
})
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_USER} AND {_own("pg_proc", "p.oid")}
"""
_TYPES = f"""
SELECT format('%I.%I', n.nspname, t.typname), jsonb_build_object('kind', t.typtype::text, 'definition', {
    _digest(
        "concat_ws(' ', format_type(nullif(t.typbasetype, 0), t.typtypmod), t.typnotnull, t.typdefault,"
        " (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)"
        "  FROM pg_enum e WHERE e.enumtypid = t.oid),"
        " (SELECT format_type(r.rngsubtype, NULL) FROM pg_range r WHERE r.rngtypid = t.oid))"
    )
})
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE t.typtype IN ('e', 'd', 'r', 'm') AND {_USER} AND {_own("pg_type", "t.oid")}
"""
_GRANTS = f"""
WITH object (name, owner, acl) AS (
  SELECT format('%s %I.%I', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname),
         c.relowner, c.relacl
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'S', 'v', 'm', 'f') AND {_OWN_TABLE}
  UNION ALL
  SELECT format('COLUMN %I.%I.%I', n.nspname, c.relname, a.attname), c.relowner, a.attacl
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE a.attnum > 0 AND NOT a.attisdropped AND {_OWN_TABLE}
  UNION ALL
  SELECT format('ROUTINE %s', p.oid::regprocedure), p.proowner,
         coalesce(p.proacl, acldefault('f', p.proowner))
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_USER} AND {_own("pg_proc", "p.oid")}
  UNION ALL
  SELECT format('TYPE %I.%I', n.nspname, t.typname), t.typowner, t.typacl
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE {_USER} AND {_own("pg_type", "t.oid")}
  UNION ALL
  SELECT format('SCHEMA %I', n.nspname), n.nspowner, n.nspacl
  FROM pg_namespace n WHERE {_USER} AND {_own("pg_namespace", "n.oid")}
)
SELECT format('%s to %s%s', o.name, coalesce(quote_ident(r.rolname), 'PUBLIC'),
              CASE WHEN x.is_grantable THEN ', with the right to pass it on' ELSE '' END),
       jsonb_build_object('privileges', string_agg(x.privilege_type, ', ' ORDER BY x.privilege_type))
FROM object o CROSS JOIN LATERAL aclexplode(o.acl) x LEFT JOIN pg_roles r ON r.oid = x.grantee
WHERE x.grantee <> o.owner GROUP BY 1
"""
_ROLES = """
SELECT format('%%I', r.rolname), jsonb_build_object(
         'can log in', r.rolcanlogin, 'inherits', r.rolinherit, 'bypasses row security', r.rolbypassrls,
         'superuser', r.rolsuper,
         'member of', (SELECT string_agg(DISTINCT g.rolname, ', ') FROM pg_auth_members m
                       JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid))
FROM pg_roles r WHERE r.rolname = ANY (%s)
"""

_QUERIES = {
    "schema": _SCHEMAS,
    "extension": _EXTENSIONS,
    "relation": _RELATIONS,
    "index": _INDEXES,
    "constraint": _CONSTRAINTS,
    "trigger": _TRIGGERS,
    "rule": _RULES,
    "policy": _POLICIES,
    "function": _FUNCTIONS,
    "type": _TYPES,
    "grant": _GRANTS,
}
_ALL = " UNION ALL ".join(
    f"SELECT '{kind}', q.* FROM ({text}) AS q (name, facts)" for kind, text in _QUERIES.items()
)


def queries() -> dict[str, str]:
    """Return a digest of each kind's query: facts that another version asked for are not comparable."""
    texts = _QUERIES | {"role": _ROLES}
    return {kind: hashlib.sha256(text.encode()).hexdigest()[:16] for kind, text in texts.items()}


def asked_alike(recorded: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the kinds that can be compared with a manifest's ``shape_queries``, and those that cannot."""
    now = queries()
    same = [kind for kind in now if recorded.get(kind) == now[kind]]
    return same, sorted(now.keys() - set(same))


def read(session: Session, roles: Sequence[str]) -> Shape:
    """Return the shape of the session's database. ``roles`` are the roles that count.

    Raises NeonError when a catalog cannot be read.
    """
    kinds: dict[str, dict[str, Facts]] = {kind: {} for kind in _QUERIES}
    for kind, name, facts in session.query(_ALL):
        kinds[kind][name] = facts
    kinds["role"] = dict(map(_pair, session.query(_ROLES, (list(roles),))))
    return Shape(kinds)


def _pair(row: tuple[Any, ...]) -> tuple[str, Facts]:
    return row[0], row[1]
