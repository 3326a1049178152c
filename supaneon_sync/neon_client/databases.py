"""Calls about the databases, roles and passwords of a branch."""

from __future__ import annotations

from supaneon_sync.errors import NeonError
from supaneon_sync.neon_client.address import path_of
from supaneon_sync.neon_client.calls import Calls, operations_in
from supaneon_sync.neon_client.fields import Fields
from supaneon_sync.neon_client.model import Database, Operation, Role
from supaneon_sync.neon_client.refusals import AlreadyExists
from supaneon_sync.neon_client.transport import Call
from supaneon_sync.secret import Secret


class DatabaseCalls(Calls):
    """Databases and roles. Passwords belong to a branch: a branch keeps those it was cut with."""

    def databases(self, project_id: str, branch_id: str) -> list[Database]:
        """Return a branch's databases."""
        call = Call(
            "GET", _path(project_id, branch_id, "databases"), f"list the databases of branch {branch_id}"
        )
        return self._ask(call, lambda f: [Database.read(item) for item in f.each("databases")])

    def create_database(self, project_id: str, branch_id: str, name: str, owner: str) -> Database:
        """Make a database and wait until it can be used. Raise AlreadyExists where the name is taken."""
        body = {"database": {"name": name, "owner_name": owner}}
        call = Call(
            "POST",
            _path(project_id, branch_id, "databases"),
            f"create database {name} on branch {branch_id}",
            body=body,
        )

        def write() -> Database:
            database, operations = self._ask(
                call, lambda f: (Database.read(f.needed("database")), operations_in(f))
            )
            self.await_operations(project_id, operations)
            return database

        def look() -> Database | None:
            for database in self.databases(project_id, branch_id):
                if database.name == name:
                    if database.owner_name != owner:
                        raise AlreadyExists(
                            f"Database {name} of branch {branch_id} exists and "
                            f"belongs to {database.owner_name}, not to {owner}. It was left as it is.",
                            remedy="Choose another database name, or drop that one if nobody needs it.",
                            status=409,
                        )
                    self._finish_those_of(project_id, branch_id)
                    return database
            return None

        return self._settle(call.action, write, look)

    def delete_database(self, project_id: str, branch_id: str, name: str) -> bool:
        """Drop a database for good and wait; return False where there was none."""
        path = _path(project_id, branch_id, "databases", name)
        call = Call("DELETE", path, f"delete database {name} of branch {branch_id}")
        answer = self._transport.call(call, fine={404})
        if answer.outcome in {204, 404}:
            return False
        self.await_operations(project_id, self._read(answer, operations_in), may_vanish=True)
        return True

    def roles(self, project_id: str, branch_id: str) -> list[Role]:
        """Return a branch's roles that Neon knows (those made with SQL may be missing)."""
        call = Call("GET", _path(project_id, branch_id, "roles"), f"list the roles of branch {branch_id}")
        return self._ask(call, lambda f: [Role.read(item) for item in f.each("roles")])

    def create_role(self, project_id: str, branch_id: str, name: str) -> Role:
        """Make a role that can log in and wait until it can; return it with its password.

        Where the answer was lost and the role is there, its password is read, or reset if Neon does
        not store passwords. Raise AlreadyExists where the name is taken.
        """
        body = {"role": {"name": name}}
        call = Call(
            "POST",
            _path(project_id, branch_id, "roles"),
            f"create role {name} on branch {branch_id}",
            body=body,
        )

        def write() -> Role:
            role, operations = self._ask(call, _role_and_operations)
            self.await_operations(project_id, operations)
            return role

        def look() -> Role | None:
            if name not in {role.name for role in self.roles(project_id, branch_id)}:
                return None
            self._finish_those_of(project_id, branch_id)
            known = self.reveal_password(project_id, branch_id, name)
            password = known or self.reset_password(project_id, branch_id, name)
            return Role(name, branch_id, protected=False, password=password)

        return self._settle(call.action, write, look)

    def reveal_password(self, project_id: str, branch_id: str, role: str) -> Secret | None:
        """Return the role's password on this branch, None where Neon does not have it.

        404: no such role; 412: the project does not store passwords.
        """
        path = _path(project_id, branch_id, "roles", role, "reveal_password")
        call = Call("GET", path, f"read the password of role {role} on branch {branch_id}")
        answer = self._transport.call(call, fine={404, 412})
        if answer.outcome in {404, 412}:
            return None
        return self._read(answer, lambda f: Secret(f.text("password")))

    def reset_password(self, project_id: str, branch_id: str, role: str) -> Secret:
        """Give a role a new password on this branch, wait until it holds, return it.

        Open connections of the branch end. Doing it twice only makes another password, so a lost
        answer is simply asked for again.
        """
        path = _path(project_id, branch_id, "roles", role, "reset_password")
        action = f"reset the password of role {role} on branch {branch_id}"
        changed, operations = self._ask(Call("POST", path, action, repeatable=True), _role_and_operations)
        self.await_operations(project_id, operations)
        if changed.password is None:
            raise NeonError(
                f"Neon reset the password of role {role} on branch {branch_id} and did not say the new one.",
                remedy="Reset it again in the Neon console, under Roles.",
            )
        return changed.password

    def _finish_those_of(self, project_id: str, branch_id: str) -> None:
        going_on = [o for o in self.operations(project_id) if o.branch_id == branch_id and not o.failed]
        self.await_operations(project_id, going_on)


def _path(project_id: str, branch_id: str, *rest: str) -> str:
    return path_of("projects", project_id, "branches", branch_id, *rest)


def _role_and_operations(fields: Fields) -> tuple[Role, tuple[Operation, ...]]:
    return Role.read(fields.needed("role")), operations_in(fields)
