"""Damage to a throw-away copy, done on purpose to see whether a drill notices.

Each function damages one thing that it finds, and returns its name for people: '' where the copy has
nothing of the kind. What a table's own rules refuse is tried on the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from psycopg2 import sql

from supaneon_sync.errors import NeonError
from supaneon_sync.policy.facts import Relation
from supaneon_sync.postgres.drilling import lost
from supaneon_sync.postgres.fingerprint import Seed, fingerprint
from supaneon_sync.postgres.restore import APPLICATION_PATH
from supaneon_sync.postgres.session import Session

_SEED = Seed(1, 2)
_OURS = "n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'"
_CHANGES = (
    ("text", "{} || 'x'"),
    ("character varying", "{} || 'x'"),
    ("boolean", "NOT {}"),
    ("integer", "{} + 1"),
    ("bigint", "{} + 1"),
    ("numeric", "{} + 1"),
    ("timestamp", "{} + interval '1 second'"),
    ("date", "{} + 1"),
    ("uuid", "gen_random_uuid()"),
)
"""How a value of a type is made another one, the likeliest to be free of constraints first."""

INDEX = f"""
SELECT format('DROP INDEX %s', x.oid::regclass), x.oid::regclass::text
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
WHERE x.relkind = 'i' AND NOT x.relispartition AND {_OURS}
  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.oid)
ORDER BY 2
"""
CONSTRAINT = f"""
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', c.oid::regclass, k.conname),
       format('%I on %s', k.conname, c.oid::regclass)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype IN ('f', 'c') AND k.coninhcount = 0 AND k.conparentid = 0 AND {_OURS} ORDER BY 2
"""
POLICY = f"""
SELECT format('DROP POLICY %I ON %s', p.polname, c.oid::regclass),
       format('%I on %s', p.polname, c.oid::regclass)
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE {_OURS} ORDER BY 2
"""
_TRIGGERS = f"""
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgenabled = 'O' AND {_OURS} ORDER BY 2
"""
TRIGGER = f"""
SELECT format('DROP TRIGGER %I ON %s', t.tgname, c.oid::regclass),
       format('%I on %s', t.tgname, c.oid::regclass)
{_TRIGGERS}
"""
ENABLED_TRIGGER = f"""
SELECT format('ALTER TABLE %s DISABLE TRIGGER %I', c.oid::regclass, t.tgname),
       format('%I on %s', t.tgname, c.oid::regclass)
{_TRIGGERS}
"""
ROW_SECURITY = f"""
SELECT format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', c.oid::regclass), c.oid::regclass::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relrowsecurity AND c.relkind IN ('r', 'p') AND {_OURS} ORDER BY 2
"""
TABLE = f"""
SELECT format('DROP TABLE %s CASCADE', c.oid::regclass), c.oid::regclass::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND NOT c.relispartition AND c.relpages > 0 AND {_OURS} ORDER BY c.relpages, 2
"""
PRIVILEGE = f"""
SELECT format('GRANT TRUNCATE ON %s TO PUBLIC', c.oid::regclass), c.oid::regclass::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND {_OURS}
  AND NOT EXISTS (SELECT FROM aclexplode(c.relacl) a WHERE a.grantee = 0 AND a.privilege_type = 'TRUNCATE')
ORDER BY 2
"""
SEQUENCE = f"""
SELECT format('SELECT setval(%L::regclass, %s)', c.oid::regclass, pg_sequence_last_value(c.oid) - 1),
       c.oid::regclass::text
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE pg_sequence_last_value(c.oid) > s.seqmin AND {_OURS} ORDER BY 2
"""


def by(session: Session, statements: str) -> str:
    """Run the first statement that works, of those that a query gives with names; return its name."""
    for statement, label in session.query(statements):
        if _works(session, [sql.SQL(statement)]):
            return str(label)
    return ""


def delete_row(session: Session, tables: Sequence[Relation]) -> str:
    """Delete one row of one of the tables."""
    text = sql.SQL("DELETE FROM ONLY {0} WHERE ctid = (SELECT ctid FROM ONLY {0} LIMIT 1)")
    return _change(session, ((table, [text.format(_name(table))]) for table in tables))


def double_row(session: Session, tables: Sequence[Relation]) -> str:
    """Insert one row of a table a second time, where need be without the table's unique constraints."""

    def attempts() -> Iterable[tuple[Relation, list[sql.Composable]]]:
        for table in tables:
            columns = sql.SQL(", ").join(sql.Identifier(c.name) for c in table.columns if not c.generated)
            copy = sql.SQL(
                "INSERT INTO {0} ({1}) OVERRIDING SYSTEM VALUE SELECT {1} FROM ONLY {0} LIMIT 1"
            ).format(_name(table), columns)
            yield table, [*_free_of_uniqueness(session, table), copy]

    return _change(session, attempts())


def change_value(session: Session, tables: Sequence[Relation]) -> str:
    """Change one value in one row."""

    def attempts() -> Iterable[tuple[Relation, list[sql.Composable]]]:
        for table in tables:
            for kind, change in _CHANGES:
                for column in table.columns:
                    if column.type.startswith(kind) and not column.generated and column.identity != "a":
                        name = sql.Identifier(column.name)
                        text = sql.SQL(
                            "UPDATE ONLY {0} SET {1} = {2} WHERE ctid ="
                            " (SELECT ctid FROM ONLY {0} WHERE {1} IS NOT NULL LIMIT 1)"
                        )
                        changed = sql.SQL(change).format(name)
                        yield table, [text.format(_name(table), name, changed)]

    return _change(session, attempts())


def forge_manifest(house: Session) -> str:
    """Change the manifest in the house database, and its digest there to match."""
    house.execute(
        "UPDATE supaneon.manifest SET body = body || ' ',"
        " digest = encode(sha256(convert_to(body || ' ', 'UTF8')), 'hex')"
    )
    return "supaneon.manifest"


def _name(table: Relation) -> sql.Identifier:
    return sql.Identifier(table.schema, table.name)


def _free_of_uniqueness(session: Session, table: Relation) -> list[sql.Composable]:
    found = session.query(
        "SELECT coalesce("
        " format('ALTER TABLE %%s DROP CONSTRAINT %%I CASCADE', i.indrelid::regclass, k.conname),"
        " format('DROP INDEX %%s', i.indexrelid::regclass))"
        " FROM pg_index i LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid"
        "  AND k.contype IN ('p', 'u', 'x')"
        " WHERE i.indrelid = %s AND (i.indisunique OR i.indisexclusion)",
        (table.oid,),
    )
    return [sql.SQL(statement) for (statement,) in found]


def _change(session: Session, attempts: Iterable[tuple[Relation, list[sql.Composable]]]) -> str:
    """Do the first attempt that changes its table's rows, by the fingerprint; return the table's name."""
    for table, statements in attempts:
        before = fingerprint(session, table, _SEED)
        if _works(session, statements) and fingerprint(session, table, _SEED) != before:
            return table.label
    return ""


def _works(session: Session, statements: Sequence[sql.Composable]) -> bool:
    try:
        with session.transaction():
            session.execute("SET LOCAL client_min_messages = error")
            session.execute(sql.SQL("SET LOCAL search_path = ") + sql.SQL(APPLICATION_PATH))
            for statement in statements:
                session.execute(statement)
    except NeonError as error:
        if lost(error):
            raise
        return False
    return True
