"""Where a backup is worked on: sessions on both sides, crews of them, and how long each phase took."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial

from supaneon_sync.operations.mirroring import HeldMirror
from supaneon_sync.operations.standby import Standby
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres import building, dumping, mirror, restore, session
from supaneon_sync.postgres.archive import Archive
from supaneon_sync.postgres.building import Build, Builders, Outcome
from supaneon_sync.postgres.clients import Clients
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.crew import Crew, Item, Result, Sessions
from supaneon_sync.postgres.failures import Side
from supaneon_sync.postgres.fingerprint import Seed
from supaneon_sync.postgres.pace import Pace
from supaneon_sync.postgres.pool import Pool
from supaneon_sync.postgres.sending import Reader
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.snapshot import Snapshot

_MOST_LOCKS = 2000
"""A server's table of locks has room for about 6,400 with the usual settings; pg_dump needs as many."""


_PATIENCE = "SET lock_timeout = '60s';"
"""Nobody but this run has locks on the mirror; what would wait for one of its own would wait for ever."""
_ADDING_UP = "SET work_mem = '96MB';"
"""What a session may hold in memory while it adds up the blocks of a table."""
_AS_APPLICATION = f"SET search_path = {restore.APPLICATION_PATH};"


class Workshop:
    """The primary and the held mirror, with what it takes to work between them."""

    def __init__(self, standby: Standby, primary: Conninfo, held: HeldMirror, client: Clients) -> None:
        self.settings = standby.settings
        self.run = standby.run
        self.held = held
        self.client = client
        self.seconds: dict[str, float] = {}
        self._standby = standby
        self._primary = primary
        self._kept_open = ExitStack()
        self._on_primary = Pool(self._open_primary, self.run.stop)
        self._on_mirror = Pool(partial(standby.connect, held.door), self.run.stop)

    def __enter__(self) -> Workshop:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept_open.close()
        self._on_primary.close()
        self._on_mirror.close()

    def can_hold(self, tables: Sequence[Relation]) -> bool:
        """Say whether so many tables can be held still."""
        return len(tables) <= _MOST_LOCKS

    def hold_still(self, tables: Sequence[Relation]) -> Callable[[], None]:
        """Keep everybody from writing to the copied tables until the workshop is left.

        What is proved from here on is what a branch will be cut from: that nobody else writes to the
        mirror is a rule, and this enforces it for rows. Beyond `_MOST_LOCKS` tables the rule stands alone.
        Returns what lets go of them sooner.
        """
        if not tables or not self.can_hold(tables):
            return lambda: None
        holder = self._kept_open.enter_context(self.on_mirror("hold still", _PATIENCE))

        def let_go() -> None:
            self.held.keeper.drop(holder)
            holder.close()

        self._kept_open.callback(let_go)
        mirror.forbid_writing(holder, tables)
        self.held.keeper.add(holder)
        return let_go

    def let_go(self) -> None:
        """Let go of everything that is held still, and of the mirror, as before another attempt."""
        self._kept_open.close()
        self.leave_mirror()

    @contextmanager
    def phase(self, name: str, title: str = "") -> Iterator[None]:
        """Announce a phase if it has a title, and take its time in seconds."""
        if title:
            self.run.progress.step(title)
        began = self.run.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.run.monotonic() - began

    def on_primary(self, purpose: str, settings: str = "") -> AbstractContextManager[Session]:
        """Lend a session on the primary, READ ONLY, with ``settings`` (statements) besides."""
        return self._on_primary.session(purpose, settings)

    def on_mirror(self, purpose: str, settings: str = "") -> AbstractContextManager[Session]:
        """Lend a session on the user's database on the mirror, ready for definitions, likewise."""
        return self._on_mirror.session(purpose, restore.DEFINING + settings)

    def on_schema(self) -> AbstractContextManager[Session]:
        """Lend a session on the mirror that makes definitions, and waits for a table for a minute at most."""
        return self.on_mirror("definitions", _PATIENCE)

    def leave_mirror(self) -> None:
        """Close what is open on the user's database on the mirror and not in use.

        So it has to be before the database is dropped, and when settings stored for it have changed: a
        session goes back to those that it found when it was opened.
        """
        self._on_mirror.empty()

    def _open_primary(self, purpose: str, *, settings: str) -> Session:
        return session.connect(
            self._primary,
            Side.PRIMARY,
            purpose=purpose,
            stop=self.run.stop,
            show_row_values=self.settings.show_row_values,
            settings=settings,
        )

    def crew(self, purpose: str, task: Callable[[Sessions, Item], Result]) -> Crew[Item, Result]:
        """Return workers with a session on the mirror each, which wait for a table for a minute at most."""
        return Crew(self.settings.jobs, partial(self._single, purpose), task, self.run.stop)

    def reader(self, snapshot: Snapshot, seed: Seed) -> Reader:
        """Return how the primary's rows are read: at most so fast, waiting so long for a lock."""
        pace = Pace(self.settings.max_rate, monotonic=self.run.monotonic, wait=self.run.stop.wait)
        return Reader(snapshot, seed, self.settings.lock_wait, pace)

    def builders(self) -> Builders:
        """Return the crew that builds indexes on the mirror while rows are on their way."""

        def build(sessions: Sessions, one: Build) -> Outcome:
            return building.run(sessions, one, crowded=crew.is_crowded())

        crew = Crew(self.settings.jobs, self._builder, build, self.run.stop)
        return Builders(crew, self.settings.jobs)

    def pairs(
        self,
        task: Callable[[Sessions, Item], Result],
        again: Callable[[Sessions, Item], None] | None = None,
    ) -> Crew[Item, Result]:
        """Return workers with a session on the primary and one on the mirror each, for rows.

        On the mirror it runs under the application's search_path, on which functions in CHECK
        constraints and generated columns may rely.
        """
        crew = Crew(self.settings.jobs, self._pair, task, self.run.stop, again)
        crew.told = self.run.progress.warning
        return crew

    def comparers(self, task: Callable[[Sessions, Item], Result]) -> Crew[Item, Result]:
        """Return workers with a session on either side each, which add up what they read in memory."""
        crew = Crew(
            self.settings.jobs, partial(self._pair, _ADDING_UP), task, self.run.stop, lambda _, __: None
        )
        crew.told = self.run.progress.warning
        return crew

    @contextmanager
    def _single(self, purpose: str) -> Iterator[Sessions]:
        with self.on_mirror(purpose, _PATIENCE) as opened:
            yield (opened,)

    @contextmanager
    def _builder(self) -> Iterator[Sessions]:
        with self.on_mirror("indexes", building.memory(self.settings.jobs)) as opened:
            yield (opened,)

    @contextmanager
    def _pair(self, settings: str = "") -> Iterator[Sessions]:
        """Lend a session on either side; if they have to be opened, that is done side by side."""
        with ExitStack() as stack:
            with ThreadPoolExecutor(1) as helper:
                target = self.on_mirror("rows", _AS_APPLICATION + _PATIENCE + settings)
                there = helper.submit(stack.enter_context, target)
                here = stack.enter_context(self.on_primary("rows", settings))
            yield here, there.result()

    def dump_primary(self, snapshot: Snapshot, without: Iterable[str] = ()) -> Archive:
        """Return the primary's schema as the snapshot shows it, ``without`` some schemas."""
        self._on_primary.make_room()
        return dumping.dump_schema(
            self._primary,
            Side.PRIMARY,
            self.client,
            stop=self.run.stop,
            part=dumping.Part(snapshot.name, tuple(sorted(without)), snapshot.time_zone),
            lock_wait=self.settings.lock_wait,
        )

    def dump_mirror(self, snapshot: Snapshot) -> Archive:
        """Return the mirror's schema, read by the same client, with times as the primary's, if it can.

        A role of the primary may have a time zone of its own, in which pg_dump then tells the bounds of
        partitions and other constants; a pooler may not let it be told another one.
        """
        zone = mirror.time_zone(snapshot.time_zone, partial(self.on_mirror, "time zone"))
        part = dumping.Part(time_zone=zone)
        self._on_mirror.make_room()
        return dumping.dump_schema(self.held.door, Side.NEON, self.client, stop=self.run.stop, part=part)

    def counter(self, total: int) -> Callable[[str, int], None]:
        """Return what tells progress of ``total`` items as each is done: its label, its bytes."""
        count = volume = 0

        def done(label: str, size: int = 0) -> None:
            nonlocal count, volume
            count, volume = count + 1, volume + size
            self.run.progress.advance(label, count, total, volume)

        return done
