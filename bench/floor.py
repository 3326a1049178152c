"""The floor: bare COPY out, COPY in and CREATE INDEX of the same rows on the same cores, nothing else.

`python -m bench.floor SOURCE TARGET JOBS` copies into a target that has the tables and no index.
Rows cross in binary format, frozen, a pipe between two sessions for each worker.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2
from psycopg2.extensions import connection

_CHUNK = 256 * 1024

_TABLES = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname = 'public' ORDER BY pg_table_size(c.oid) DESC
"""
_INDEXES = """
SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public'
ORDER BY pg_relation_size(i.indexrelid) DESC
"""


def main(source: str, target: str, jobs: int) -> None:
    """Copy the rows, then build the indexes, ``jobs`` at a time, and print the seconds of both."""
    with psycopg2.connect(source) as session, session.cursor() as cursor:
        cursor.execute(_TABLES)
        tables = [row[0] for row in cursor.fetchall()]
        cursor.execute(_INDEXES)
        indexes = [row[0] for row in cursor.fetchall()]
    began = time.monotonic()
    shares = [tables[number::jobs] for number in range(jobs)]
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda share: _copy(source, target, share), shares))
    copied = time.monotonic()
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda share: _index(target, share), [indexes[n::jobs] for n in range(jobs)]))
    sys.stdout.write(f"rows {copied - began:.3f} indexes {time.monotonic() - copied:.3f}\n")


def _copy(source: str, target: str, tables: list[str]) -> None:
    with closing(psycopg2.connect(source)) as out, closing(psycopg2.connect(target)) as into:
        out.autocommit = True
        for table in tables:
            _copy_one(out, into, table)


def _copy_one(out: connection, into: connection, table: str) -> None:
    read_end, write_end = os.pipe()

    def send() -> None:
        with os.fdopen(write_end, "wb", buffering=_CHUNK) as pipe, out.cursor() as cursor:
            cursor.copy_expert(f"COPY {table} TO STDOUT (FORMAT binary)", pipe)

    sender = threading.Thread(target=send)
    sender.start()
    with os.fdopen(read_end, "rb", buffering=_CHUNK) as pipe, into.cursor() as cursor:
        cursor.execute(f"TRUNCATE {table}")
        cursor.copy_expert(f"COPY {table} FROM STDIN (FORMAT binary, FREEZE)", pipe, size=_CHUNK)
    sender.join()
    into.commit()


def _index(target: str, definitions: list[str]) -> None:
    session = psycopg2.connect(target)
    session.autocommit = True
    with session.cursor() as cursor:
        for definition in definitions:
            cursor.execute(definition)
    session.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
