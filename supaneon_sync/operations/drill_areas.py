"""What a drill looks at in a branch that is known to be the backup, one area after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from supaneon_sync.errors import ConfigError, NeonError, QuotaError
from supaneon_sync.operations.standby import Standby
from supaneon_sync.policy.checks import Check, judge
from supaneon_sync.policy.drill import Finding, Gravity
from supaneon_sync.policy.facts import Inventory, Relation
from supaneon_sync.policy.shape import Shape, differences
from supaneon_sync.postgres import clients, drilling, inventory, sequences
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.crew import Crew, Item, Result, Sessions
from supaneon_sync.postgres.drilling import Guarded, Index
from supaneon_sync.postgres.dumping import dump_schema
from supaneon_sync.postgres.failures import Side
from supaneon_sync.postgres.fingerprint import Fingerprint, Method, Seed, fingerprint
from supaneon_sync.postgres.sequences import Reading
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.shape import read as read_shape

PURPOSE = "drill"
"""What the sessions of a drill are called: another run knows by it that a drill is still at work."""
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


@dataclass(frozen=True)
class Seen:
    """What one look at an area gave; the fields are those of `policy.drill.Area`."""

    tested: str = ""
    findings: tuple[Finding, ...] = ()
    skipped: str = ""


class Body:
    """The areas that are looked at once it is known that this is the backup."""

    def __init__(
        self, standby: Standby, door: Conninfo, session: Session, document: Mapping[str, Any]
    ) -> None:
        self._standby = standby
        self._settings = standby.settings
        self._run = standby.run
        self._door = door
        self._session = session
        self._manifest = document
        with session.transaction("READ ONLY"):
            self._facts: Inventory = inventory.read(session)
        self._tables = {(r.schema, r.name): r for r in self._facts.relations.values() if r.kind == "r"}

    def looks(self) -> tuple[tuple[str, Callable[[], Seen]], ...]:
        """Return the areas in their order: what only reads first, what writes last."""
        return (
            ("schema", self._schema),
            ("rows", self._rows),
            ("rows left out", self._left_out),
            ("sequences", self._sequences),
            ("row security", self._row_security),
            ("your checks", self._checks),
            ("writes", self._writes),
            ("indexes", self._indexes),
        )

    def _schema(self) -> Seen:
        recorded = Shape(self._manifest["shape"])
        found = read_shape(self._session, self._facts.grants, list(self._manifest["roles"]))
        told = list(differences(recorded, found))
        digest, how = self._dump_digest()
        if digest not in ("", self._manifest["schema"]["mirror"]) and not told:
            told.append("the schema as pg_dump reads it is not the one that was recorded")
        counts = ", ".join(f"{found.count(kind)} {many}" for kind, many in _COUNTED)
        return Seen(f"{counts}; {how}", _findings(Gravity.DATA, told))

    def _dump_digest(self) -> tuple[str, str]:
        wanted = str(self._manifest["tool"]["pg_dump"])
        try:
            client = clients.find(
                self._manifest["target"]["major"], directory=self._settings.clients, environment=os.environ
            )
        except ConfigError:
            return "", "no pg_dump here to read it a second time"
        if client.version != wanted:
            return "", f"not read by pg_dump: {client.version} is here, {wanted} wrote the manifest"
        found = dump_schema(self._door, Side.NEON, client, stop=self._run.stop)
        return found.digest(), f"and as pg_dump {client.version} reads it"

    def _rows(self) -> Seen:
        seed = Seed(*self._manifest["seed"])
        recorded = {(one["schema"], one["name"]): one for one in self._manifest["tables"]}
        methods = {key: Method(one.get("method", "server")) for key, one in recorded.items()}

        def task(sessions: Sessions, table: Relation) -> Fingerprint | str:
            try:
                return fingerprint(sessions[0], table, seed, methods[table.schema, table.name])
            except NeonError as error:
                if drilling.lost(error):
                    raise
                return f"cannot be read ({drilling.meaning(error)})"

        there = [self._tables[key] for key in recorded if key in self._tables]
        results = self._crew(task).work(sorted(there, key=lambda table: -table.pages), self._counted(there))
        told = [f"table {schema}.{name} is missing" for schema, name in recorded.keys() - self._tables.keys()]
        for table in there:
            text = _row_difference(recorded[table.schema, table.name], results[table])
            if text:
                told.append(f"{table.label} {text}")
        rows = sum(one["rows"] for one in recorded.values())
        return Seen(f"{len(recorded)} tables, {rows} rows", _findings(Gravity.DATA, sorted(told)))

    def _left_out(self) -> Seen:
        wanted = [(one["schema"], one["name"]) for one in self._manifest["tables_without_rows"]]
        there = [key for key in wanted if key in self._tables]
        told = [
            f"{name} holds rows, and was recorded without" for name in drilling.filled(self._session, there)
        ]
        return Seen(f"{len(there)} tables are empty, as recorded", _findings(Gravity.DATA, told))

    def _sequences(self) -> Seen:
        recorded = [
            Reading(one["schema"], one["name"], one["last_value"], one["is_called"])
            for one in self._manifest["sequences"]
        ]
        names = {(r.schema, r.name) for r in self._facts.relations.values() if r.kind == "S"}
        there = [one for one in recorded if (one.schema, one.name) in names]
        told = [f"sequence {one.label} is missing" for one in recorded if one not in there]
        for before, now in zip(there, sequences.reread(self._session, there), strict=True):
            if before != now:
                told.append(
                    f"sequence {before.label} stands at {now.last_value}, recorded {before.last_value}"
                )
        return Seen(f"{len(recorded)} readings", _findings(Gravity.DATA, told))

    def _row_security(self) -> Seen:
        seen = drilling.guarded(self._session)
        usable = [one for one in seen if one.settable and not one.bypasses]
        told: list[Finding] = []
        for one in usable:
            self._run.stop.check()
            told += self._seen_as(one)
        closed = sum(not one.open for one in usable)
        tested = f"{len(usable)} pairs of table and API role; {closed} must see nothing"
        if seen and not usable:
            return Seen(skipped="the copy's owner may not become the API's roles")
        return Seen(tested, tuple(told))

    def _seen_as(self, one: Guarded) -> list[Finding]:
        try:
            sees = drilling.visible(self._session, one)
        except NeonError as error:
            if drilling.lost(error):
                raise
            text = f"{one.role} cannot read {one.label} ({drilling.meaning(error)})"
            return [Finding(Gravity.DEGRADED, text)]
        if sees and not one.open:
            return [Finding(Gravity.DATA, f"{one.role} sees rows of {one.label}, and no policy lets it")]
        return []

    def _checks(self) -> Seen:
        wanted = self._settings.checks
        if not wanted:
            return Seen(skipped="none are set")
        told: list[str] = []
        with self._standby.connect(self._door, PURPOSE) as session:
            for check in wanted:
                self._run.stop.check()
                text = self._answer(session, check)
                if text:
                    told.append(f"{check.name!r} {text}")
        return Seen(f"{len(wanted)} checks", _findings(Gravity.CHECKS, told))

    def _answer(self, session: Session, check: Check) -> str:
        show = self._settings.show_row_values
        try:
            with self._run.stop.calling(session.cancel):
                found = drilling.answer(session, check)
        except NeonError as error:
            self._run.stop.check()
            if drilling.lost(error):
                raise
            if drilling.timed_out(error):
                return f"did not answer within {int(check.timeout.total_seconds())} s"
            return f"was refused ({drilling.meaning(error)})"
        return judge(check, found.first, found.rows, show_values=show)

    def _writes(self) -> Seen:
        def task(sessions: Sessions, table: Relation) -> Finding | None:
            try:
                refused = drilling.write(sessions[0], table)
            except (NeonError, QuotaError) as error:
                if drilling.lost(error):
                    raise
                return Finding(Gravity.CHECKS, f"{table.label} cannot be written ({drilling.meaning(error)})")
            text = f"a write to {table.label} is refused ({refused})"
            return Finding(Gravity.DEGRADED, text) if refused else None

        tables = list(self._tables.values())
        all_of_them = [
            Reading(r.schema, r.name, 0, False) for r in self._facts.relations.values() if r.kind == "S"
        ]
        places = sequences.reread(self._session, all_of_them)
        try:
            found = self._crew(task).work(tables)
        finally:
            # What defaults and triggers took from sequences is not given back by taking the write back.
            after = sequences.reread(self._session, places)
            moved = [place for place, now in zip(places, after, strict=True) if place != now]
            sequences.apply(self._session, moved)
        told = sorted((one for one in found.values() if one is not None), key=lambda one: one.text)
        return Seen(f"{len(tables)} tables, each written and taken back", tuple(told))

    def _indexes(self) -> Seen:
        schema, why = drilling.install_amcheck(self._session)
        if why:
            return Seen(skipped=f"valid as recorded (see schema); not looked through, because {why}")
        try:
            indexes = drilling.btrees(self._session)

            def task(sessions: Sessions, index: Index) -> Finding | None:
                try:
                    wrong = drilling.sound(sessions[0], schema, index)
                except NeonError as error:
                    if drilling.lost(error):
                        raise
                    text = f"{index.label} could not be looked through ({drilling.meaning(error)})"
                    return Finding(Gravity.DEGRADED, text)
                return Finding(Gravity.DATA, f"index {index.label} is corrupt ({wrong})") if wrong else None

            found = self._crew(task).work(indexes)
        finally:
            drilling.remove_amcheck(self._session)
        told = tuple(one for one in found.values() if one is not None)
        return Seen(f"{len(indexes)} B-trees looked through by amcheck, with their tables", told)

    def _counted(self, tables: Sequence[Relation]) -> Callable[[Relation, object], None]:
        count = 0

        def done(table: Relation, _: object) -> None:
            nonlocal count
            count += 1
            self._run.progress.advance(table.label, count, len(tables))

        return done

    @contextmanager
    def _single(self) -> Iterator[Sessions]:
        with self._standby.connect(self._door, PURPOSE) as opened:
            yield (opened,)

    def _crew(self, task: Callable[[Sessions, Item], Result]) -> Crew[Item, Result]:
        return Crew(self._settings.jobs, self._single, task, self._run.stop)


def _findings(gravity: Gravity, texts: Sequence[str]) -> tuple[Finding, ...]:
    return tuple(Finding(gravity, text) for text in texts)


def _row_difference(recorded: Mapping[str, Any], found: Fingerprint | str) -> str:
    if isinstance(found, str):
        return found
    if found.rows != recorded["rows"]:
        return f"has {found.rows} rows, {recorded['rows']} recorded"
    if found.digest != recorded["fingerprint"]:
        return f"has as many rows as recorded ({found.rows}), but other contents"
    return ""
