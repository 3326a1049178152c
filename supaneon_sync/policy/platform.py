"""What Supabase's platform brings into a database, and what each kind of archive entry means for a copy.

Sources: Supabase's public migrations and role scripts as of 2026-11, and restores run as a
non-superuser on PostgreSQL 15, 17 and 18.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _lines(text: str) -> frozenset[str]:
    return frozenset(line.strip() for line in text.strip().splitlines())


API_ROLES = ("anon", "authenticated", "service_role")

CUSTOMER = "postgres"
"""The role that a project's owner works as; it owns what is the user's own."""
SUPERUSER = "supabase_admin"

PLATFORM_ROLES = _words("""
    postgres pgbouncer dashboard_user authenticator pgtle_admin supabase_admin supabase_auth_admin
    supabase_storage_admin supabase_functions_admin supabase_realtime_admin supabase_read_only_user
    supabase_replication_admin supabase_etl_admin supabase_superuser supabase_privileged_role
    pgsodium_keyholder pgsodium_keyiduser pgsodium_keymaker
""")
"""Roles that only own or administer the platform's own objects; a copy has no use for them, except
where a policy names one."""

PLATFORM_PREFIXES = ("pg_", "supabase_", "pgsodium_", "cli_login_")
"""Beginnings of the names of roles that are nobody's own."""


def is_platform_role(name: str) -> bool:
    """Say whether a role is the platform's, which a copy has no use for."""
    return name in PLATFORM_ROLES or name.startswith(PLATFORM_PREFIXES)


PLATFORM_SCHEMAS = _words("""
    supabase_functions net graphql graphql_public pgbouncer pgsodium pgsodium_masks vault pgtle repack etl
    _realtime _analytics _supavisor dbdev
""")
PLATFORM_DATA = ("auth", "storage", "realtime")
"""Schemas of the platform's that hold a project's own rows."""
EVENT_TRIGGER_FUNCTIONS = _words("""
    grant_pg_cron_access grant_pg_graphql_access grant_pg_net_access set_graphql_placeholder
    pgrst_ddl_watch pgrst_drop_watch
""")
EVENT_TRIGGERS = _words("""
    issue_pg_cron_access issue_pg_graphql_access issue_pg_net_access issue_graphql_placeholder
    pgrst_ddl_watch pgrst_drop_watch
""")
REFILLED_EXTENSIONS = _words("""
    postgis postgis_tiger_geocoder postgis_topology address_standardizer_data_us pg_cron pg_net pg_graphql
    supabase_vault pgsodium pg_tle wrappers pg_repack
""")
"""Extensions whose tables hold what the extension itself fills, or what is accounted for by itself."""
TRANSIENT = _words("""
    refresh_tokens mfa_amr_claims mfa_challenges one_time_tokens flow_state saml_relay_states
    oauth_client_states oauth_authorizations webauthn_challenges
""")
"""Live login secrets of schema auth that are worthless on a copy. Closed under foreign keys: the one
parent among them, flow_state, has its only child, saml_relay_states, here too."""

KEPT = _lines("""
    AGGREGATE
    CAST
    CHECK CONSTRAINT
    COLLATION
    COMMENT
    CONSTRAINT
    CONVERSION
    DEFAULT
    DOMAIN
    EXTENSION
    FK CONSTRAINT
    FUNCTION
    INDEX
    INDEX ATTACH
    MATERIALIZED VIEW
    OPERATOR
    OPERATOR CLASS
    OPERATOR FAMILY
    POLICY
    PROCEDURE
    ROW SECURITY
    RULE
    SCHEMA
    SEQUENCE
    SEQUENCE OWNED BY
    STATISTICS
    TABLE
    TABLE ATTACH
    TEXT SEARCH CONFIGURATION
    TEXT SEARCH DICTIONARY
    TRIGGER
    TYPE
    VIEW
""")
SESSION = _lines("""
    ENCODING
    STDSTRINGS
    SEARCHPATH
    DATABASE
    DATABASE PROPERTIES
""")
ROWS = _lines("""
    TABLE DATA
    SEQUENCE SET
    MATERIALIZED VIEW DATA
    BLOB
    BLOBS
    BLOB METADATA
    BLOB COMMENTS
    STATISTICS DATA
""")
HOLDS_ROWS = _lines("""
    TABLE
    DEFAULT
    INDEX
    CONSTRAINT
    CHECK CONSTRAINT
    TYPE
    DOMAIN
""")
"""Kinds without which a table's rows are not what they were."""

RULES = _lines("""
    POLICY
    ROW SECURITY
    CONSTRAINT
    CHECK CONSTRAINT
    FK CONSTRAINT
    INDEX
    DEFAULT
""")
"""Kinds that say which rows there may be and who sees them."""

NEVER: dict[str, str] = {
    "DEFAULT ACL": "default privileges belong to roles that the copy's owner may not speak for",
    "PUBLICATION": "a copy must not feed the primary's consumers",
    "PUBLICATION TABLE": "a copy must not feed the primary's consumers",
    "PUBLICATION TABLES IN SCHEMA": "a copy must not feed the primary's consumers",
    "SUBSCRIPTION": "a copy must not pull from the primary's sources",
    "SUBSCRIPTION TABLE": "a copy must not pull from the primary's sources",
    "FOREIGN DATA WRAPPER": "only a superuser may use it, and its servers cannot be reached from the copy",
    "SERVER": "it holds credentials and cannot be reached from the copy",
    "USER MAPPING": "it holds credentials",
    "FOREIGN TABLE": "its server is not on the copy; its rows are not in this database",
    "EVENT TRIGGER": "only a superuser may create it",
    "SHELL TYPE": "only a superuser may create a base type",
    "SECURITY LABEL": "its provider is not on the copy",
    "TABLESPACE": "Neon has no tablespaces",
    "PROCEDURAL LANGUAGE": "only a superuser may create it",
    "ACCESS METHOD": "only a superuser may create it",
    "TEXT SEARCH PARSER": "only a superuser may create it",
    "TEXT SEARCH TEMPLATE": "only a superuser may create it",
    "TRANSFORM": "only a superuser may create it",
}
"""Kinds that no copy gets, each with its reason."""
