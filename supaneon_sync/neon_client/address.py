"""Where calls go and with which key: checked before anything is sent."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import quote, urlsplit

from supaneon_sync.errors import ConfigError
from supaneon_sync.secret import Secret


def path_of(*segments: str) -> str:
    """Return ``/a/b/c`` with each segment quoted. An empty one would be another route: ValueError."""
    for segment in segments:
        if not segment or segment in {".", ".."}:
            raise ValueError("a path segment of Neon's API must not be empty or dots")
    return "".join("/" + quote(segment, safe="") for segment in segments)


def checked_key(key: Secret) -> Secret:
    """Return the key without surrounding blanks. Raise ConfigError where it cannot be a header."""
    text = key.reveal().strip()
    if not text:
        raise ConfigError("NEON_API_KEY is empty.", remedy="Set it to an API key of the standby project.")
    if not re.fullmatch(r"[!-~]+", text):
        raise ConfigError(
            "NEON_API_KEY holds blanks, line breaks or characters that no key has.",
            remedy="Copy the key again, alone and on one line.",
        )
    return Secret(text)


def checked_host(api_host: str) -> tuple[str, bool]:
    """Return the base URL without a trailing slash, and whether it is this machine.

    Raise ConfigError unless it is https; http is for loopback alone, because the key would travel
    in the clear.
    """
    remedy = "Set NEON_API_HOST to a base URL like https://console.neon.tech/api/v2, or leave it out."
    try:
        parts = urlsplit(api_host.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigError("NEON_API_HOST is not a URL.", remedy=remedy) from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ConfigError("NEON_API_HOST is not an https URL.", remedy=remedy)
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ConfigError("NEON_API_HOST must hold no user, password, query or fragment.", remedy=remedy)
    loopback = _is_loopback(host)
    if parts.scheme == "http" and not loopback:
        raise ConfigError("NEON_API_HOST must be https: the key would travel in the clear.", remedy=remedy)
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", loopback


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
