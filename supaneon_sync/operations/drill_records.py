"""What was recorded, compared: schema, rows, sequences, large objects. Nothing is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from supaneon_sync import __version__
from supaneon_sync.errors import ConfigError, NeonError
from supaneon_sync.operations import diagnosing
from supaneon_sync.operations.drill_areas import Ground, Looks, Seen, findings
from supaneon_sync.policy.drill import Finding, Gravity
from supaneon_sync.policy.facts import Relation
from supaneon_sync.policy.shape import Shape, differences
from supaneon_sync.postgres import clients, drilling, large_objects, mirror, sequences
from supaneon_sync.postgres.crew import Sessions
from supaneon_sync.postgres.dumping import Part, dump_schema
from supaneon_sync.postgres.failures import Side
from supaneon_sync.postgres.fingerprint import Fingerprint, Method, Seed, fingerprint
from supaneon_sync.postgres.sequences import Reading
from supaneon_sync.postgres.shape import asked_alike
from supaneon_sync.postgres.shape import read as read_shape

_COUNTED = (
    ("relation", "relations"),
    ("index", "indexes"),
    ("constraint", "constraints"),
    ("trigger", "triggers"),
    ("policy", "policies"),
    ("function", "functions"),
    ("extension", "extensions"),
    ("grant", "grants"),
)


class Records:
    """The areas in which a branch is compared with its manifest."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._settings = ground.standby.settings
        self._run = ground.standby.run

    def looks(self) -> Looks:
        """Return the areas in their order."""
        return (
            ("schema", self._schema),
            ("rows", self._rows),
            ("rows left out", self._left_out),
            ("sequences", self._sequences),
            ("large objects", self._large_objects),
        )

    def _schema(self) -> Seen:
        same, others = asked_alike(self._ground.manifest["shape_queries"])
        found = read_shape(self._ground.session, list(self._ground.manifest["roles"]))
        told = differences(Shape(self._ground.manifest["shape"]).only(same), found.only(same))
        digest, how = self._dump_digest()
        if digest not in ("", self._ground.manifest["schema"]["mirror"]) and not told:
            told = ("the schema as pg_dump reads it is not the one that was recorded",)
        found_all = list(findings(Gravity.DATA, told))
        if others:
            kinds = ", ".join(others)
            how = f"another version of this tool recorded, and asked otherwise about: {kinds}; {how}"
            if not digest:
                text = f"{kinds}: not compared, since another version of this tool recorded them"
                found_all.append(Finding(Gravity.DEGRADED, text))
        counts = ", ".join(f"{found.count(kind)} {many}" for kind, many in _COUNTED)
        return Seen(f"{counts}; {how}", tuple(found_all))

    def _dump_digest(self) -> tuple[str, str]:
        tool = self._ground.manifest["tool"]
        if tool["version"] != __version__:
            return "", f"not read by pg_dump: version {tool['version']} of this tool recorded it"
        if "time_zone" not in self._ground.manifest["schema"]:
            return "", "not read by pg_dump: another state of this tool recorded it"
        wanted = str(tool["pg_dump"])
        try:
            client = clients.find(
                self._ground.manifest["target"]["major"],
                directory=self._settings.clients,
                environment=os.environ,
            )
        except ConfigError:
            return "", "no pg_dump here to read it a second time"
        if client.version != wanted:
            return "", f"not read by pg_dump: {client.version} is here, {wanted} wrote the manifest"
        recorded = self._ground.manifest["schema"]["time_zone"]
        part = Part(time_zone=mirror.time_zone(recorded, self._ground.connect))
        found = dump_schema(self._ground.door, Side.NEON, client, stop=self._run.stop, part=part)
        return found.digest(), f"and as pg_dump {client.version} reads it"

    def _rows(self) -> Seen:
        seed = Seed(*self._ground.manifest["seed"])
        recorded = {(one["schema"], one["name"]): _recorded(one) for one in self._ground.manifest["tables"]}

        def task(sessions: Sessions, table: Relation) -> Fingerprint | str:
            try:
                return fingerprint(sessions[0], table, seed, recorded[table.schema, table.name].method)
            except NeonError as error:
                if drilling.lost(error):
                    raise
                return f"cannot be read ({drilling.meaning(error)})"

        there = [self._ground.tables[key] for key in recorded if key in self._ground.tables]
        results = self._ground.crew(task).work(
            sorted(there, key=lambda table: -table.pages), self._counted(there)
        )
        wanted = {table: recorded[table.schema, table.name] for table in there}
        differing = {
            table.label: wanted[table]
            for table in there
            if isinstance(results[table], Fingerprint) and results[table] != wanted[table]
        }
        counted = diagnosing.against_the_mirror(self._ground, differing)
        told = [
            f"table {schema}.{name} is missing"
            for schema, name in recorded.keys() - self._ground.tables.keys()
        ]
        for table in there:
            text = _row_difference(wanted[table], results[table])
            if text:
                told.append(f"{table.label} {text}{counted.of(table.label)}")
        tested = f"{len(recorded)} tables, {sum(one.rows for one in recorded.values())} rows"
        return Seen("; ".join(filter(None, (tested, counted.note))), findings(Gravity.DATA, sorted(told)))

    def _left_out(self) -> Seen:
        wanted = [(one["schema"], one["name"]) for one in self._ground.manifest["tables_without_rows"]]
        there = [key for key in wanted if key in self._ground.tables]
        told = [
            f"{name} holds rows, and was recorded without"
            for name in drilling.filled(self._ground.session, there)
        ]
        return Seen(f"{len(there)} tables are empty, as recorded", findings(Gravity.DATA, told))

    def _sequences(self) -> Seen:
        recorded = [
            Reading(one["schema"], one["name"], one["last_value"], one["is_called"])
            for one in self._ground.manifest["sequences"]
        ]
        names = {(r.schema, r.name) for r in self._ground.facts.relations.values() if r.kind == "S"}
        there = [one for one in recorded if (one.schema, one.name) in names]
        told = [f"sequence {one.label} is missing" for one in recorded if one not in there]
        for before, now in zip(there, sequences.reread(self._ground.session, there), strict=True):
            if before != now:
                told.append(
                    f"sequence {before.label} stands at {now.last_value}, recorded {before.last_value}"
                )
        return Seen(f"{len(recorded)} readings", findings(Gravity.DATA, told))

    def _large_objects(self) -> Seen:
        recorded = self._ground.manifest["large_objects"]
        session = self._ground.session
        oids = [oid for group in large_objects.groups(session) for oid, _ in group.objects]
        found = large_objects.summary(large_objects.measure(session, oids))
        told = [] if found == recorded else ["the large objects are not those that were recorded"]
        return Seen(f"{len(oids)} read and digested", findings(Gravity.DATA, told))

    def _counted(self, tables: Sequence[Relation]) -> Callable[[Relation, object], None]:
        count = 0

        def done(table: Relation, _: object) -> None:
            nonlocal count
            count += 1
            self._run.progress.advance(table.label, count, len(tables))

        return done


def _recorded(one: Mapping[str, Any]) -> Fingerprint:
    return Fingerprint(one["rows"], one["fingerprint"], Method(one.get("method", "server")))


def _row_difference(recorded: Fingerprint, found: Fingerprint | str) -> str:
    if isinstance(found, str):
        return found
    if found.rows != recorded.rows:
        return f"has {found.rows} rows, {recorded.rows} recorded"
    if found != recorded:
        return f"has as many rows as recorded ({found.rows}), but other contents"
    return ""
