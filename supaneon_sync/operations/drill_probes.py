"""What a copy must be able to do, tried: row security, the user's own checks, writes, sound indexes."""

from __future__ import annotations

from supaneon_sync.errors import NeonError, QuotaError
from supaneon_sync.operations.drill_areas import Ground, Looks, Seen, findings
from supaneon_sync.policy.checks import Check, judge
from supaneon_sync.policy.drill import Finding, Gravity
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres import drilling, sequences
from supaneon_sync.postgres.crew import Sessions
from supaneon_sync.postgres.drilling import Guarded, Index
from supaneon_sync.postgres.session import Session


class Probes:
    """The areas in which a branch is tried out. What only reads comes first."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._settings = ground.standby.settings
        self._run = ground.standby.run

    def looks(self) -> Looks:
        """Return the areas in their order."""
        return (
            ("row security", self._row_security),
            ("your checks", self._checks),
            ("writes", self._writes),
            ("indexes", self._indexes),
        )

    def _row_security(self) -> Seen:
        seen = drilling.guarded(self._ground.session)
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
            sees = drilling.visible(self._ground.session, one)
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
        with self._ground.connect() as session:
            for check in wanted:
                self._run.stop.check()
                text = self._answer(session, check)
                if text:
                    told.append(f"{check.name!r} {text}")
        return Seen(f"{len(wanted)} checks", findings(Gravity.CHECKS, told))

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
        reaching = sorted(drilling.REACHING_OUT & self._ground.facts.extensions.keys())

        def task(sessions: Sessions, table: Relation) -> Finding | None:
            try:
                refused = drilling.write(sessions[0], table, still=bool(reaching))
            except (NeonError, QuotaError) as error:
                if drilling.lost(error):
                    raise
                return Finding(Gravity.CHECKS, f"{table.label} cannot be written ({drilling.meaning(error)})")
            text = f"a write to {table.label} is refused ({refused})"
            return Finding(Gravity.DEGRADED, text) if refused else None

        tables = list(self._ground.tables.values())
        places = sequences.reread(self._ground.session, self._ground.sequences)
        try:
            found = self._ground.crew(task).work(tables)
        finally:
            # What defaults and triggers took from sequences is not given back by taking the write back.
            after = sequences.reread(self._ground.session, places)
            moved = [place for place, now in zip(places, after, strict=True) if place != now]
            sequences.apply(self._ground.session, moved)
        told = sorted((one for one in found.values() if one is not None), key=lambda one: one.text)
        tested = f"{len(tables)} tables, each written and taken back"
        if reaching:
            tested += f"; triggers kept from firing, since {', '.join(reaching)} could carry them outside"
        return Seen(tested, tuple(told))

    def _indexes(self) -> Seen:
        schema, why = drilling.install_amcheck(self._ground.session)
        if why:
            return Seen(skipped=f"valid as recorded (see schema); not looked through, because {why}")
        try:
            indexes = drilling.btrees(self._ground.session)

            def task(sessions: Sessions, index: Index) -> Finding | None:
                try:
                    wrong = drilling.sound(sessions[0], schema, index)
                except NeonError as error:
                    if drilling.lost(error):
                        raise
                    text = f"{index.label} could not be looked through ({drilling.meaning(error)})"
                    return Finding(Gravity.DEGRADED, text)
                return Finding(Gravity.DATA, f"index {index.label} is corrupt ({wrong})") if wrong else None

            found = self._ground.crew(task).work(indexes)
        finally:
            drilling.remove_amcheck(self._ground.session)
        told = tuple(one for one in found.values() if one is not None)
        return Seen(f"{len(indexes)} B-trees looked through by amcheck, with their tables", told)
