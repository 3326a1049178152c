"""What the demo does as the application would: look at rows through a URI, and work on the primary.

look.py rows VARIABLE   a few counts and rows through the URI that VARIABLE of the environment holds
look.py day             one working day on the primary: rows come, change and go, a table is new
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection

import supaneon_sync.sandbox.primary as sample

COUNTS = """
    SELECT 'auth.users', count(*) FROM auth.users
    UNION ALL SELECT 'public.tasks', count(*) FROM public.tasks
    UNION ALL SELECT 'public.comments', count(*) FROM public.comments
    UNION ALL SELECT 'billing.invoices', count(*) FROM billing.invoices"""
LAST = "SELECT id, title, state::text FROM public.tasks ORDER BY id DESC LIMIT 3"


def main(words: list[str]) -> None:
    """Do what the first word says."""
    match words:
        case ["rows", variable]:
            uri = os.environ[variable]
            with psycopg2.connect(uri, sslrootcert=os.environ["NEON_CA_FILE"]) as session:
                _rows(session)
        case ["day"]:
            uri = os.environ["SUPABASE_DATABASE_URL"]
            with psycopg2.connect(uri, sslrootcert=os.environ["SUPABASE_CA_FILE"]) as session:
                _day(session)
        case _:
            sys.exit(__doc__)


def _rows(session: connection) -> None:
    parameters = session.get_dsn_parameters()
    print(f"  database {parameters['dbname']} on {parameters['host']}")
    with session.cursor() as cursor:
        cursor.execute(COUNTS)
        for name, count in cursor.fetchall():
            print(f"  {name:<18}{count:>8,} rows")
        cursor.execute(LAST)
        for number, title, state in cursor.fetchall():
            print(f"  task {number}: {title} ({state})")


def _day(session: connection) -> None:
    statements = Path(sample.__file__).with_name("day_of_changes.sql").read_text(encoding="utf-8")
    with session.cursor() as cursor:
        cursor.execute("SELECT set_config('sandbox.day', '1', false)")
        cursor.execute(statements)
    print("  30 people signed up, tasks were written, finished and deleted, one table is new.")


if __name__ == "__main__":
    main(sys.argv[1:])
