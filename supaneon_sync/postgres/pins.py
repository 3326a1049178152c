"""What every session has set, so that neither text nor plan depends on what a server or a user before set."""

from __future__ import annotations

from supaneon_sync.postgres.failures import Side

PINNED: tuple[tuple[str, str], ...] = (
    ("search_path", "pg_catalog"),
    ("row_security", "off"),
    ("restrict_nonsystem_relation_kind", "view, foreign-table"),
    ("extra_float_digits", "3"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("bytea_output", "hex"),
    ("xmloption", "content"),
    ("lc_monetary", "C"),
    ("client_encoding", "UTF8"),
    ("constraint_exclusion", "off"),
    ("synchronize_seqscans", "off"),
    ("jit", "off"),
    ("quote_all_identifiers", "off"),
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("transaction_timeout", "0"),
    ("client_connection_check_interval", "5s"),
)
"""What every session sets, so that neither text nor plan depends on a server's defaults. Settings
that a server's version does not have are passed over. Supabase's servers default to
``extra_float_digits = 0``, which rounds: this is why nothing is left to chance."""

_PIN = """
SET search_path = pg_catalog;
SELECT count(set_config(s.name, v.value, false))
FROM (VALUES {}) AS v (name, value) JOIN pg_catalog.pg_settings s ON lower(s.name) = v.name
WHERE s.context IN ('user', 'superuser');
"""
_READ_ONLY = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY;"
FORGET = """
CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; DEALLOCATE ALL; UNLISTEN *;
SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES;
"""
"""What DISCARD ALL does, which is not to be had together with anything else in one round trip."""


def pins(side: Side, settings: str) -> str:
    """Return the statements that pin everything, and after that ``settings``, which are statements too."""
    values = ", ".join(f"('{name.lower()}', '{value}')" for name, value in PINNED)
    return _PIN.format(values) + (_READ_ONLY if side is Side.PRIMARY else "") + settings
