"""What a server's refusal means: our error, its remedy, and nothing of anybody's rows."""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

import psycopg2
from psycopg2 import errorcodes

from supaneon_sync.errors import NeonError, PrimaryError, QuotaError, SnapshotLost, SupaneonError
from supaneon_sync.postgres.conninfo import Conninfo


class Side(Enum):
    """Which of the two servers a session talks to."""

    PRIMARY = "the primary"
    NEON = "Neon's compute"


_QUOTES_VALUES = ("22", "P0")
"""SQLSTATE classes whose primary message may quote a row's value (invalid input, RAISE)."""

_GONE = ("57P01", "57P02", "57P03", "57P05", "08000", "08003", "08006", "25P03", "25P04")
"""The server ended the session: shutdown, crash, idleness, or a transaction that took too long."""
_NO_ROOM = "no connection is free"


def translate(error: psycopg2.Error, side: Side, *, show_row_values: bool = False) -> SupaneonError:
    """Return our error for one of the driver's."""
    code = error.pgcode
    diag = error.diag
    if code is None:
        kind = PrimaryError if side is Side.PRIMARY else NeonError
        return kind(
            f"The connection to {side.value} was lost.",
            remedy="Run it again.",
            cause=_first_line(str(error)),
            connection="lost",
        )
    name = errorcodes.lookup(code) if code else "unknown"
    message = diag.message_primary or ""
    if code[:2] in _QUOTES_VALUES and not show_row_values:
        message = f"{name} (message withheld: it may quote a row; --show-row-values shows it)"
    where = ".".join(part for part in (diag.schema_name, diag.table_name) if part)
    evidence: dict[str, Any] = {
        "sqlstate": code,
        "object": where or None,
        "column": diag.column_name,
        "constraint": diag.constraint_name,
        "detail": diag.message_detail if show_row_values else None,
    }
    if code == "53100":
        return QuotaError(
            f"{side.value.capitalize()} is full: {message}",
            remedy="Raise the plan's storage, or exclude tables from the copy.",
            **evidence,
        )
    if side is Side.NEON:
        return NeonError(f"{side.value} refused a statement: {message}", **evidence)
    if code in _GONE or (code == "22023" and "snapshot" in message):
        return SnapshotLost(f"The primary ended our session: {message}", **evidence)
    return PrimaryError(f"{side.value} refused a statement: {message}", **evidence)


def lost(error: BaseException) -> bool:
    """Say whether a session ended under us: with a new one, the same piece of work can be tried again."""
    if not isinstance(error, SupaneonError):
        return False
    return error.evidence.get("connection") == "lost" or error.evidence.get("sqlstate") in _GONE


def refused(error: SupaneonError) -> bool:
    """Say whether the server refused a statement on a session that is still there."""
    return "sqlstate" in error.evidence and not lost(error)


def crowded(error: BaseException) -> bool:
    """Say whether a session could not be opened because all connections that may be had are in use."""
    return isinstance(error, SupaneonError) and _NO_ROOM in error.message


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0][:300]


_CONNECT_REMEDIES: tuple[tuple[str, str, str], ...] = (
    (
        r"Network is unreachable|No route to host|Cannot assign requested address|Address family not",
        "there is no way from here to that address (Supabase's direct hosts have IPv6 addresses alone)",
        "Use the session pooler's string (….pooler.supabase.com, port 5432) from Supabase's Connect dialog.",
    ),
    (
        r"Tenant or user not found|ENOTFOUND",
        "the pooler knows no such project or user (this is not about the password)",
        "Check the user name (ROLE.REF), the region in the host, and that the project is not paused.",
    ),
    (
        r"MaxClientsInSessionMode|EMAXCONNSESSION|remaining connection slots|too many (clients|connections)",
        _NO_ROOM,
        "Lower --jobs, or raise the pool size.",
    ),
    (
        r'database "[^"]+" does not exist',
        "there is no such database",
        "Check the database's name (NEON_DATABASE, or the connection string's).",
    ),
    (
        r"password authentication failed|SASL authentication failed|no password supplied",
        "the password or the role is wrong",
        "Update the secret with the current password.",
    ),
    (
        r"could not translate host name|Name or service not known|No address associated",
        "the host name is not known",
        "Check the host. A paused Supabase project's direct host vanishes; restore it in the dashboard.",
    ),
    (
        r"certificate verify failed|does not match host name|root certificate file",
        "the server's certificate could not be verified",
        "Check the root certificate file given for this side.",
    ),
    (
        r"SSL|server does not support",
        "TLS was refused or broke off",
        "Check that the server offers TLS and that nothing stands between.",
    ),
    (
        r"not allowed to connect",
        "an allow-list refuses this machine's address",
        "Hosted runners have no fixed addresses: widen the list, or run from a fixed one.",
    ),
    (
        r"timeout expired|timed out",
        "no answer within the time limit",
        "Check the network and that the project is running.",
    ),
    (r"refused", "nothing listens there", "Check host and port, and that the project is running."),
)


def unreachable(text: str, conninfo: Conninfo, side: Side) -> SupaneonError:
    """Return the error for a connection that could not be made, with the likeliest remedy."""
    kind = PrimaryError if side is Side.PRIMARY else NeonError
    where = f"{side.value} ({conninfo.host}:{conninfo.port}, role {conninfo.user})"
    server_said = _first_line(text)
    if conninfo.password is not None and conninfo.password:
        server_said = server_said.replace(conninfo.password.reveal(), "***")
    for pattern, what, remedy in _CONNECT_REMEDIES:
        if re.search(pattern, text, re.IGNORECASE):
            return kind(f"Cannot connect to {where}: {what}.", remedy=remedy, cause=server_said)
    return kind(f"Cannot connect to {where}.", remedy="See the cause.", cause=server_said)
