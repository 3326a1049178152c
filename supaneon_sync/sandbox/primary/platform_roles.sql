-- The roles of a Supabase database, its extensions and the rights of the role `postgres`.
-- Run by the superuser supabase_admin in the database `postgres`. Only names and attributes are Supabase's.

CREATE ROLE anon NOLOGIN;
CREATE ROLE authenticated NOLOGIN;
CREATE ROLE service_role NOLOGIN BYPASSRLS;
CREATE ROLE authenticator LOGIN NOINHERIT;
CREATE ROLE postgres LOGIN CREATEROLE CREATEDB REPLICATION BYPASSRLS;
CREATE ROLE supabase_auth_admin LOGIN NOINHERIT CREATEROLE;
CREATE ROLE supabase_storage_admin LOGIN NOINHERIT CREATEROLE;
CREATE ROLE supabase_functions_admin LOGIN NOINHERIT CREATEROLE;
CREATE ROLE supabase_realtime_admin NOLOGIN NOINHERIT;
CREATE ROLE supabase_replication_admin LOGIN REPLICATION;
CREATE ROLE supabase_read_only_user LOGIN BYPASSRLS;
CREATE ROLE supabase_etl_admin LOGIN REPLICATION;
CREATE ROLE supabase_privileged_role NOLOGIN;
CREATE ROLE dashboard_user NOLOGIN CREATEROLE CREATEDB REPLICATION;
CREATE ROLE pgbouncer LOGIN;

GRANT pg_read_all_data TO supabase_read_only_user, supabase_etl_admin;
GRANT pg_read_all_data, pg_monitor, pg_signal_backend TO postgres;
GRANT anon, authenticated, service_role TO authenticator, supabase_storage_admin;
GRANT supabase_privileged_role TO postgres;

-- From 16 on the right to hand a role on is the membership's own, not CREATEROLE's.
DO $$
BEGIN
  IF current_setting('server_version_num')::int >= 160000 THEN
    EXECUTE 'GRANT anon, authenticated, service_role TO postgres WITH ADMIN OPTION';
    EXECUTE 'GRANT authenticator, pg_create_subscription TO postgres';
  ELSE
    GRANT anon, authenticated, service_role TO postgres;
  END IF;
END
$$;

ALTER ROLE anon SET statement_timeout = '3s';
ALTER ROLE authenticated SET statement_timeout = '8s';
ALTER ROLE authenticator SET statement_timeout = '8s';
ALTER ROLE authenticator SET lock_timeout = '8s';
ALTER ROLE supabase_admin SET search_path = "$user", public, auth, extensions;
ALTER ROLE supabase_auth_admin SET search_path = auth;
ALTER ROLE supabase_storage_admin SET search_path = storage;
ALTER ROLE postgres SET search_path = "$user", public, extensions;
ALTER ROLE postgres IN DATABASE postgres SET search_path = "$user", public, extensions;

ALTER DATABASE postgres OWNER TO postgres;
ALTER DATABASE postgres SET "app.settings.jwt_exp" = '3600';

CREATE SCHEMA extensions AUTHORIZATION postgres;
GRANT USAGE ON SCHEMA extensions TO anon, authenticated, service_role, dashboard_user;
CREATE EXTENSION pgcrypto SCHEMA extensions;
CREATE EXTENSION pg_stat_statements SCHEMA extensions;
GRANT ALL ON ALL ROUTINES IN SCHEMA extensions TO postgres WITH GRANT OPTION;
GRANT ALL ON ALL ROUTINES IN SCHEMA extensions TO dashboard_user;

GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
GRANT ALL ON SCHEMA public TO postgres;

-- Whatever these two make in public, the API's roles may use; row level security is what holds them back.
DO $$
DECLARE
  maker text;
  kind text;
BEGIN
  FOREACH maker IN ARRAY ARRAY['postgres', 'supabase_admin'] LOOP
    FOREACH kind IN ARRAY ARRAY['TABLES', 'SEQUENCES', 'FUNCTIONS'] LOOP
      EXECUTE format(
        'ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA public GRANT ALL ON %s'
        ' TO postgres, anon, authenticated, service_role', maker, kind);
    END LOOP;
  END LOOP;
  FOREACH kind IN ARRAY ARRAY['TABLES', 'SEQUENCES', 'FUNCTIONS'] LOOP
    EXECUTE format(
      'ALTER DEFAULT PRIVILEGES FOR ROLE supabase_admin IN SCHEMA extensions GRANT ALL ON %s'
      ' TO postgres WITH GRANT OPTION', kind);
  END LOOP;
END
$$;
