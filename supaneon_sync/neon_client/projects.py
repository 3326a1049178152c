"""Calls about projects: which one is meant, and what it allows."""

from __future__ import annotations

import re

from supaneon_sync.errors import ConfigError, NeonError
from supaneon_sync.neon_client.address import path_of
from supaneon_sync.neon_client.calls import Calls
from supaneon_sync.neon_client.model import Project
from supaneon_sync.neon_client.transport import Call


class ProjectCalls(Calls):
    """Projects that the key sees."""

    def key_kind(self) -> str:
        """Return what kind of key this is: api_key_user, api_key_org, oauth, …; raise NeonError for none."""
        return self._ask(Call("GET", "/auth", "look at the API key"), lambda f: f.text("auth_method"))

    def projects(self) -> list[Project]:
        """Return every project that the key sees, over all its organizations.

        Neon wants ``org_id`` for keys of people who belong to organizations; it is then asked for each.
        """
        try:
            return self._projects_of(None)
        except NeonError as error:
            if error.evidence.get("status") != 400 or "org_id" not in str(error.evidence.get("message")):
                raise
        found: dict[str, Project] = {}
        for organization in self._organizations():
            found |= {project.id: project for project in self._projects_of(organization)}
        return list(found.values())

    def _projects_of(self, organization: str | None) -> list[Project]:
        query = {"limit": "100"} | ({"org_id": organization} if organization else {})
        found: dict[str, Project] = {}
        for page in self._pages("/projects", "list projects", query, "projects"):
            batch = [Project.read(item) for item in page.each("projects")]
            if all(project.id in found for project in batch):
                break
            found |= {project.id: project for project in batch}
        return list(found.values())

    def _organizations(self) -> list[str]:
        call = Call("GET", "/users/me/organizations", "list organizations")
        return self._ask(call, lambda f: [item.text("id") for item in f.each("organizations")])

    def project(self, project_id: str) -> Project:
        """Return one project. Raise ConfigError for one that does not exist or has a malformed id."""
        if not re.fullmatch(r"[a-z0-9-]{1,60}", project_id):
            raise ConfigError(
                "NEON_PROJECT_ID is not a project id: those are lower-case letters, digits and hyphens.",
                remedy="Copy the id from the project's settings page, for example shiny-wind-028834.",
            )
        call = Call("GET", path_of("projects", project_id), f"read project {project_id}")
        answer = self._transport.call(call, fine={404})
        if answer.outcome == 404:
            raise answer.refusal.unknown_project()
        return self._read(answer, lambda f: Project.read(f.needed("project")))

    def only_project(self) -> Project:
        """Return the one project that the key sees.

        Raise ConfigError naming NEON_PROJECT_ID where it sees none or several, or may not list them.
        """
        try:
            found = self.projects()
        except NeonError as error:
            if error.evidence.get("status") not in {400, 403, 404}:
                raise
            raise ConfigError(
                "NEON_PROJECT_ID is not set, and this NEON_API_KEY may not list projects.",
                remedy="Set NEON_PROJECT_ID to the id in the project's settings page.",
            ) from None
        if len(found) == 1:
            return self.project(found[0].id)
        if not found:
            raise ConfigError(
                "NEON_API_KEY sees no project.",
                remedy="Make a project in Neon, or use a key that sees it, and set NEON_PROJECT_ID.",
            )
        ids = ", ".join(sorted(project.id for project in found))
        raise ConfigError(
            f"NEON_API_KEY sees {len(found)} projects and NEON_PROJECT_ID does not say which: {ids}.",
            remedy="Set NEON_PROJECT_ID to the one that holds nothing but the copies.",
        )
