"""The SQL that makes ``backup_user`` on the primary and ``restore_user`` on Neon, with what it cannot do.

Each part can be run again; where the one who runs it lacks a right, it warns by name and goes on, and
the last statement lists what is still missing. No part holds a password.
"""

from __future__ import annotations

_HEAD = """\
-- backup_user on the primary{where}: reads everything, writes nothing. It can be run again at any time.
-- Run it in the database that is backed up, as postgres (Supabase: SQL editor, or psql on port 5432).

SET client_min_messages = warning;
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'backup_user') THEN
    CREATE ROLE backup_user LOGIN;
  END IF;
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO backup_user', current_database());
END
$$;
-- It has no password yet, so nobody can log in as it. Give it a long random one, which this text does not
-- know: in psql   \\password backup_user
-- elsewhere       ALTER ROLE backup_user PASSWORD '…';
-- Supabase forgets the passwords of roles like this one when a project is paused or restored.
-- On the session pooler its user name is backup_user.PROJECT-REF.

-- 1. Your own schemas, with what is made in them later by the role that runs this.
GRANT USAGE ON SCHEMA public TO backup_user;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO backup_user;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO backup_user;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO backup_user;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON SEQUENCES TO backup_user;
DO $$
DECLARE
  schema_name name;
BEGIN
  FOR schema_name IN
    SELECT nspname FROM pg_catalog.pg_namespace
    WHERE nspname !~ '^pg_' AND nspname NOT IN ('public', 'extensions', 'information_schema')
      AND pg_catalog.pg_has_role(nspowner, 'USAGE')
  LOOP
    BEGIN
      EXECUTE format('GRANT USAGE ON SCHEMA %I TO backup_user', schema_name);
      EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO backup_user', schema_name);
      EXECUTE format('GRANT SELECT ON ALL SEQUENCES IN SCHEMA %I TO backup_user', schema_name);
      EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT ON TABLES TO backup_user',
                     schema_name);
      EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT ON SEQUENCES TO backup_user',
                     schema_name);
    EXCEPTION WHEN insufficient_privilege THEN
      RAISE WARNING 'schema %: %', schema_name, SQLERRM;
    END;
  END LOOP;
END
$$;
"""

_READ_ALL = """
-- 2. These grants alone do not reach auth and storage (your logins, and what your files are called): those
-- schemas are the platform's, and a GRANT on them by postgres warns "no privileges were granted", changes
-- nothing, and counts as a success. pg_read_all_data reads every schema, and every table made later.
DO $$
BEGIN
  GRANT pg_read_all_data TO backup_user;
EXCEPTION WHEN insufficient_privilege THEN
  RAISE WARNING 'backup_user did not get pg_read_all_data: %', SQLERRM;
END
$$;
-- {who}

-- 3. Without BYPASSRLS row security hides the rows of every table that has it. A run then stops rather than
-- copy a part, so it is needed as soon as one table has row security.
DO $$
BEGIN
  ALTER ROLE backup_user BYPASSRLS;
EXCEPTION WHEN insufficient_privilege THEN
  RAISE WARNING 'backup_user did not get BYPASSRLS: %', SQLERRM;
END
$$;
-- {bypass}

-- 4. Large objects have rights of their own, which pg_read_all_data does not cover.{later}
DO $$
DECLARE
  number oid;
BEGIN
  FOR number IN
    SELECT oid FROM pg_catalog.pg_largeobject_metadata WHERE pg_catalog.pg_has_role(lomowner, 'USAGE')
  LOOP
    EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO backup_user', number);
  END LOOP;
END
$$;
"""

_LEFT = """
-- 5. What backup_user still cannot read. No row: everything is there, and validate-config will say so too.
-- Otherwise have a superuser run 2 and 3, or let SUPABASE_DATABASE_URL name postgres itself.
SELECT 'schema ' || pg_catalog.quote_ident(n.nspname) AS "backup_user still cannot read"
FROM pg_catalog.pg_namespace n
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT pg_catalog.has_schema_privilege('backup_user', n.oid, 'USAGE')
  AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p'))
UNION ALL
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT pg_catalog.has_table_privilege('backup_user', c.oid, 'SELECT')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass
                  AND d.objid = c.oid AND d.deptype = 'e')
UNION ALL
SELECT pg_catalog.format('rows of %I.%I (row security)', n.nspname, c.relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relrowsecurity AND n.nspname <> 'realtime'
  AND NOT (SELECT rolbypassrls OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = 'backup_user')
ORDER BY 1;
"""

_WHO_OLD = "Up to PostgreSQL 15 postgres may grant it, because it may create roles."
_WHO_NEW = (
    "From PostgreSQL 16 on postgres needs ADMIN OPTION on it, which Supabase gives; not every server does."
)
_BYPASS_OLD = "Up to PostgreSQL 15 this takes a superuser; Supabase (supautils) lends postgres the right."
_BYPASS_NEW = "From PostgreSQL 16 on postgres may give it to roles it made, because it has it itself."
_LATER = "\n-- Those made later need this again"
_LATER_18 = ";\n-- from 18 on: ALTER DEFAULT PRIVILEGES GRANT SELECT ON LARGE OBJECTS TO backup_user;"

_RESTORE = """\
-- restore_user on Neon{where}: a second role on the copy. It can be run again at any time.
-- Run it as neondb_owner, in the database that holds the copy, on the branch that it is meant for. Roles and
-- rights belong to a branch: made on supaneon-mirror, the role is also in every backup cut from then on.
--
-- A backup cannot run as restore_user: it makes the copy's database and roles anew, which takes CREATEDB and
-- CREATEROLE, and roles made with SQL get neither from neondb_owner here. Nor can it restore a whole archive:
-- extensions, and policies that name other roles, need the owner. What is left is reading: list, resolve, and
-- queries on the copy. For those set NEON_DB_USER and NEON_DB_PASSWORD (Neon may not know this password).

SET client_min_messages = warning;
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'restore_user') THEN
    CREATE ROLE restore_user LOGIN;
  END IF;
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO restore_user', current_database());
END
$$;
-- It has no password yet. Neon wants it in plain text and hard to guess (60 bits), so \\password, which sends
-- a hash, is refused there:   ALTER ROLE restore_user PASSWORD '…';

GRANT USAGE, CREATE ON SCHEMA public TO restore_user;

-- Everything of the owner's: reading and changing the tables of the copy.
DO $$
BEGIN
  EXECUTE format('GRANT %I TO restore_user', current_user);
EXCEPTION WHEN insufficient_privilege THEN
  RAISE WARNING 'restore_user is not a member of the owner: %', SQLERRM;
END
$$;
-- {member}

-- Reading table by table, where membership was refused. These rights are in the database, so they are gone
-- when a backup makes it anew; then run this again.
DO $$
DECLARE
  schema_name name;
BEGIN
  FOR schema_name IN
    SELECT nspname FROM pg_catalog.pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
      AND pg_catalog.pg_has_role(nspowner, 'USAGE')
  LOOP
    BEGIN
      EXECUTE format('GRANT USAGE ON SCHEMA %I TO restore_user', schema_name);
      EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO restore_user', schema_name);
      EXECUTE format('GRANT SELECT ON ALL SEQUENCES IN SCHEMA %I TO restore_user', schema_name);
    EXCEPTION WHEN insufficient_privilege THEN
      RAISE WARNING 'schema %: %', schema_name, SQLERRM;
    END;
  END LOOP;
END
$$;
-- list and resolve also read the manifests. Run this in database supaneon of the same branch, once a backup
-- has made it:
--   GRANT USAGE ON SCHEMA supaneon TO restore_user;
--   GRANT SELECT ON ALL TABLES IN SCHEMA supaneon TO restore_user;
-- Row security holds restore_user unless it is a member of the owner: it then sees no rows of such tables.
"""
_MEMBER_OLD = "Up to PostgreSQL 15 the owner may do this, because it may create roles."
_MEMBER_NEW = (
    "From PostgreSQL 16 on this takes ADMIN OPTION on the owner, which nobody has there: expect the warning."
)


def backup_user(major: int | None) -> str:
    """Return the SQL for the primary. ``major`` None: not known, so the words for every version."""
    later = _LATER + (_LATER_18 if major is None or major >= 18 else ".")
    rest = _READ_ALL.format(
        who=_said(major, _WHO_OLD, _WHO_NEW), bypass=_said(major, _BYPASS_OLD, _BYPASS_NEW), later=later
    )
    return _HEAD.format(where=_where(major)) + rest + _LEFT


def restore_user(major: int | None) -> str:
    """Return the SQL for Neon. ``major`` None: not known, so the words for every version."""
    return _RESTORE.format(where=_where(major), member=_said(major, _MEMBER_OLD, _MEMBER_NEW))


def _where(major: int | None) -> str:
    return "" if major is None else f" (PostgreSQL {major})"


def _said(major: int | None, old: str, new: str) -> str:
    if major is None:
        return f"{old}\n-- {new}"
    return old if major < 16 else new
