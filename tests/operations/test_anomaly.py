"""The anomaly brake on real servers: a primary that lost its rows is backed up, marked, and rung for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from supaneon_sync.policy import names
from supaneon_sync.report.outcome import Outcome
from supaneon_sync.sandbox.testing import Sandbox
from tests.operations.test_backup import backups, on_primary
from tests.tool import Watching, perform

SHOP = """
CREATE TABLE public.orders (id int PRIMARY KEY, note text);
INSERT INTO public.orders SELECT n, 'order ' || n FROM generate_series(1, 30000) n;
CREATE TABLE public.users (id int PRIMARY KEY);
INSERT INTO public.users SELECT generate_series(1, 200);
CREATE TABLE public.roles (id int PRIMARY KEY);
INSERT INTO public.roles SELECT generate_series(1, 5);
CREATE TABLE public.events (at date NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE public.events_1 PARTITION OF public.events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE public.events_2 PARTITION OF public.events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
INSERT INTO public.events SELECT date '2026-01-01' + n % 59, 'x' FROM generate_series(1, 2000) n;
"""
LOSS = "DELETE FROM public.orders WHERE id > 90; DELETE FROM public.users; DELETE FROM public.events"
FELL = "rows in all fell by 99 %, 3 tables lost rows"

UNKNOWN = "No earlier backup's numbers are known: nothing to compare with."

MakeSandbox = Callable[..., Sandbox]


@pytest.fixture
def shop(make_sandbox: MakeSandbox) -> Sandbox:
    """A small shop's primary, backed up once."""
    sandbox = make_sandbox(primary="empty")
    on_primary(sandbox, SHOP)
    backup(sandbox)
    return sandbox


def backup(sandbox: Sandbox, **options: Any) -> Outcome:
    """Back up, a second after whatever was before: a backup's name is its second."""
    time.sleep(1.1)
    return perform(sandbox, "backup", **options)


def anomalies(outcome: Outcome) -> list[str]:
    return [note for note in outcome.notes if note.startswith("Anomaly")]


def ledger(sandbox: Sandbox, name: str) -> dict[str, Any]:
    """The details of a backup's row in the ledger."""
    rows = sandbox.execute(
        names.MIRROR,
        f"SELECT details FROM supaneon.ledger WHERE subject = '{name}' AND verdict = 'published'",
        "supaneon",
    )
    (details,) = rows[0]
    assert isinstance(details, dict)
    return details


@dataclass(frozen=True)
class Night:
    """A primary that lost most of its rows between two backups, and what the second one said."""

    sandbox: Sandbox
    first: Outcome
    outcome: Outcome
    warnings: list[str]

    @property
    def good(self) -> str:
        return self.first.outputs["branch-name"]

    @property
    def name(self) -> str:
        return self.outcome.outputs["branch-name"]


@pytest.fixture(scope="module")
def night() -> Iterator[Night]:
    with Sandbox(primary="empty") as sandbox:
        on_primary(sandbox, SHOP)
        first = perform(sandbox, "backup")
        on_primary(sandbox, LOSS)
        progress = Watching()
        yield Night(sandbox, first, backup(sandbox, progress=progress), progress.warnings)


# A primary that lost most of its rows ----------------------------------------------------------


def test_a_first_backup_has_nothing_to_compare_with_and_says_so(night: Night) -> None:
    first = night.first
    assert (first.verdict, first.exit_code, first.outputs["anomaly"]) == ("ok", 0, "")
    assert UNKNOWN in first.notes
    assert UNKNOWN not in night.outcome.notes


def test_the_backup_of_an_emptied_primary_is_published_and_the_run_fails(night: Night) -> None:
    outcome = night.outcome
    assert (outcome.verdict, outcome.exit_code, outcome.failure_kind) == ("anomaly", 7, "anomaly")
    assert backups(night.sandbox) == {night.good, night.name}
    assert outcome.headline.startswith(f"{night.name} stands and was proved equal")
    assert f"since {night.good}" in outcome.headline
    assert outcome.outputs["anomaly"] == FELL
    assert dict(outcome.facts)["Anomaly"] == FELL
    assert "connection-uri" in outcome.secrets
    told = "\n".join(anomalies(outcome))
    for text in (
        "rows in all fell from 32",
        "rows of table public.orders fell from 30000 to 90 (by 99 %)",
        "rows of table public.events fell from 2000 to 0 (by 100 %)",
        "rows of table public.users fell from 200 to 0 (by 100 %)",
    ):
        assert text in told
    assert any("Anomaly" in warning and "rows in all fell" in warning for warning in night.warnings)


def test_the_mark_is_in_the_ledger_on_the_branch_and_in_the_manifest(night: Night) -> None:
    assert ledger(night.sandbox, night.name)["anomaly"] == FELL
    assert "anomaly" not in ledger(night.sandbox, night.good)
    assert night.sandbox.branch(night.name).annotation["supaneon-anomaly"] == FELL
    manifest = night.outcome.report["manifest"]
    assert isinstance(manifest, dict)
    assert (manifest["compared_with"], manifest["anomaly"]) == (night.good, FELL)
    orders = {"kind": "table", "table": "public.orders", "before": 30000, "now": 90}
    assert [one["kind"] for one in manifest["anomalies"]] == ["rows", "table", "table", "table"]
    assert manifest["anomalies"][1] == orders


def test_list_resolve_and_the_drill_say_it_beside_the_backup(night: Night) -> None:
    listed = perform(night.sandbox, "list")
    assert (listed.verdict, listed.exit_code) == ("anomaly", 0)
    assert listed.headline.endswith(f"It is an anomaly: {FELL}.")
    health = {row[0]: row[2] for row in listed.tables[0].rows}
    assert health == {night.name: f"healthy, ANOMALY: {FELL}", night.good: "healthy"}
    told = listed.report["backups"]
    assert isinstance(told, list)
    assert [one["anomaly"] for one in told] == [FELL, ""]
    resolved = perform(night.sandbox, "resolve")
    assert (resolved.verdict, resolved.outputs["branch-name"]) == ("degraded", night.name)
    assert any(night.good in note and FELL in note for note in resolved.notes)
    assert perform(night.sandbox, "resolve", backup=night.good).verdict == "ok"
    drilled = perform(night.sandbox, "restore-test")
    assert (dict(drilled.facts)["Anomaly"], drilled.outputs["anomaly"]) == (FELL, FELL)


def test_a_failover_says_it_before_anything_is_done_and_names_the_backup_without_it(night: Night) -> None:
    progress = Watching()
    planned = perform(night.sandbox, "failover", progress=progress)
    assert f"It is an anomaly: {FELL}." in planned.headline
    assert planned.outputs["backup-name"] == night.name
    assert dict(planned.facts)["Anomaly"] == FELL
    for told in (planned.notes, progress.warnings):
        assert any(FELL in text and text.endswith(f"{night.good}.") for text in told)
    named = perform(night.sandbox, "failover", backup=night.good)
    assert not any("anomaly" in note for note in named.notes)


def test_a_failover_to_such_a_backup_is_done_and_is_not_called_good(shop: Sandbox) -> None:
    on_primary(shop, LOSS)
    fallen = backup(shop).outputs["branch-name"]
    served = perform(shop, "failover", yes=True)
    assert (served.verdict, served.outputs["backup-name"]) == ("degraded", fallen)
    assert served.outputs["anomaly"] == FELL
    assert "Its backup is an anomaly" in served.headline


def test_prune_keeps_what_was_there_before_and_says_why(night: Night) -> None:
    plan = perform(night.sandbox, "prune", keep_last=1, minimum=1)
    rows = {row["branch"]: row for row in json.loads(plan.outputs["plan"])}
    assert rows[night.good]["decision"] == "keep"
    assert "newest before the anomaly" in rows[night.good]["reasons"]
    assert any(FELL in note for note in plan.notes)


# Night after night -----------------------------------------------------------------------------


def test_an_emptied_primary_is_no_new_normal_until_somebody_says_so(shop: Sandbox) -> None:
    (good,) = backups(shop)
    on_primary(shop, LOSS)
    for _ in range(2):
        again = backup(shop)
        assert (again.exit_code, again.outputs["anomaly"]) == (7, FELL)
        assert f"since {good}" in again.headline
    accepted = backup(shop, on_anomaly="warn")
    assert (accepted.verdict, accepted.exit_code, accepted.failure_kind) == ("anomaly", 0, "")
    assert accepted.outputs["anomaly"] == FELL
    assert "what the next backup is compared with" in accepted.headline
    after = backup(shop)
    assert (after.verdict, after.exit_code, after.outputs["anomaly"]) == ("ok", 0, "")
    assert shop.execute(names.MIRROR, "SELECT count(*) FROM supaneon.holding", "supaneon") == [(1,)]


def test_rows_that_come_back_end_it(shop: Sandbox) -> None:
    on_primary(shop, "CREATE TABLE public.saved AS TABLE public.orders; TRUNCATE public.orders")
    assert backup(shop).exit_code == 7
    on_primary(shop, "INSERT INTO public.orders TABLE public.saved")
    assert backup(shop).verdict == "ok"


def test_in_a_sequence_nothing_is_pruned_after_an_anomaly(shop: Sandbox, tmp_path: Path) -> None:
    (good,) = backups(shop)
    on_primary(shop, LOSS)
    time.sleep(1.1)
    output, summary = tmp_path / "output", tmp_path / "summary"
    variables = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_OUTPUT": str(output),
        "GITHUB_STEP_SUMMARY": str(summary),
        "INPUT_OPERATION": "backup,prune",
        "INPUT_KEEP-LAST": "1",
        "INPUT_MINIMUM": "1",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "supaneon_sync.action"],
        env={key: os.environ[key] for key in ("PATH", "HOME")} | shop.environment | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 7
    assert good in backups(shop)
    assert "::error title=backup::anomaly:" in ended.stdout
    assert "prune" not in summary.read_text().replace("pruned", "")
    handed = output.read_text()
    assert "failure-kind" in handed
    assert all(word in handed for word in ("anomaly", "branch-name", "connection-uri", FELL))


# What is no anomaly ----------------------------------------------------------------------------


def test_the_tolerance_is_honoured(shop: Sandbox) -> None:
    on_primary(shop, "DELETE FROM public.orders WHERE id > 17000")
    assert backup(shop).outputs["anomaly"] == "rows in all fell by 40 %, 1 table lost rows"
    assert backup(shop, anomaly_tolerance="50%").verdict == "ok"
    on_primary(shop, "TRUNCATE public.orders, public.users, public.events")
    assert backup(shop, anomaly_tolerance="100").verdict == "ok"


def test_tables_that_nobody_watches_may_fall(shop: Sandbox) -> None:
    on_primary(shop, "TRUNCATE public.orders")
    assert backup(shop, anomaly_ignore="public.orders").verdict == "ok"


def test_a_dropped_table_is_told_a_renamed_one_and_a_dropped_partition_are_not(shop: Sandbox) -> None:
    on_primary(shop, "ALTER TABLE public.users RENAME TO members")
    on_primary(shop, "DROP TABLE public.events_2")
    assert backup(shop, anomaly_tolerance="60").verdict == "ok"
    on_primary(shop, "DROP TABLE public.members")
    gone = backup(shop)
    assert gone.outputs["anomaly"] == "1 table gone"
    assert "table public.members is gone, which held 200 rows" in anomalies(gone)[0]


def test_a_change_of_the_scope_is_told_and_is_no_anomaly(shop: Sandbox) -> None:
    on_primary(shop, "CREATE SCHEMA shop; CREATE TABLE shop.t AS SELECT generate_series(1, 5000) AS n")
    assert backup(shop).verdict == "ok"
    narrowed = backup(shop, exclude_schemas="shop", exclude_table_data="public.orders")
    assert narrowed.outputs["anomaly"] == ""
    assert narrowed.verdict == "ok"
    assert any("another part of the primary" in note for note in narrowed.notes)
    again = backup(shop, exclude_schemas="shop", exclude_table_data="public.orders")
    assert not any("another part of the primary" in note for note in again.notes)


# Where the numbers are lost --------------------------------------------------------------------


def test_a_house_from_before_this_table_gets_one(shop: Sandbox) -> None:
    shop.execute(names.MIRROR, "DROP TABLE supaneon.holding", "supaneon")
    on_primary(shop, LOSS)
    blind = backup(shop)
    assert blind.verdict == "ok"
    assert UNKNOWN in blind.notes
    assert shop.execute(names.MIRROR, "SELECT count(*) FROM supaneon.holding", "supaneon") == [(1,)]


@pytest.mark.parametrize("body", ["'\\x00'::bytea", "decode('789c4b2c2c04000261012b', 'hex')"])
def test_numbers_that_somebody_altered_stop_no_backup_and_are_told(shop: Sandbox, body: str) -> None:
    shop.execute(names.MIRROR, f"UPDATE supaneon.holding SET body = {body}", "supaneon")
    progress = Watching()
    blind = backup(shop, progress=progress)
    assert blind.verdict == "ok"
    assert any("cannot be read: nothing was compared" in note for note in blind.notes)
    assert any("cannot be read: nothing was compared" in warning for warning in progress.warnings)
    assert not any("nothing was compared" in note for note in backup(shop).notes)


# What changed ----------------------------------------------------------------------------------


def test_the_summary_says_what_changed_since_the_last_backup(shop: Sandbox) -> None:
    (before,) = backups(shop)
    on_primary(
        shop,
        "INSERT INTO public.orders SELECT n, '' FROM generate_series(30001, 30010) n;"
        "CREATE TABLE public.invoices AS SELECT generate_series(1, 7) AS id; DROP TABLE public.roles;"
        "CREATE INDEX orders_note ON public.orders (note);"
        "COMMENT ON TABLE public.users IS 'people'",
    )
    outcome = backup(shop)
    changed = next(table for table in outcome.tables if table.title == f"What changed since {before}")
    rows = {row[0]: row[1:4] for row in changed.rows}
    assert rows["public.orders"] == ("rows changed", "30000", "30010")
    assert rows["public.invoices"] == ("new", "-", "7")
    assert rows["public.roles"] == ("dropped", "5", "-")
    assert "public.users" not in rows
    objects = next(table for table in outcome.tables if table.title == "Schema objects that changed")
    assert {("added", "table public.invoices"), ("added", "index public.orders_note")} <= set(objects.rows)
    assert ("removed", "table public.roles") in objects.rows
    assert not [name for _, name in objects.rows if "events" in name]
    told = outcome.report["changes"]
    assert isinstance(told, dict)
    assert told["since"] == before
    assert "+17 rows, 0 changed, 5 removed" in dict(outcome.facts)[f"Since {before}"]


def test_with_hidden_names_neither_names_nor_numbers_of_tables_show_but_the_alarm_does(shop: Sandbox) -> None:
    on_primary(shop, LOSS)
    time.sleep(1.1)
    ended = subprocess.run(
        [sys.executable, "-m", "supaneon_sync.cli", "backup-run", "--hide-names"],
        env={key: os.environ[key] for key in ("PATH", "HOME")} | shop.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 7
    said = ended.stdout + ended.stderr
    assert FELL in said
    assert not any(word in said for word in ("public.", "orders", "30000"))
