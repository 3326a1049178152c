"""What is known of the primary and of the target, as plain nouns that policy can judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from supaneon_sync.secret import Secret

ObjectId = tuple[int, int]
"""An object in PostgreSQL's catalogs: the catalog's OID and the object's."""


@dataclass(frozen=True)
class Column:
    """A column of a table. ``generated`` is '' (plain), 's' (stored) or 'v' (virtual)."""

    number: int
    name: str
    type: str
    generated: str = ""
    identity: str = ""


@dataclass(frozen=True)
class Relation:
    """A table, partition, sequence, view, … of the primary as the snapshot shows it.

    ``trusted`` says that planning a query over it can run no code but that of roles with at least our
    own rights. ``kind`` and ``persistence`` are ``pg_class.relkind`` and ``relpersistence``; ``pages``
    (of 8 KiB, those kept out of line too) and ``rows`` (-1: never analysed) are estimates.
    """

    oid: int
    schema: str
    name: str
    kind: str
    persistence: str
    file: int
    columns: tuple[Column, ...]
    pages: int = 0
    rows: float = -1
    populated: bool = True
    trusted: bool = False

    @property
    def label(self) -> str:
        """The name for people."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Role:
    """A role of the primary, with the attributes that a copy may need.

    ``custom``: it is the user's, and not there for logging in alone. ``limited_member_of`` names the
    roles whose rights it holds, or may take on, in part only (WITH INHERIT or SET FALSE).
    """

    name: str
    inherits: bool
    bypasses_rls: bool
    member_of: tuple[str, ...] = ()
    custom: bool = False
    limited_member_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Grant:
    """Privileges that one grantee ('' is PUBLIC) holds on one object.

    ``target`` is the object as SQL writes it after ON, quoted by the server. Every object with
    privileges of its own has a row for PUBLIC, empty where PUBLIC holds nothing: a new object of
    some kinds gives PUBLIC more than that.
    """

    object: ObjectId
    target: str
    grantee: str
    privileges: tuple[str, ...]
    grantable: bool = False


@dataclass(frozen=True)
class Check:
    """A validated CHECK whose verdict may hang on more than its row: other tables, clocks, settings.

    ``object`` is the table or domain; ``target`` names it as ALTER does, quoted by the server.
    """

    object: ObjectId
    target: str
    schema: str
    owner_name: str
    name: str
    definition: str


@dataclass(frozen=True)
class Routine:
    """A function without a search_path of its own that the server runs while a copy is made.

    ``target`` is its quoted signature. ``lasting``: an index or a materialized view leans on it, which
    servers from 17 on make under a path of their own.
    """

    object: ObjectId
    target: str
    label: str
    lasting: bool


@dataclass(frozen=True)
class StoredSetting:
    """A setting stored for a role ('': every role), in this database alone or in every one."""

    role: str
    here: bool
    name: str
    value: Secret

    @property
    def label(self) -> str:
        """The name for people; the value may be a secret."""
        return f"{self.role}: {self.name}" if self.role else self.name


@dataclass(frozen=True)
class MemberTable:
    """A table that belongs to an extension, so that no archive holds its rows. ``pages`` of 8 KiB."""

    extension: str
    label: str
    pages: int


@dataclass(frozen=True)
class Need:
    """Something in a schema that is left out, on which something that is kept leans."""

    object: ObjectId
    label: str


@dataclass(frozen=True)
class Helper:
    """A function in a schema that is left out, with the definition that would make it again."""

    object: ObjectId
    schema_oid: int
    schema: str
    name: str
    arguments: str
    definition: str


@dataclass(frozen=True)
class Reference:
    """A foreign key: its name, and the OIDs of the tables that refer and are referred to."""

    name: str
    child: int
    parent: int


@dataclass(frozen=True)
class Locale:
    """How a database compares and stores text."""

    encoding: str
    provider: str
    collate: str
    ctype: str
    locale: str
    version: str = ""


@dataclass(frozen=True)
class Inventory:
    """What the snapshot's catalogs say beyond the archive. Keys of the mappings are OIDs.

    ``owners``: objects of roles other than postgres and the platform's. ``runs_as_owner``: views and
    functions whose owner's rights decide what they may do, by owner. ``callers``: functions whose text
    names a schema of the platform, by that schema. ``schemas``: every schema's owner.
    ``search_path``: the one that the application's sessions find, as the server stores it.
    ``bound_columns``: a table's columns whose type or default belongs to an extension, or whose type is one
    that only a superuser may make, by the table and by what they are bound to, as it is told to people.
    ``outside``: the schemas that the scope leaves out; ``needs``: what objects lean on in there;
    ``helpers``: the functions among that.
    """

    database: str
    version: str
    locale: Locale
    size: int
    system_identifier: str
    relations: Mapping[int, Relation]
    extensions: Mapping[str, str]
    extension_members: frozenset[ObjectId]
    trigger_functions: Mapping[int, tuple[str, str]]
    policy_roles: Mapping[int, tuple[str, ...]]
    privileged_settings: Mapping[int, tuple[str, ...]]
    grants: tuple[Grant, ...]
    roles: Mapping[str, Role]
    large_objects: int
    database_settings: tuple[str, ...]
    role_settings: tuple[tuple[str, str], ...]
    checks: tuple[Check, ...] = ()
    routines: tuple[Routine, ...] = ()
    settings: tuple[StoredSetting, ...] = ()
    member_tables: tuple[MemberTable, ...] = ()
    subscriptions: tuple[str, ...] = ()
    owners: Mapping[ObjectId, str] = field(default_factory=dict)
    runs_as_owner: Mapping[ObjectId, str] = field(default_factory=dict)
    callers: Mapping[ObjectId, str] = field(default_factory=dict)
    schemas: Mapping[str, str] = field(default_factory=dict)
    search_path: str = ""
    references: tuple[Reference, ...] = ()
    partition_of: Mapping[int, int] = field(default_factory=dict)
    extension_schemas: frozenset[str] = frozenset()
    bound_columns: Mapping[tuple[int, str], tuple[str, ...]] = field(default_factory=dict)
    outside: frozenset[str] = frozenset()
    needs: Mapping[ObjectId, tuple[Need, ...]] = field(default_factory=dict)
    helpers: tuple[Helper, ...] = ()


@dataclass(frozen=True)
class Target:
    """What the target offers: its major version, and the extensions that can be created there."""

    major: int
    extensions: frozenset[str]
    owner: str
    can_create_bypassrls: bool
    reserved_roles: frozenset[str] = field(default_factory=frozenset)
