"""A primary to protect: a database in the shape of Supabase's, with a sample application or without."""

from supaneon_sync.sandbox.primary.build import (
    SETTINGS,
    SUPERUSER,
    create_backup_role,
    create_primary,
    day_of_changes,
)

__all__ = ["SETTINGS", "SUPERUSER", "create_backup_role", "create_primary", "day_of_changes"]
