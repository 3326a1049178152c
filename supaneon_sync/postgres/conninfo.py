"""Where a server is and how to get in, parsed by libpq itself and checked before anything is tried."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import psycopg2
from psycopg2.extensions import parse_dsn

from supaneon_sync.errors import ConfigError
from supaneon_sync.secret import Secret

TRANSACTION_POOLER_PORT = 6543
"""Supabase's transaction pooler, shared or dedicated: sessions do not stick there, and dumps through
it were seen to be wrong in silence (rounded floats, another search_path), with exit code 0."""

STRONG = ("require", "verify-ca", "verify-full")
_PASSED_ON = ("sslmode", "sslrootcert", "channel_binding", "options", "hostaddr", "application_name")
_VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
    "require_auth": "PGREQUIREAUTH",
    "channel_binding": "PGCHANNELBINDING",
    "options": "PGOPTIONS",
    "gssencmode": "PGGSSENCMODE",
    "connect_timeout": "PGCONNECT_TIMEOUT",
}


@dataclass(frozen=True)
class Conninfo:
    """A server, a database and a role, with libpq's own keywords in ``options``."""

    host: str
    port: int
    dbname: str
    user: str
    password: Secret | None
    options: Mapping[str, str]

    @property
    def loopback(self) -> bool:
        """Whether the server is on this machine."""
        return is_loopback(self.options.get("hostaddr") or self.host)

    def keywords(self) -> dict[str, str]:
        """Return libpq's keywords and values without the password."""
        base = {"host": self.host, "port": str(self.port), "dbname": self.dbname, "user": self.user}
        return base | dict(self.options)

    def environment(self) -> dict[str, str]:
        """Return the variables that hand this connection to a child process, the password among them."""
        variables = {_VARIABLES[key]: value for key, value in self.keywords().items() if key in _VARIABLES}
        if self.password is not None:
            variables["PGPASSWORD"] = self.password.reveal()
        return variables

    def database(self, name: str) -> Conninfo:
        """Return the same server and role, another database."""
        return replace(self, dbname=name)

    def without_password(self) -> str:
        """Return the URI without its password."""
        return self._uri(quote(self.user, safe=""))

    def uri(self) -> Secret:
        """Return the whole URI."""
        password = "" if self.password is None else ":" + quote(self.password.reveal(), safe="")
        return Secret(self._uri(quote(self.user, safe="") + password))

    def _uri(self, who: str) -> str:
        host = f"[{self.host}]" if ":" in self.host else quote(self.host, safe="")
        query = {key: self.options[key] for key in sorted(self.options) if key in _PASSED_ON}
        tail = "?" + urlencode(query) if query else ""
        return f"postgresql://{who}@{host}:{self.port}/{quote(self.dbname, safe='')}{tail}"


def is_loopback(host: str) -> bool:
    """Say whether a host or address is this machine itself, or a directory of Unix sockets."""
    if host.startswith(("/", "@")) or host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse(text: Secret, setting: str, *, password_needed: bool = True) -> Conninfo:
    """Return what a connection string says. ``setting`` is named in the errors.

    Raises ConfigError; libpq's own message is not passed on, since it quotes the string.
    """
    try:
        found = parse_dsn(text.reveal())
    except (psycopg2.Error, UnicodeError):
        raise ConfigError(
            f"{setting} is not a connection string that libpq reads{_why(text, setting)}"
        ) from None
    for needed, what in (("host", "host"), ("user", "user"), ("password", "password")):
        if needed == "password" and not password_needed:
            continue
        if not found.get(needed) and not (needed == "host" and found.get("hostaddr")):
            raise ConfigError(f"{setting} names no {what}.", remedy=_shape())
    host = found.get("host") or found["hostaddr"]
    if "," in host or "," in found.get("port", ""):
        raise ConfigError(f"{setting} names several hosts; name the one to read from.")
    if not host.startswith("/") and re.search(r"[\s@/?#%]", host):
        raise ConfigError(f"{setting} has a host that no host can be called.", remedy=_shape())
    port = found.get("port") or "5432"
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"{setting} has a port that is not a number from 1 to 65535.", remedy=_shape())
    known = {"host", "port", "dbname", "user", "password"}
    return Conninfo(
        host=host,
        port=int(port),
        dbname=found.get("dbname") or found["user"],
        user=found["user"],
        password=Secret(found["password"]) if found.get("password") else None,
        options={key: value for key, value in found.items() if key not in known},
    )


def primary(text: Secret, *, ca_file: Path | None, insecure_loopback: bool) -> Conninfo:
    """Return how to reach the primary, refused where it could not be trusted.

    Raises ConfigError for the transaction pooler, for TLS weaker than ``require`` (unless the server
    is on this machine and it was asked for), for a certificate file that is not there.
    """
    setting = "SUPABASE_DATABASE_URL"
    found = parse(text, setting)
    if found.port == TRANSACTION_POOLER_PORT:
        raise ConfigError(
            f"{setting} points at port {TRANSACTION_POOLER_PORT}, the transaction pooler. "
            "A copy read through it can be wrong without any error.",
            remedy="Take the session pooler's string (same host, port 5432) from Supabase's Connect dialog.",
        )
    mode = found.options.get("sslmode", "require")
    if mode not in STRONG and not (found.loopback and insecure_loopback):
        raise ConfigError(
            f"{setting} has sslmode={mode}, which lets the connection be read on its way.",
            remedy="Use sslmode=require, or give SUPABASE_CA_FILE for verify-full."
            " (On loopback alone, --insecure-loopback accepts it.)",
        )
    options = {"gssencmode": "disable", "connect_timeout": "15"} | dict(found.options) | {"sslmode": mode}
    if ca_file is not None:
        options |= {"sslrootcert": str(_existing(ca_file, "SUPABASE_CA_FILE")), "sslmode": "verify-full"}
    return replace(found, options=options)


def neon(uri: Secret, *, ca_file: Path) -> Conninfo:
    """Return how to reach a Neon compute: always ``verify-full`` against ``ca_file``."""
    found = parse(uri, "the connection URI that Neon gave", password_needed=False)
    fixed = {
        "sslmode": "verify-full",
        "sslrootcert": str(_existing(ca_file, "NEON_CA_FILE")),
        "gssencmode": "disable",
    }
    return replace(found, options=dict(found.options) | fixed | {"connect_timeout": "30"})


def _existing(path: Path, setting: str) -> Path:
    if not path.is_file():
        raise ConfigError(f"{setting} names a file that is not there: {path}.")
    return path


def _shape() -> str:
    return (
        "It looks like postgresql://USER:PASSWORD@HOST:5432/postgres?sslmode=require,"
        " with special characters of the password percent-encoded (@ is %40, / is %2F)."
    )


def _why(text: Secret, setting: str) -> str:
    """Return what can be said about a malformed string without quoting it."""
    plain = text.reveal()
    if re.search(r"\s", plain.strip()):
        return f": it holds white space. {_shape()}"
    try:
        parts = urlsplit(plain)
        names = [name for name, _ in parse_qsl(parts.query)]
    except ValueError:
        return f". {_shape()}"
    if parts.scheme not in ("postgres", "postgresql"):
        return f": it must begin with postgresql://. {_shape()}"
    foreign = [name for name in names if name.isidentifier() and name.lower() not in _VARIABLES]
    if foreign:
        return f": libpq knows no parameter {', '.join(foreign)}; take it out of {setting}."
    return f". {_shape()}"
