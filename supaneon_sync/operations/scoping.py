"""The part of the primary that the settings ask for."""

from __future__ import annotations

from supaneon_sync.policy.scope import Scope
from supaneon_sync.settings import Settings


def scope_of(settings: Settings) -> Scope:
    """Return the scope that the settings ask for; without any, the whole database."""
    return Scope(
        include=settings.include_schemas or (),
        exclude=settings.exclude_schemas or (),
        rowless=settings.exclude_table_data or (),
    )
