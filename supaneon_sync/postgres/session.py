"""The one way to open a session: settings pinned, errors stripped of row values, stop honoured.

On the primary a session reads as a role that may read everything, so any code of a table's owner
that it can be tricked into running is a hole: READ ONLY, an empty-handed ``search_path``, row
security off (an error instead of silently missing rows), no views or foreign tables through COPY.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import psycopg2
from psycopg2 import sql
from psycopg2.errorcodes import QUERY_CANCELED
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, connection

from supaneon_sync.errors import NeonError, PrimaryError, SupaneonError
from supaneon_sync.postgres.conninfo import Conninfo
from supaneon_sync.postgres.failures import Side, translate, unreachable
from supaneon_sync.postgres.pins import FORGET, pins
from supaneon_sync.run import Stop


class Writer(Protocol):
    """What takes bytes as they come."""

    def write(self, chunk: bytes, /) -> int:
        """Take the next bytes."""


Statement = str | sql.Composable
Parameters = Sequence[object] | Mapping[str, object] | None
_TOGETHER = 50
"""How many queries of one row go in a round trip."""


class Session:
    """A connection in autocommit mode, with transactions opened by name.

    Raises PrimaryError or NeonError (QuotaError for a full project) with SQLSTATE, the server's
    primary message and object names; never DETAIL, CONTEXT or, unless ``show_row_values``, messages
    of the kinds that quote row values.
    """

    def __init__(self, connection: connection, side: Side, *, show_row_values: bool = False) -> None:
        self.connection = connection
        self.side = side
        self.show_row_values = show_row_values
        self._busy = threading.RLock()
        self._ending = threading.Lock()
        self._cancelled = False
        self._retired = False
        self._beginning = ""

    def query(self, statement: Statement, parameters: Parameters = None) -> list[tuple[Any, ...]]:
        """Run statements in one round trip; return the rows of the last one (none where it has none)."""
        with self._busy, self._translating(), self.connection.cursor() as cursor:
            cursor.execute(self._begun(statement), parameters)
            return cursor.fetchall() if cursor.description else []

    def one(self, statement: Statement, parameters: Parameters = None) -> tuple[Any, ...]:
        """Run one statement that gives exactly one row, and return it."""
        rows = self.query(statement, parameters)
        if len(rows) != 1:
            raise self._error(f"{self.side.value} gave {len(rows)} rows where one was expected.")
        return rows[0]

    def value(self, statement: Statement, parameters: Parameters = None) -> Any:
        """Run one statement that gives one row, and return its first column."""
        return self.one(statement, parameters)[0]

    def ones(self, statements: Sequence[sql.Composable]) -> list[tuple[Any, ...]]:
        """Run queries of one row each, of the same columns, many a round trip; return the rows in order."""
        found: dict[int, tuple[Any, ...]] = {}
        numbered = [
            sql.SQL("SELECT {}, q.* FROM ({}) AS q").format(sql.Literal(number), statement)
            for number, statement in enumerate(statements)
        ]
        for start in range(0, len(numbered), _TOGETHER):
            union = sql.SQL(" UNION ALL ").join(numbered[start : start + _TOGETHER])
            found |= {number: tuple(row) for number, *row in self.query(union)}
        return [found[number] for number in range(len(numbered))]

    def execute(self, statement: Statement, parameters: Parameters = None) -> None:
        """Run statements whose rows nobody wants, in one round trip."""
        with self._busy, self._translating(), self.connection.cursor() as cursor:
            cursor.execute(self._begun(statement), parameters)

    def copy_out(self, statement: sql.Composable, sink: Writer) -> None:
        """Run COPY … TO STDOUT and hand what comes to ``sink``, a piece at a time."""
        with self._busy, self.errors(), self.connection.cursor() as cursor:
            cursor.copy_expert(statement, sink)

    @contextmanager
    def transaction(self, mode: str = "") -> Iterator[None]:
        """Run the block in a transaction, committed at its end, rolled back on any error.

        It is begun with the block's first statement, in the same round trip.
        """
        self._beginning = f"BEGIN {mode}; "
        with self.finishing():
            yield

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """Run the block in a transaction that is open, or that it begins: committed, or rolled back."""
        try:
            yield
            if self._beginning:  # nothing was done in it
                self._beginning = ""
            else:
                self.execute("COMMIT")
        except BaseException:
            self.abandon()
            raise

    @contextmanager
    def trial(self, mode: str = "") -> Iterator[None]:
        """Run the block in a transaction that is taken back at its end, whatever happens."""
        self._beginning = f"BEGIN {mode}; "
        try:
            yield
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Roll back what is open, or close the session where that cannot be. Never raises."""
        if self._beginning:
            self._beginning = ""
            return
        try:
            self.connection.rollback()
            with self.connection.cursor() as cursor:
                cursor.execute("ROLLBACK")
        except psycopg2.Error:
            self.close()

    def ping(self) -> None:
        """Show the server and everything between that this session is alive."""
        if self._busy.acquire(blocking=False):
            try:
                if not self._retired and not self._beginning:
                    self.query("SELECT 1")
            finally:
                self._busy.release()

    def cancel(self) -> None:
        """Ask the server to end what this session is doing, and ask it for nothing more.

        Between two statements the server has nothing to end, so the next is refused here, as the server
        refuses one that it ends. Never raises; safe from any thread.
        """
        with self._ending:
            if self._retired:
                return
            self._cancelled = True
        with suppress(psycopg2.Error):
            if not self.connection.closed:
                self.connection.cancel()

    def close(self) -> None:
        """Close the connection, unless it is another session's by now. Never raises."""
        with suppress(psycopg2.Error):
            if not self._retired:
                self.connection.close()

    def retire(self) -> bool:
        """End the session and say whether its connection may be `renewed`; it is closed where not.

        Only one that is in no transaction and was never asked to cancel anything: such a request may
        reach the server late, when somebody else is using the connection. From here on nobody who still
        knows this session can cancel, ping or close what has become of its connection.
        """
        with self._busy, self._ending:
            mine = self.connection
            sound = not self._cancelled and not mine.closed
            self._retired = sound and mine.get_transaction_status() == TRANSACTION_STATUS_IDLE
        if not self._retired:
            self.close()
        return self._retired

    def renounce(self) -> None:
        """Close the connection of a session that has retired. Never raises."""
        with suppress(psycopg2.Error):
            self.connection.close()

    def renewed(self, purpose: str, settings: str = "") -> Session:
        """Return a new session on the connection of this one, which has retired.

        It is what `connect` would return, in one round trip: whatever was set is forgotten and everything
        is pinned anew. Raises PrimaryError or NeonError, and the connection is closed, where it has died.
        """
        made = Session(self.connection, self.side, show_row_values=self.show_row_values)
        name = sql.SQL("SET application_name = {};").format(sql.Literal(_name(purpose)))
        made.execute_or_close(sql.SQL(FORGET) + name + sql.SQL(pins(self.side, settings)))
        return made

    def execute_or_close(self, settings: Statement) -> None:
        """Run what makes a session ready; without that it is not to be used."""
        try:
            self.execute(settings)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn the driver's errors into ours, for who uses the connection itself in the transaction."""
        if self._beginning:
            self.execute("")
        with self._translating():
            yield

    @contextmanager
    def _translating(self) -> Iterator[None]:
        if self._retired:
            raise RuntimeError("The session has been given back.")
        if self._cancelled:
            raise self._error(f"Nothing more is asked of {self.side.value}.", sqlstate=QUERY_CANCELED)
        try:
            yield
        except psycopg2.Error as error:
            raise translate(error, self.side, show_row_values=self.show_row_values) from None

    def _begun(self, statement: Statement) -> Statement:
        """Return the statement, after what begins the transaction where that is still to be begun."""
        beginning, self._beginning = self._beginning, ""
        if not beginning:
            return statement
        if isinstance(statement, str):
            return beginning + statement
        return sql.SQL(beginning) + statement

    def _error(self, message: str, **evidence: str) -> SupaneonError:
        return (PrimaryError if self.side is Side.PRIMARY else NeonError)(message, **evidence)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(
    conninfo: Conninfo,
    side: Side,
    *,
    purpose: str,
    stop: Stop | None = None,
    show_row_values: bool = False,
    settings: str = "",
) -> Session:
    """Open a session with everything pinned. ``purpose`` is its application_name's tail.

    ``settings`` are statements that set what it needs besides: all is set in one round trip. On the
    primary the session is READ ONLY. Raises PrimaryError or NeonError with a remedy.
    """
    if stop is not None:
        stop.check()
    keywords: dict[str, Any] = conninfo.keywords() | {
        "application_name": _name(purpose),
        "keepalives": "1",
        "keepalives_idle": "30",
        "keepalives_interval": "10",
        "keepalives_count": "6",
        "tcp_user_timeout": "120000",
        "client_encoding": "UTF8",
    }
    password = None if conninfo.password is None else conninfo.password.reveal()
    try:
        opened = psycopg2.connect("", password=password, **keywords)
    except (psycopg2.Error, UnicodeError) as error:
        raise unreachable(str(error), conninfo, side) from None
    opened.autocommit = True
    session = Session(opened, side, show_row_values=show_row_values)
    session.execute_or_close(pins(side, settings))
    return session


def _name(purpose: str) -> str:
    """Return the application_name of a session."""
    return f"supaneon-sync {purpose}"[:63]
