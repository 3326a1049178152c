"""What the primary's catalogs say, read in the snapshot: facts that the archive does not carry."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

from supaneon_sync.errors import ConfigError
from supaneon_sync.policy.facts import Column, Grant, Inventory, Locale, ObjectId, Relation, Role
from supaneon_sync.policy.scope import Scope
from supaneon_sync.postgres import outside, traps
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.traps import CUSTOM_ROLE
from supaneon_sync.postgres.traps import USER_SCHEMA as _USER_SCHEMA

_DATABASE = """
SELECT d.datname, current_setting('server_version'), pg_encoding_to_char(d.encoding), d.datlocprovider::text,
       d.datcollate, d.datctype, coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', ''),
       CASE WHEN has_database_privilege(d.oid, 'CONNECT') THEN pg_database_size(d.oid) ELSE 0 END,
       has_function_privilege('pg_control_system()', 'EXECUTE'),
       (SELECT count(*) FROM pg_largeobject_metadata),
       coalesce(pg_database_collation_actual_version(d.oid), '')
FROM pg_database d WHERE d.datname = current_database()
"""

# Planning any query over a table folds calls with constant arguments in its indexes and statistics, as the
# role that asks (tried). So a table counts as trusted only if its owner, and the owners of the functions and
# operators in there, could do what our role can do anyway. SQL functions are unfolded while planning, too,
# under our search_path, where those that rely on their own fail: a table with one is read by COPY alone.
#
# A table's pages count what is kept out of line. Where no vacuum and no analyze has come by yet, they are
# guessed from the rows that were counted: asking for files' sizes would wait for whoever holds a lock.
_RELATIONS = f"""
WITH trusted AS (
  SELECT oid FROM pg_roles
  WHERE rolsuper OR pg_has_role(oid, (SELECT oid FROM pg_roles WHERE rolname = current_user), 'MEMBER')
), expressions (relation, catalog, oid) AS (
  SELECT indrelid, 'pg_class'::regclass, indexrelid FROM pg_index
  WHERE indexprs IS NOT NULL OR indpred IS NOT NULL
  UNION ALL SELECT stxrelid, 'pg_statistic_ext'::regclass, oid FROM pg_statistic_ext
), foreign_code AS (
  SELECT e.relation FROM expressions e JOIN pg_depend d ON d.classid = e.catalog AND d.objid = e.oid
  LEFT JOIN pg_operator o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
  JOIN pg_proc p ON p.oid = CASE WHEN d.refclassid = 'pg_proc'::regclass THEN d.refobjid ELSE o.oprcode END
  WHERE p.proowner NOT IN (SELECT oid FROM trusted) OR o.oprowner NOT IN (SELECT oid FROM trusted)
     OR p.prolang NOT IN (SELECT l.oid FROM pg_language l WHERE l.lanname IN ('c', 'internal'))
)
SELECT c.oid, n.nspname, c.relname, c.relkind::text, c.relpersistence::text, c.relfilenode,
       greatest(c.relpages, pg_stat_get_live_tuples(c.oid) / 128)
       + coalesce(greatest(t.relpages, pg_stat_get_live_tuples(t.oid) / 4), 0), c.reltuples,
       c.relispopulated, coalesce(a.columns, '[]'),
       c.relowner IN (SELECT oid FROM trusted) AND c.oid NOT IN (SELECT relation FROM foreign_code)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
LEFT JOIN LATERAL (
  SELECT json_agg(json_build_array(
           attnum, attname, format_type(atttypid, atttypmod), attgenerated, attidentity)
                  ORDER BY attnum) AS columns
  FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) a ON true
WHERE c.relkind IN ('r', 'p', 'S', 'v', 'm', 'f') AND {_USER_SCHEMA}
ORDER BY c.oid
"""

_EXTENSIONS = "SELECT extname, extversion FROM pg_extension ORDER BY 1"
_MEMBERS = "SELECT classid, objid FROM pg_depend WHERE deptype = 'e'"
_TRIGGERS = """
SELECT t.oid, n.nspname, p.proname FROM pg_trigger t
JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace WHERE NOT t.tgisinternal
"""
_POLICIES = """
SELECT p.oid, array_agg(r.rolname::text ORDER BY r.rolname) FROM pg_policy p
JOIN pg_roles r ON r.oid = ANY (p.polroles) GROUP BY p.oid
"""
_PRIVILEGED_SETTINGS = """
SELECT p.oid, array_agg(s.name ORDER BY s.name) FROM pg_proc p
CROSS JOIN LATERAL unnest(p.proconfig) AS config (text)
JOIN pg_settings s ON s.name = split_part(config.text, '=', 1) AND s.context <> 'user' GROUP BY p.oid
"""
_ROLES = """
SELECT r.rolname, r.rolinherit, r.rolbypassrls,
       coalesce(array_agg(g.rolname::text ORDER BY g.rolname) FILTER (WHERE whole), '{}'),
       NOT r.rolcanlogin,
       coalesce(array_agg(g.rolname::text ORDER BY g.rolname) FILTER (WHERE NOT whole), '{}')
FROM pg_roles r LEFT JOIN pg_auth_members m ON m.member = r.oid LEFT JOIN pg_roles g ON g.oid = m.roleid
CROSS JOIN LATERAL (
  SELECT g.oid IS NOT NULL AND coalesce((to_jsonb(m) ->> 'set_option')::boolean, true)
         AND (NOT r.rolinherit OR coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, true)) AS whole
) AS membership
WHERE r.rolname !~ '^pg_' GROUP BY r.oid, r.rolname, r.rolinherit, r.rolbypassrls, r.rolcanlogin
"""
_SETTINGS = """
SELECT coalesce(r.rolname, ''), split_part(config.text, '=', 1)
FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS config (text)
LEFT JOIN pg_roles r ON r.oid = s.setrole
WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) ORDER BY 1, 2
"""

_GRANTS = f"""
WITH objects (catalog, oid, target, owner, acl, kind, attribute) AS (
  SELECT 1259, c.oid, CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END
         || format('%I.%I', n.nspname, c.relname), c.relowner, c.relacl,
         CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END, ''
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'S', 'v', 'm', 'f') AND {_USER_SCHEMA}
  UNION ALL
  SELECT 1259, c.oid, format('TABLE %I.%I', n.nspname, c.relname), c.relowner, a.attacl, 'c',
         format(' (%I)', a.attname)
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE a.attacl IS NOT NULL AND a.attnum > 0 AND NOT a.attisdropped AND {_USER_SCHEMA}
  UNION ALL
  SELECT 1255, p.oid,
         format('ROUTINE %I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
         p.proowner, p.proacl, 'f', ''
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_USER_SCHEMA}
  UNION ALL
  SELECT 1247, t.oid, format('TYPE %I.%I', n.nspname, t.typname), t.typowner, t.typacl, 'T', ''
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
  WHERE {_USER_SCHEMA} AND (t.typacl IS NOT NULL OR t.typtype IN ('d', 'e', 'r'))
  UNION ALL
  SELECT 2615, n.oid, format('SCHEMA %I', n.nspname), n.nspowner, n.nspacl, 'n', ''
  FROM pg_namespace n WHERE {_USER_SCHEMA}
  UNION ALL
  SELECT 2613, m.oid, format('LARGE OBJECT %s', m.oid), m.lomowner, m.lomacl, 'L', ''
  FROM pg_largeobject_metadata m
), custom (oid) AS (
  SELECT r.oid FROM pg_roles r WHERE {CUSTOM_ROLE}
), effective AS (
  SELECT o.*, CASE WHEN o.owner IN (SELECT oid FROM custom)
                   THEN coalesce(o.acl, acldefault(o.kind::"char", o.owner)) ELSE o.acl END AS held
  FROM objects o
  WHERE NOT EXISTS (
    SELECT FROM pg_depend m WHERE m.deptype = 'e' AND m.classid = o.catalog AND m.objid = o.oid)
), held AS (
  SELECT o.catalog, o.oid, o.target, coalesce(r.rolname::text, '') AS grantee,
         x.is_grantable OR x.grantee = o.owner AS is_grantable, x.privilege_type || o.attribute AS privilege
  FROM effective o CROSS JOIN LATERAL aclexplode(o.held) x LEFT JOIN pg_roles r ON r.oid = x.grantee
  WHERE (x.grantee <> o.owner OR o.owner IN (SELECT oid FROM custom)) AND (x.grantee = 0 OR r.oid IS NOT NULL)
)
SELECT catalog, oid, target, grantee, is_grantable, array_agg(privilege ORDER BY privilege)
FROM held GROUP BY 1, 2, 3, 4, 5
UNION ALL
SELECT DISTINCT catalog, oid, target, '', false, '{{}}'::text[] FROM effective o
WHERE attribute = '' AND o.held IS NOT NULL AND NOT EXISTS (
  SELECT FROM held h WHERE (h.catalog, h.oid) = (o.catalog, o.oid) AND h.grantee = '')
ORDER BY 1, 2, 4, 5
"""


def grants(session: Session) -> tuple[Grant, ...]:
    """Return who holds what on which object; members of extensions apart. What custom owners have counts."""
    return tuple(
        Grant((catalog, oid), target, grantee, tuple(privileges), grantable)
        for catalog, oid, target, grantee, grantable, privileges in session.query(_GRANTS)
    )


def relations(session: Session) -> dict[int, Relation]:
    """Return the tables, sequences and views of the session's database, by OID."""
    return {row[0]: _relation(row) for row in session.query(_RELATIONS)}


def read(session: Session) -> Inventory:
    """Return the facts, read in the session's open transaction (the snapshot).

    Raises PrimaryError when a catalog cannot be read.
    """
    name, version, encoding, provider, collate, ctype, locale, size, may_control, large_objects, actual = (
        session.one(_DATABASE)
    )
    identifier = session.value("SELECT system_identifier FROM pg_control_system()") if may_control else ""
    settings = session.query(_SETTINGS)
    return Inventory(
        database=name,
        version=version,
        locale=Locale(encoding, provider, collate, ctype, locale, actual),
        size=size,
        system_identifier=str(identifier),
        relations=relations(session),
        extensions=dict(_pairs(session.query(_EXTENSIONS))),
        extension_members=frozenset(_ids(session.query(_MEMBERS))),
        trigger_functions={oid: (schema, function) for oid, schema, function in session.query(_TRIGGERS)},
        policy_roles=_lists(session.query(_POLICIES)),
        privileged_settings=_lists(session.query(_PRIVILEGED_SETTINGS)),
        grants=grants(session),
        roles={
            row[0]: Role(row[0], row[1], row[2], tuple(row[3]), row[4], tuple(filter(None, row[5])))
            for row in session.query(_ROLES)
        },
        large_objects=large_objects,
        database_settings=tuple(setting for role, setting in settings if not role),
        role_settings=tuple((role, setting) for role, setting in settings if role),
        **traps.read(session),
        **outside.ties(session),
    )


def scoped(session: Session, facts: Inventory, scope: Scope) -> Inventory:
    """Return the facts with what a scope that leaves schemas out needs to know besides.

    Raises ConfigError that lists every name in the scope that the primary does not have.
    """
    problems = scope.problems(facts)
    if problems:
        raise ConfigError(f"The scope does not fit the primary: {'; '.join(problems)}.", problems=problems)
    schemas = [name for name in facts.schemas if not name.startswith("pg_") and name != "information_schema"]
    left_out = scope.outside(schemas, facts.extension_schemas)
    return replace(facts, **outside.read(session, left_out)) if left_out else facts


def _relation(row: tuple[Any, ...]) -> Relation:
    oid, schema, name, kind, persistence, file, pages, rows, populated, columns, trusted = row
    return Relation(
        oid=oid,
        schema=schema,
        name=name,
        kind=kind,
        persistence=persistence,
        file=file,
        columns=tuple(Column(*column) for column in columns),
        pages=pages,
        rows=rows,
        populated=populated,
        trusted=trusted,
    )


def _pairs(rows: list[tuple[Any, ...]]) -> list[tuple[str, str]]:
    return [(first, second) for first, second in rows]


def _ids(rows: list[tuple[Any, ...]]) -> list[ObjectId]:
    return [(catalog, oid) for catalog, oid in rows]


def _lists(rows: list[tuple[Any, ...]]) -> dict[int, tuple[str, ...]]:
    found: defaultdict[int, tuple[str, ...]] = defaultdict(tuple)
    for oid, texts in rows:
        found[oid] = tuple(texts)
    return dict(found)
