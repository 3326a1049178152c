"""The verb `config`: the settings in effect, where each comes from, and no secret."""

from __future__ import annotations

from supaneon_sync.report.outcome import Outcome, Table
from supaneon_sync.setting import Setting
from supaneon_sync.settings import SETTINGS, Loaded
from supaneon_sync.values import written


def describe(loaded: Loaded) -> Outcome:
    """Return the effective settings as an outcome, secrets as ``***``."""
    shown = [row for row in SETTINGS if row.name != "json"]
    rows = tuple((row.name, _value(row, loaded), loaded.origins.get(row.name, "default")) for row in shown)
    given = sum(row.name in loaded.origins for row in shown)
    unset = [row.environment or row.name for row in shown if row.required and row.name not in loaded.origins]
    notes = tuple(f"{name} is not set; `backup-run` or another verb needs it." for name in unset)
    return Outcome(
        operation="config",
        verdict="incomplete" if unset else "ok",
        headline=f"{given} of {len(shown)} settings given, the others by default.",
        tables=(Table("Settings in effect", ("Setting", "Value", "From"), rows),),
        notes=notes,
        report={"settings": {name: {"value": value, "from": origin} for name, value, origin in rows}},
    )


def _value(row: Setting, loaded: Loaded) -> str:
    value = getattr(loaded.settings, row.field)
    if row.secret:
        return "*** (set)" if value else "not set"
    return written(value) or "not set"
