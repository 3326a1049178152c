"""The retention policy that the settings ask for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from supaneon_sync.errors import ConfigError
from supaneon_sync.policy import periods
from supaneon_sync.policy.backups import DEFAULT, Policy
from supaneon_sync.settings import Settings

RULES = (
    "keep_last",
    "keep_hourly",
    "keep_daily",
    "keep_weekly",
    "keep_monthly",
    "keep_yearly",
    "keep_within",
)


def is_chosen(settings: Settings) -> bool:
    """Say whether any rule was set; without one the default policy stands in."""
    return any(getattr(settings, name) is not None for name in RULES)


def policy_of(settings: Settings) -> Policy:
    """Return the policy that the settings ask for, the default rules where they name none.

    Raises ConfigError for one that keeps nothing or contradicts itself.
    """
    common: dict[str, Any] = {
        "keep_failed": settings.keep_failed,
        "minimum": settings.minimum,
        "max_deletes": settings.max_deletes,
        "zone": ZoneInfo(settings.time_zone),
    }
    try:
        if not is_chosen(settings):
            return replace(DEFAULT, **common)
        given: dict[str, Any] = {
            name: getattr(settings, name) for name in RULES if getattr(settings, name) is not None
        }
        return Policy(**given, **common)
    except ValueError as error:
        raise ConfigError(f"{error}.", remedy="Nothing was touched; see docs/retention.md.") from error


def in_words(policy: Policy) -> str:
    """Return the policy's rules and its floor as settings write them."""
    counts = {name: getattr(policy, name) for name in (*RULES[:-1], "minimum")}
    told = [f"{name.replace('_', '-')} {count}" for name, count in counts.items() if count]
    if policy.keep_within is not None:
        told.append(f"keep-within {periods.in_words(policy.keep_within)}")
    return ", ".join(told)
