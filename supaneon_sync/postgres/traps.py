"""Catalog facts behind the portability table's harder rows: what a plain restore would lose or break.

Everything here reads catalogs; nothing of anybody's tables, views or functions is run.
"""

from __future__ import annotations

from typing import Any

from supaneon_sync.policy.facts import Check, MemberTable, Routine, StoredSetting
from supaneon_sync.policy.platform import CUSTOMER, PLATFORM_PREFIXES, PLATFORM_ROLES, PLATFORM_SCHEMAS
from supaneon_sync.postgres.session import Session
from supaneon_sync.secret import Secret

USER_SCHEMA = "n.nspname <> 'information_schema' AND n.nspname !~ '^pg_(catalog|toast|temp_|toast_temp_)'"


def _listed(names: frozenset[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))


CUSTOM_ROLE = (
    f"NOT r.rolsuper AND r.rolname <> current_user AND r.rolname !~ '^({'|'.join(PLATFORM_PREFIXES)})'"
    f" AND r.rolname NOT IN ({_listed(PLATFORM_ROLES)})"
)
"""True of a role ``r`` that is the user's: neither the platform's nor the one that asks."""

_NO_MEMBER = """NOT EXISTS (SELECT FROM pg_depend m
  WHERE m.deptype = 'e' AND m.classid = '{}'::regclass AND m.objid = {})"""

# The functions that an expression calls stand in its stored tree; names and constants there are escaped, so
# that none of them can look like a call. A false alarm only moves a check behind the rows.
_CHECKS = f"""
SELECT CASE WHEN k.conrelid <> 0 THEN 1259 ELSE 1247 END,
       CASE WHEN k.conrelid <> 0 THEN k.conrelid ELSE k.contypid END,
       CASE WHEN k.conrelid <> 0 THEN format('TABLE %I.%I', n.nspname, c.relname)
            ELSE format('DOMAIN %I.%I', n.nspname, t.typname) END,
       n.nspname, coalesce(c.relname, t.typname), k.conname, pg_get_constraintdef(k.oid)
FROM pg_constraint k LEFT JOIN pg_class c ON c.oid = k.conrelid LEFT JOIN pg_type t ON t.oid = k.contypid
JOIN pg_namespace n ON n.oid = coalesce(c.relnamespace, t.typnamespace)
WHERE k.contype = 'c' AND k.convalidated AND (k.conislocal OR k.conrelid = 0) AND {USER_SCHEMA}
  AND c.relkind IS DISTINCT FROM 'f' AND {_NO_MEMBER.format("pg_constraint", "k.oid")}
  AND (k.conbin::text ~ '\\{{(SQLVALUEFUNCTION|COERCEVIAIO|NEXTVALUEEXPR) '
       OR EXISTS (
         SELECT FROM regexp_matches(k.conbin::text, ':(?:func|opfunc)id (\\d+)', 'g') AS called (ids)
         JOIN pg_proc p ON p.oid = called.ids[1]::oid
         WHERE p.provolatile <> 'i'
            OR p.oid >= 16384 AND {_NO_MEMBER.format("pg_proc", "p.oid")}))
ORDER BY (WITH RECURSIVE up (oid) AS (
            SELECT k.conrelid UNION ALL SELECT i.inhparent FROM up JOIN pg_inherits i ON i.inhrelid = up.oid)
          SELECT count(*) FROM up), k.conrelid, k.contypid, k.conname
"""

# From what a copy makes the server evaluate, along the catalogs' own dependencies, to functions.
_ROUTINES = f"""
WITH RECURSIVE begun (catalog, oid, lasting) AS (
  SELECT 2606::oid, k.oid, false FROM pg_constraint k WHERE k.contype = 'c' AND k.oid >= 16384
  UNION ALL SELECT 1259, i.indexrelid, true FROM pg_index i
  WHERE i.indexrelid >= 16384 AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL)
  UNION ALL SELECT 2604, d.oid, false FROM pg_attrdef d
  JOIN pg_attribute a ON (a.attrelid, a.attnum) = (d.adrelid, d.adnum) WHERE a.attgenerated <> ''
  UNION ALL SELECT 1259, p.partrelid, false FROM pg_partitioned_table p WHERE p.partexprs IS NOT NULL
  UNION ALL SELECT 2618, w.oid, true FROM pg_rewrite w
  JOIN pg_class c ON c.oid = w.ev_class WHERE c.relkind = 'm'
), edges (catalog, oid, next_catalog, next_oid) AS (
  SELECT classid, objid, refclassid, refobjid FROM pg_depend
  WHERE deptype IN ('n', 'a', 'i')
    AND refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_type'::regclass,
                       'pg_class'::regclass, 'pg_opclass'::regclass, 'pg_opfamily'::regclass)
  UNION ALL SELECT 1259, w.ev_class, 2618, w.oid FROM pg_rewrite w
  JOIN pg_class c ON c.oid = w.ev_class WHERE c.relkind IN ('v', 'm')
  UNION ALL SELECT 1247, k.contypid, 2606, k.oid FROM pg_constraint k WHERE k.contypid <> 0
  UNION ALL SELECT 2753, m.amprocfamily, 1255, m.amproc::oid FROM pg_amproc m WHERE m.amproc::oid >= 16384
), reached (catalog, oid, lasting) AS (
  SELECT * FROM begun
  UNION
  SELECT e.next_catalog, e.next_oid, r.lasting FROM reached r
  JOIN edges e ON (e.catalog, e.oid) = (r.catalog, r.oid)
  WHERE NOT (r.catalog = 1259 AND (SELECT c.relkind IN ('r', 'f') FROM pg_class c WHERE c.oid = r.oid))
)
SELECT p.oid, format('ROUTINE %I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
       format('%s.%s', n.nspname, p.proname), bool_or(r.lasting)
FROM reached r JOIN pg_proc p ON r.catalog = 1255 AND p.oid = r.oid
JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_language l ON l.oid = p.prolang
WHERE {USER_SCHEMA} AND l.lanname NOT IN ('c', 'internal') AND p.prokind <> 'a' AND p.prosqlbody IS NULL
  AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS config (text) WHERE config.text LIKE 'search_path=%')
  AND {_NO_MEMBER.format("pg_proc", "p.oid")}
GROUP BY p.oid, n.nspname, p.proname ORDER BY p.oid
"""
_SETTINGS = """
SELECT coalesce(r.rolname, ''), s.setdatabase <> 0, split_part(config.text, '=', 1),
       substr(config.text, strpos(config.text, '=') + 1)
FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS config (text)
LEFT JOIN pg_roles r ON r.oid = s.setrole
WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
ORDER BY 1, 2, 3
"""
_SEARCH_PATH = f"""
SELECT substr(config.text, strpos(config.text, '=') + 1)
FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS config (text)
LEFT JOIN pg_roles r ON r.oid = s.setrole
WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
  AND config.text LIKE 'search_path=%' AND coalesce(r.rolname, '{CUSTOMER}') = '{CUSTOMER}'
ORDER BY s.setrole <> 0, s.setdatabase = 0 LIMIT 1
"""
_MEMBER_TABLES = f"""
SELECT e.extname, format('%s.%s', n.nspname, c.relname), pg_relation_size(c.oid) / 8192
FROM pg_depend m JOIN pg_extension e ON m.refclassid = 'pg_extension'::regclass AND e.oid = m.refobjid
JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE m.deptype = 'e' AND c.relkind IN ('r', 'p') AND {USER_SCHEMA} ORDER BY 1, 2
"""
_BOUND_COLUMNS = """
WITH used (relation, number, catalog, oid) AS (
  SELECT d.objid, d.objsubid, d.refclassid, d.refobjid FROM pg_depend d
  WHERE d.classid = 1259 AND d.objsubid > 0
  UNION ALL SELECT f.adrelid, f.adnum, d.refclassid, d.refobjid
  FROM pg_attrdef f JOIN pg_depend d ON d.classid = 2604 AND d.objid = f.oid
  UNION ALL SELECT a.attrelid, a.attnum, 1247, t.typelem
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE t.typelem <> 0 AND a.attnum > 0
), bindings (catalog, oid, label) AS (
  SELECT m.classid, m.objid, 'extension ' || e.extname FROM pg_depend m
  JOIN pg_extension e ON m.refclassid = 'pg_extension'::regclass AND e.oid = m.refobjid WHERE m.deptype = 'e'
  UNION ALL SELECT 1247, t.oid, format('type %s.%s', n.nspname, t.typname)
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'b' AND t.oid >= 16384
)
SELECT u.relation, b.label, array_agg(DISTINCT a.attname::text ORDER BY a.attname::text)
FROM used u JOIN bindings b USING (catalog, oid)
JOIN pg_attribute a ON a.attrelid = u.relation AND a.attnum = u.number
GROUP BY 1, 2
"""
_SUBSCRIPTIONS = """
SELECT subname FROM pg_subscription
WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1
"""
_OWNERS = f"""
SELECT o.catalog, o.oid, r.rolname FROM (
  SELECT 1259, c.oid, c.relowner, c.relnamespace FROM pg_class c WHERE c.relkind IN ('r', 'p', 'S', 'v', 'm')
  UNION ALL SELECT 1255, p.oid, p.proowner, p.pronamespace FROM pg_proc p
  UNION ALL SELECT 1247, t.oid, t.typowner, t.typnamespace FROM pg_type t
            WHERE t.typtype IN ('d', 'e', 'r') OR t.typtype = 'c'
              AND (SELECT c.relkind FROM pg_class c WHERE c.oid = t.typrelid) = 'c'
  UNION ALL SELECT 2615, n.oid, n.nspowner, n.oid FROM pg_namespace n) AS o (catalog, oid, owner, schema)
JOIN pg_roles r ON r.oid = o.owner JOIN pg_namespace n ON n.oid = o.schema
WHERE {USER_SCHEMA} AND {CUSTOM_ROLE}
"""
_RUNS_AS_OWNER = f"""
SELECT 1259, c.oid, r.rolname FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm') AND {USER_SCHEMA} AND {CUSTOM_ROLE} AND NOT r.rolbypassrls
  AND NOT coalesce(c.reloptions::text[] && ARRAY['security_invoker=true', 'security_invoker=on'], false)
UNION ALL
SELECT 1255, p.oid, r.rolname FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner
JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.prosecdef AND {USER_SCHEMA} AND {CUSTOM_ROLE} AND NOT r.rolbypassrls
"""
_CALLED = "|".join(sorted(PLATFORM_SCHEMAS | {"pgmq", "cron"}))
_CALLERS = f"""
SELECT 1255, p.oid, (regexp_match(p.prosrc, '\\m({_CALLED})\\.'))[1] FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE {USER_SCHEMA} AND p.prosrc ~ '\\m({_CALLED})\\.' AND n.nspname NOT IN ({_listed(PLATFORM_SCHEMAS)})
  AND n.nspname NOT IN ('auth', 'storage', 'realtime', 'extensions')
  AND {_NO_MEMBER.format("pg_proc", "p.oid")}
"""
_SCHEMAS = "SELECT nspname, pg_get_userbyid(nspowner) FROM pg_namespace"


def read(session: Session) -> dict[str, Any]:
    """Return the fields of an Inventory that this module knows, read in the session's transaction."""
    return {
        "checks": tuple(Check((row[0], row[1]), *row[2:]) for row in session.query(_CHECKS)),
        "routines": tuple(Routine((1255, row[0]), *row[1:]) for row in session.query(_ROUTINES)),
        "settings": tuple(
            StoredSetting(role, here, name, Secret(value))
            for role, here, name, value in session.query(_SETTINGS)
        ),
        "member_tables": tuple(MemberTable(*row) for row in session.query(_MEMBER_TABLES)),
        "bound_columns": {
            (relation, label): tuple(columns) for relation, label, columns in session.query(_BOUND_COLUMNS)
        },
        "subscriptions": tuple(row[0] for row in session.query(_SUBSCRIPTIONS)),
        "owners": {(row[0], row[1]): row[2] for row in session.query(_OWNERS)},
        "runs_as_owner": {(row[0], row[1]): row[2] for row in session.query(_RUNS_AS_OWNER)},
        "callers": {(row[0], row[1]): row[2] for row in session.query(_CALLERS)},
        "search_path": next((row[0] for row in session.query(_SEARCH_PATH)), ""),
        "schemas": dict(session.query(_SCHEMAS)),
    }
