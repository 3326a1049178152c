"""Where the key may be sent, and what a key may look like."""

from __future__ import annotations

import pytest

from supaneon_sync.errors import ConfigError
from supaneon_sync.neon_client import DEFAULT_HOST, NeonClient
from supaneon_sync.neon_client.address import checked_host, checked_key, path_of
from supaneon_sync.secret import Secret


@pytest.mark.parametrize(
    ("given", "used", "loopback"),
    [
        (DEFAULT_HOST, DEFAULT_HOST, False),
        (" https://console.neon.tech/api/v2/ ", DEFAULT_HOST, False),
        ("http://127.0.0.1:8080/api/v2", "http://127.0.0.1:8080/api/v2", True),
        ("http://localhost:1/api/v2", "http://localhost:1/api/v2", True),
        ("http://[::1]:1/api/v2", "http://[::1]:1/api/v2", True),
        ("https://127.0.0.1/api/v2", "https://127.0.0.1/api/v2", True),
    ],
)
def test_https_anywhere_and_http_on_this_machine_are_accepted(given: str, used: str, loopback: bool) -> None:
    assert checked_host(given) == (used, loopback)


@pytest.mark.parametrize(
    "host",
    [
        "http://console.neon.tech/api/v2",
        "http://127.0.0.1.evil.example/api/v2",
        "http://localhost.evil.example/",
        "http://10.0.0.1/api/v2",
        "ftp://127.0.0.1/",
        "console.neon.tech",
        "https://",
        "https://[half/api",
        "https://host:port/api",
        "https://user:canary@console.neon.tech/api/v2",
        "https://console.neon.tech/api/v2?x=canary",
        "",
    ],
)
def test_any_other_address_is_a_settings_error_that_repeats_nothing_of_it(host: str) -> None:
    with pytest.raises(ConfigError, match="NEON_API_HOST") as caught:
        NeonClient(Secret("k"), api_host=host)
    assert "canary" not in str(caught.value)


def test_blanks_around_a_key_are_dropped() -> None:
    assert checked_key(Secret(" napi_abc\n")).reveal() == "napi_abc"


@pytest.mark.parametrize("key", ["", " \n", "canary\nX-Evil: 1", "canary canary", "canáry"])
def test_a_key_that_cannot_be_a_header_is_a_settings_error_that_does_not_show_it(key: str) -> None:
    with pytest.raises(ConfigError, match="NEON_API_KEY") as caught:
        checked_key(Secret(key))
    assert "can" not in str(caught.value).replace("cannot", "")


def test_segments_of_a_path_are_quoted_and_never_empty() -> None:
    assert path_of("a", "b/c?d#e%f", "ü") == "/a/b%2Fc%3Fd%23e%25f/%C3%BC"
    for segment in ("", ".", ".."):
        with pytest.raises(ValueError, match="segment"):
            path_of("a", segment)
