"""The one table of settings: names, inputs, environment, flags, types, defaults, help.

``action.yml``'s inputs, the README's tables and ``--help`` are generated from ``SETTINGS``; a test
fails on drift. Precedence: flag > action input > environment > file > default. An empty string is
"not given", because that is what GitHub hands over for an input nobody set.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from supaneon_sync import setting
from supaneon_sync.errors import ConfigError
from supaneon_sync.policy import anomaly, checks
from supaneon_sync.policy.checks import Check
from supaneon_sync.policy.scope import TableName
from supaneon_sync.secret import Secret
from supaneon_sync.setting import Setting, unknown
from supaneon_sync.values import (
    parse_api_host,
    parse_backup_name,
    parse_compute_units,
    parse_month,
    parse_path,
    parse_percentage,
    parse_positive,
    parse_primary,
    parse_rate,
    parse_schemas,
    parse_tables,
    parse_zone,
)

DEFAULT_FILE = Path(".github/supaneon.yml")
NEON_VERBS = (
    "backup",
    "restore-test",
    "self-test",
    "prune",
    "list",
    "resolve",
    "pin",
    "unpin",
    "failover",
    "validate-config",
)
"""The verbs that talk to Neon."""
VERBS = (*NEON_VERBS, "roles-sql", "config")
"""Every operation of the action, in the order of the documentation."""
ALL = VERBS
JUDGING = ("restore-test", "list", "resolve")
RETAINING = ("prune", "backup")
"""The verbs that apply the retention policy: backup does where the project has no branch left."""
READ_ALL = ("config", "validate-config")
"""The verbs that read every setting, needed or not: looking at them is what they are for."""
DOOR_INPUTS = ("operation", "config")
"""Inputs of the action that its door reads itself. They are no settings of a verb."""
CONTAINER_INPUTS = ("args", "entrypoint")
"""Inputs that every container action has by GitHub's own doing."""


@dataclass(frozen=True)
class Settings:
    """The effective settings of one run. Each field is a row of the table."""

    supabase_database_url: Secret | None = setting.secret(
        parse_primary,
        environment="SUPABASE_DATABASE_URL",
        verbs=("backup", "validate-config", "roles-sql", "failover"),
        spared=("failover",),
        required=("backup",),
        help="Connection string of the primary: direct (port 5432) or session pooler, never the "
        "transaction pooler (6543).",
    )
    supabase_ca_file: Path | None = setting.row(
        "path",
        parse_path,
        environment="SUPABASE_CA_FILE",
        verbs=("backup", "validate-config", "roles-sql", "failover"),
        spared=("failover",),
        help="Supabase's root certificate (prod-ca-2021.crt from the dashboard). When given, the primary is "
        "verified in full (sslmode=verify-full).",
    )
    neon_api_key: Secret | None = setting.secret(
        environment="NEON_API_KEY",
        verbs=(*NEON_VERBS, "roles-sql"),
        required=tuple(verb for verb in NEON_VERBS if verb != "validate-config"),
        help="Neon API key. A key of the standby project alone is best.",
    )
    neon_project_id: str | None = setting.text(
        environment="NEON_PROJECT_ID",
        verbs=(*NEON_VERBS, "roles-sql"),
        help="The standby project. May be left out where the key sees exactly one project.",
    )
    neon_database: str = setting.text(
        "neondb",
        environment="NEON_DATABASE",
        verbs=NEON_VERBS,
        help="Database on the copy that holds your data.",
    )
    neon_db_user: str = setting.text(
        "neondb_owner", environment="NEON_DB_USER", verbs=NEON_VERBS, help="Role that owns the copy."
    )
    neon_db_password: Secret | None = setting.secret(
        environment="NEON_DB_PASSWORD",
        verbs=NEON_VERBS,
        help="Password of that role, used where Neon's API does not tell the branch's own.",
    )
    neon_api_host: str = setting.row(
        "URL",
        parse_api_host,
        "https://console.neon.tech/api/v2",
        environment="NEON_API_HOST",
        verbs=(*NEON_VERBS, "roles-sql"),
        help="Base URL of Neon's API (tests and the sandbox).",
    )
    neon_ca_file: Path | None = setting.row(
        "path",
        parse_path,
        environment="NEON_CA_FILE",
        verbs=NEON_VERBS,
        help="Root certificates that Neon's computes are verified with. Default: the public ones.",
    )
    backup: str | None = setting.row(
        "backup name",
        parse_backup_name,
        verbs=("restore-test", "self-test", "resolve", "failover", "pin", "unpin"),
        help="Name of one backup, or latest. Default: the newest healthy one (restore-test: the newest). "
        "resolve also takes failover, the failover in force, and the name of its branch.",
    )
    max_age: timedelta | None = setting.duration(
        verbs=JUDGING,
        help="Fail when the backup is older than this, for example 26h.",
    )
    checks: tuple[Check, ...] = setting.row(
        "list",
        checks.read,
        (),
        verbs=("restore-test", "failover"),
        file_only=True,
        help="Your own checks of the copy: a list, each item with name, sql (one SELECT), what to expect "
        "(expect, min, max or rows) and timeout. See docs/restore-test.md.",
    )
    jobs: int = setting.row(
        "number",
        parse_positive,
        4,
        verbs=("backup", "restore-test", "self-test", "validate-config"),
        help="Connections that read the primary at the same time (one more is held for the snapshot).",
    )
    max_rate: int | None = setting.row(
        "rate",
        parse_rate,
        verbs=("backup",),
        help="Read rows of the primary no faster than this, for example 20MB/s, all connections together.",
    )
    lock_wait: timedelta = setting.duration(
        timedelta(seconds=30),
        verbs=("backup", "validate-config"),
        help="How long to wait for a table on the primary that a migration holds locked.",
    )
    make_room: bool = setting.flag(
        True,
        verbs=("backup",),
        help="At the branch limit, first remove what the retention policy would remove anyway.",
    )
    include_auth_sessions: bool = setting.flag(
        verbs=("backup",),
        help="Also copy live login secrets (refresh tokens, one-time tokens, challenges), useless on a copy.",
    )
    show_row_values: bool = setting.flag(
        verbs=("backup", "restore-test", "self-test"),
        help="Let error messages carry the row values that the server reports. They are your users' data.",
    )
    report_file: Path | None = setting.row(
        "path",
        parse_path,
        verbs=("backup", "restore-test", "self-test", "prune", "failover"),
        help="Where to write the run's report (JSON).",
    )
    keep_last: int | None = setting.count(
        verbs=RETAINING,
        help="Keep the last N backups. Rules add up; a backup whose drill failed takes no place in any.",
    )
    keep_hourly: int | None = setting.count(
        verbs=RETAINING, help="Keep the newest backup of each of the last N hours that have one."
    )
    keep_daily: int | None = setting.count(
        verbs=RETAINING, help="Keep the newest backup of each of the last N days that have one."
    )
    keep_weekly: int | None = setting.count(
        verbs=RETAINING, help="Keep the newest backup of each of the last N ISO weeks that have one."
    )
    keep_monthly: int | None = setting.count(
        verbs=RETAINING, help="Keep the newest backup of each of the last N months that have one."
    )
    keep_yearly: int | None = setting.count(
        verbs=RETAINING, help="Keep the newest backup of each of the last N years that have one."
    )
    keep_within: timedelta | None = setting.duration(
        verbs=RETAINING,
        help="Keep every backup younger than this, measured back from the newest backup, not from now.",
    )
    keep_failed: timedelta = setting.duration(
        timedelta(days=3),
        verbs=RETAINING,
        help="How long a backup whose drill failed stays as evidence. The newest of them stays anyway.",
    )
    minimum: int = setting.row(
        "number",
        parse_positive,
        3,
        verbs=RETAINING,
        help="The floor: this many of the newest healthy backups stay, whatever the rules say.",
    )
    max_deletes: int = setting.row(
        "number",
        parse_positive,
        100,
        verbs=RETAINING,
        help="The most backups that one run removes, oldest first.",
    )
    include_schemas: tuple[str, ...] | None = setting.row(
        "schemas",
        parse_schemas,
        verbs=("backup",),
        help="Copy these schemas alone, with commas between them; odd names in double quotes. "
        "Default: the whole database.",
    )
    exclude_schemas: tuple[str, ...] | None = setting.row(
        "schemas",
        parse_schemas,
        verbs=("backup",),
        help="Leave these schemas out, with commas between them.",
    )
    exclude_table_data: tuple[TableName, ...] | None = setting.row(
        "tables",
        parse_tables,
        verbs=("backup",),
        help="Copy these tables without their rows (schema.table, with commas between them).",
    )
    on_anomaly: str = setting.choice(
        "fail",
        "warn",
        default="fail",
        verbs=("backup",),
        help="When rows or tables fell beyond the tolerance since the last normal backup: the backup is "
        "published and marked either way. fail then ends the run with exit code 7, again each time until the "
        "rows are back; warn ends it well and takes what is there as the new normal. See docs/anomalies.md.",
    )
    anomaly_tolerance: int = setting.row(
        "percentage",
        parse_percentage,
        anomaly.DEFAULT_TOLERANCE,
        verbs=("backup",),
        help="How far rows in all, rows of one table, or the number of tables may fall, in per cent. With "
        "100% no fall is an anomaly.",
    )
    anomaly_ignore: tuple[TableName, ...] | None = setting.row(
        "tables",
        parse_tables,
        verbs=("backup",),
        help="Tables whose rows come and go, such as queues and caches: no fall of theirs is an anomaly "
        "(schema.table, with commas between them).",
    )
    time_zone: str = setting.row(
        "time zone",
        parse_zone,
        "UTC",
        verbs=RETAINING,
        help="Time zone in which days, weeks, months and years of the retention policy begin.",
    )
    strategy: str = setting.choice(
        "auto",
        "delta",
        "rebuild",
        default="auto",
        verbs=("backup",),
        help="How the mirror is made equal: delta moves only what differs and refuses to start over, rebuild "
        "makes it from nothing, auto does the one where it can and else the other.",
    )
    rebuild_every: timedelta = setting.duration(
        timedelta(days=30),
        verbs=("backup",),
        help="With strategy auto, make the mirror from nothing when that is so long ago.",
    )
    prove_every: timedelta = setting.row(
        "duration",
        parse_month,
        timedelta(hours=20),
        verbs=("backup",),
        help="How long rows of the mirror may rest on the proof of an earlier backup, if their versions show "
        "that nobody has written to them since. Older ones are hashed again; with 0s all are, every time.",
    )
    yes: bool = setting.flag(
        verbs=("prune", "failover"),
        command_line_only=True,
        help="Do it. Without it the plan is shown and nothing is changed.",
    )
    dry_run: bool = setting.flag(verbs=("prune", "failover"), help="Show the plan, change nothing.")
    hide_names: bool = setting.flag(
        verbs=ALL,
        help="Keep the names and numbers of tables out of log, summary and report, for public repositories.",
    )
    json: bool = setting.flag(verbs=ALL, command_line_only=True, help="Print the result as JSON.")
    clients: Path | None = setting.row(
        "path",
        parse_path,
        environment="SUPANEON_CLIENTS",
        verbs=("backup", "restore-test", "self-test", "validate-config"),
        help="Directory with PostgreSQL client programs, one directory a major version (17/bin/pg_dump).",
    )
    operation_timeout: timedelta = setting.duration(
        timedelta(minutes=10),
        verbs=NEON_VERBS,
        help="How long to wait for one of Neon's operations, and for other operations on the project to end.",
    )
    side: str | None = setting.choice(
        "primary",
        "neon",
        verbs=("roles-sql",),
        command_line_only=True,
        help="Print the SQL for this side alone (primary or neon), fit for psql. Default: both.",
    )
    offline: bool = setting.flag(
        verbs=("validate-config",),
        command_line_only=True,
        help="Touch no network: look at the settings and list the client programs only.",
    )
    plan: bool = setting.flag(
        verbs=("failover",), help="Show the steps and what will be lost, change nothing."
    )
    end: bool = setting.flag(
        verbs=("failover",),
        help="Declare the failover over, once the team has decided. Deletes nothing; backups run again.",
    )
    diff: bool = setting.flag(
        verbs=("failover",),
        help="Tell, table by table, how many rows the failover branch has added, changed and removed.",
    )
    rehearse: bool = setting.flag(
        verbs=("failover",),
        help="Do it all on a throw-away branch, measure the time to serving, leave nothing behind.",
    )
    role: str | None = setting.text(
        verbs=("failover", "resolve"),
        help="Application role that may log in on the failover branch, with a password of its own. Its URIs "
        "are handed out then, not the owner's, whom row security does not restrain.",
    )
    min_cu: float = setting.row(
        "compute units",
        parse_compute_units,
        1,
        verbs=("failover",),
        help="Smallest size of the failover branch's compute, in Neon's compute units.",
    )
    max_cu: float = setting.row(
        "compute units",
        parse_compute_units,
        4,
        verbs=("failover",),
        help="Largest size that it grows to. A size that the plan refuses is left to the project's default.",
    )
    smoke_command: str | None = setting.text(
        verbs=("failover",),
        help="Command that a rehearsal runs against its branch, for example 'npm run smoke'. It finds the "
        "URI in DATABASE_URL, and is run without a shell.",
    )
    fence_primary: bool = setting.flag(
        verbs=("failover",),
        help="First make the primary read-only for new transactions, where it can be reached "
        "(ALTER DATABASE … SET default_transaction_read_only). Never done unasked.",
    )
    insecure_loopback: bool = setting.flag(
        verbs=("backup", "validate-config", "roles-sql", "failover"),
        spared=("failover",),
        help="Accept a primary without TLS when it is on this machine (loopback) alone.",
    )


def _row(field: dataclasses.Field[Any]) -> Setting:
    return Setting(name=field.name.replace("_", "-"), default=field.default, **field.metadata)


SETTINGS: tuple[Setting, ...] = tuple(_row(field) for field in dataclasses.fields(Settings))
BY_NAME: Mapping[str, Setting] = {row.name: row for row in SETTINGS}


@dataclass(frozen=True)
class Loaded:
    """Settings of a run, and where each that is not a default came from."""

    settings: Settings
    origins: Mapping[str, str]


def of_verb(verb: str) -> tuple[Setting, ...]:
    """Return the rows that a verb takes, in the table's order; ``config`` takes them all."""
    return tuple(row for row in SETTINGS if verb == "config" or verb in row.verbs)


def load(
    verbs: Iterable[str],
    *,
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    file: Mapping[str, object],
) -> Loaded:
    """Return the settings for a run of ``verbs``, every source consulted in its order.

    ``flags`` and ``file`` map a setting's name to its value. Raises ConfigError that lists every
    problem at once: missing, malformed, unknown. Values of secrets never appear in it. What no verb
    of the run needs is not looked at: a broken primary's URL must not stand in the way of `resolve`.
    """
    wanted = frozenset(verbs)
    problems = _unknown(file) + _unknown_inputs(environment)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for row in SETTINGS:
        if not wanted.intersection((*row.verbs, *READ_ALL)):
            continue
        found = _first_given(row, flags, environment, file)
        if found is None:
            if wanted.intersection(row.required):
                problems.append(_missing(row))
            continue
        origin, value = found
        try:
            values[row.field] = row.parse(value)
        except ValueError as error:
            if wanted.intersection(row.verbs) <= set(row.spared) and not wanted.intersection(READ_ALL):
                continue
            problems.append(f"{origin} {error}{_shown(row, value)}.")
        origins[row.name] = origin
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigError(f"{count} in the settings; nothing was touched.", problems=tuple(problems))
    return Loaded(Settings(**values), origins)


def _first_given(
    row: Setting,
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    file: Mapping[str, object],
) -> tuple[str, object] | None:
    if row.file_only:
        found = file.get(row.name)
        return None if found is None else (f"{row.name} in the file", found)
    sources: list[tuple[str, object]] = [(row.flag, flags.get(row.name))]
    if not row.command_line_only:
        sources.append((f"Input {row.name}", environment.get(row.input_variable)))
    if row.environment:
        sources.append((row.environment, environment.get(row.environment)))
    if not row.command_line_only and not row.secret:
        sources.append((f"{row.name} in the file", file.get(row.name)))
    return next(((origin, value) for origin, value in sources if _given(value)), None)


def _given(value: object) -> bool:
    return value is not None and not (isinstance(value, str) and not value.strip())


def _shown(row: Setting, value: object) -> str:
    """Return what was given, unless it is a secret or could be one that went to the wrong place."""
    if row.secret or row.file_only:
        return ""
    text = repr(value)
    return "" if len(text) > 42 or "@" in text else f" (given: {text})"


def _missing(row: Setting) -> str:
    ways = [f"the environment variable {row.environment}"] if row.environment else []
    ways.append(f"the action's input {row.name}")
    return f"{row.environment or row.name} is missing: set {' or '.join(ways)}. {row.help}"


def _unknown(file: Mapping[str, object]) -> list[str]:
    problems = []
    for key in file:
        row = BY_NAME.get(key)
        if row is None:
            name = str(key) if len(str(key)) <= 40 else "a key"
            problems.append(unknown(f"{name!r} in the file is not a setting", name, _FILE_NAMES))
        elif row.secret:
            problems.append(
                f"{key} in the file is refused, since it is a secret and the file is in the repository: "
                f"set the environment variable {row.environment} or the action's input, from a "
                "secret store. If it was committed, replace the secret itself too."
            )
        elif row.command_line_only:
            problems.append(f"{key} in the file is refused: it is for the command line alone.")
    return problems


def _unknown_inputs(environment: Mapping[str, str]) -> list[str]:
    if environment.get("GITHUB_ACTIONS") != "true":
        return []
    given = [key[6:].lower() for key in environment if key.startswith("INPUT_")]
    known = {*INPUT_NAMES, *CONTAINER_INPUTS}
    return [
        unknown(f"{name} is not an input of this action", name, INPUT_NAMES)
        for name in given
        if name not in known
    ]


_FILE_NAMES = tuple(row.name for row in SETTINGS if not row.secret and not row.command_line_only)
INPUT_NAMES = (
    *DOOR_INPUTS,
    *(row.name for row in SETTINGS if not row.command_line_only and not row.file_only),
)
"""Every input of the action, in the order of ``action.yml``."""
