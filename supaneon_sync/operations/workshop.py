"""Where a backup is worked on: sessions on both sides, crews of them, and how long each phase took."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from supaneon_sync.operations.mirroring import HeldMirror
from supaneon_sync.operations.standby import Standby
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres import building, dumping, mirror, restore, session
from supaneon_sync.postgres.archive import Archive
from supaneon_sync.postgres.building import Builders
from supaneon_sync.postgres.clients import Clients
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.copying import Reader
from supaneon_sync.postgres.crew import Crew, Item, Result, Sessions
from supaneon_sync.postgres.failures import Side
from supaneon_sync.postgres.fingerprint import Seed
from supaneon_sync.postgres.pace import Pace
from supaneon_sync.postgres.session import Session
from supaneon_sync.postgres.snapshot import Snapshot

_MOST_LOCKS = 2000
"""A server's table of locks has room for about 6,400 with the usual settings; pg_dump needs as many."""


_PATIENCE = "60s"
_ADDING_UP = "96MB"
"""What a session may hold in memory while it adds up the blocks of a table."""


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

    def __enter__(self) -> Workshop:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept_open.close()

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
        holder = self._kept_open.enter_context(self.on_mirror("hold still"))

        def let_go() -> None:
            self.held.keeper.drop(holder)
            holder.close()

        self._kept_open.callback(let_go)
        holder.execute(f"SET lock_timeout = '{_PATIENCE}'; BEGIN")
        mirror.forbid_writing(holder, tables)
        self.held.keeper.add(holder)
        return let_go

    def let_go(self) -> None:
        """Let go of everything that is held still, as before another attempt."""
        self._kept_open.close()

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

    def on_primary(self, purpose: str) -> Session:
        """Open a session on the primary, READ ONLY."""
        return session.connect(
            self._primary,
            Side.PRIMARY,
            purpose=purpose,
            stop=self.run.stop,
            show_row_values=self.settings.show_row_values,
        )

    def on_mirror(self, purpose: str) -> Session:
        """Open a session on the user's database on the mirror, ready for definitions."""
        opened = self._standby.connect(self.held.door, purpose)
        restore.prepare(opened)
        return opened

    def on_schema(self) -> Session:
        """Open a session on the mirror that makes definitions, and waits for a table for a minute at most.

        Nobody but this run has locks there; what would wait for one of its own would wait for ever.
        """
        opened = self.on_mirror("schema")
        opened.execute(f"SET lock_timeout = '{_PATIENCE}'")
        return opened

    def crew(self, purpose: str, task: Callable[[Sessions, Item], Result]) -> Crew[Item, Result]:
        """Return workers with a session on the mirror each."""
        return Crew(self.settings.jobs, partial(self._single, purpose), task, self.run.stop)

    def reader(self, snapshot: Snapshot, seed: Seed) -> Reader:
        """Return how the primary's rows are read: at most so fast, waiting so long for a lock."""
        pace = Pace(self.settings.max_rate, monotonic=self.run.monotonic, wait=self.run.stop.wait)
        return Reader(snapshot, seed, self.settings.lock_wait, pace)

    def builders(self) -> Builders:
        """Return the crew that builds indexes on the mirror while rows are on their way."""
        crew = Crew(self.settings.jobs, self._builder, building.run, self.run.stop)
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
        crew = Crew(self.settings.jobs, self._comparer, task, self.run.stop, lambda _, __: None)
        crew.told = self.run.progress.warning
        return crew

    @contextmanager
    def _comparer(self) -> Iterator[Sessions]:
        with self._pair() as sessions:
            for one in sessions:
                one.execute(f"SET work_mem = '{_ADDING_UP}'")
            yield sessions

    @contextmanager
    def _single(self, purpose: str) -> Iterator[Sessions]:
        with self.on_mirror(purpose) as opened:
            yield (opened,)

    @contextmanager
    def _builder(self) -> Iterator[Sessions]:
        with self.on_mirror("indexes") as opened:
            building.use_memory(opened, self.settings.jobs)
            yield (opened,)

    @contextmanager
    def _pair(self) -> Iterator[Sessions]:
        with ExitStack() as stack:
            source = stack.enter_context(self.on_primary("rows"))
            target = stack.enter_context(self.on_mirror("rows"))
            target.execute(f"SET search_path = {restore.APPLICATION_PATH}; SET lock_timeout = '{_PATIENCE}'")
            yield source, target

    def dump_primary(self, snapshot: str, without: Iterable[str] = ()) -> Archive:
        """Return the primary's schema as the snapshot shows it, ``without`` some schemas."""
        return dumping.dump_schema(
            self._primary,
            Side.PRIMARY,
            self.client,
            stop=self.run.stop,
            part=dumping.Part(snapshot, tuple(sorted(without))),
            lock_wait=self.settings.lock_wait,
        )

    def dump_mirror(self) -> Archive:
        """Return the mirror's schema, read by the same client."""
        return dumping.dump_schema(self.held.door, Side.NEON, self.client, stop=self.run.stop)

    def counter(self, total: int) -> Callable[[str, int], None]:
        """Return what tells progress of ``total`` items as each is done: its label, its bytes."""
        count = volume = 0

        def done(label: str, size: int = 0) -> None:
            nonlocal count, volume
            count, volume = count + 1, volume + size
            self.run.progress.advance(label, count, total, volume)

        return done
