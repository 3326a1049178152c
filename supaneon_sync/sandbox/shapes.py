"""The records as the API's OpenAPI document shapes them. Absent means absent: no nulls."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

from supaneon_sync.sandbox.clock import parse_time, timestamp
from supaneon_sync.sandbox.limits import Plan
from supaneon_sync.sandbox.state import REGION, Branch, Database, Endpoint, Operation, Project, Role

Json = dict[str, Any]

_OWNER = "sandbox-account"


def _present(shape: Json) -> Json:
    return {key: value for key, value in shape.items() if value is not None}


def branch(one: Branch) -> Json:
    """Return a branch."""
    ttl = None
    if one.expires_at:
        lifetime = parse_time(one.expires_at, "expires_at") - parse_time(one.created_at, "created_at")
        ttl = max(0, int(lifetime.total_seconds()))
    return _present(
        {
            "id": one.id,
            "project_id": one.project_id,
            "parent_id": one.parent_id,
            "parent_lsn": one.parent_lsn,
            "parent_timestamp": one.parent_timestamp,
            "name": one.name,
            "current_state": one.current_state,
            "pending_state": one.pending_state,
            "state_changed_at": one.state_changed_at,
            "logical_size": one.logical_size,
            "creation_source": "console",
            "primary": one.default,
            "default": one.default,
            "protected": one.protected,
            "cpu_used_sec": 0,
            "compute_time_seconds": 0,
            "active_time_seconds": 0,
            "written_data_bytes": one.written_bytes,
            "data_transfer_bytes": 0,
            "created_at": one.created_at,
            "updated_at": one.updated_at,
            "ttl_interval_seconds": ttl,
            "expires_at": one.expires_at,
            "last_reset_at": one.last_reset_at,
            "created_by": {"name": "sandbox", "image": ""},
            "init_source": "parent-data",
            "restored_from": one.restored_from,
        }
    )


def annotation(one: Branch) -> Json:
    """Return the annotation of a branch."""
    return {
        "object": {"type": "console/branch", "id": one.id},
        "value": dict(one.annotation),
        "created_at": one.created_at,
        "updated_at": one.created_at,
    }


def endpoint(one: Endpoint) -> Json:
    """Return an endpoint."""
    return _present(
        {
            "host": one.host,
            "id": one.id,
            "name": one.name,
            "project_id": one.project_id,
            "branch_id": one.branch_id,
            "autoscaling_limit_min_cu": one.min_cu,
            "autoscaling_limit_max_cu": one.max_cu,
            "region_id": REGION,
            "type": one.type,
            "current_state": one.current_state,
            "pending_state": one.pending_state,
            "settings": one.settings,
            "pooler_enabled": False,
            "pooler_mode": "transaction",
            "disabled": one.disabled,
            "passwordless_access": True,
            "last_active": one.last_active,
            "creation_source": "console",
            "created_at": one.created_at,
            "updated_at": one.updated_at,
            "started_at": one.started_at,
            "suspended_at": one.suspended_at,
            "proxy_host": one.host.partition(".")[2],
            "suspend_timeout_seconds": one.suspend_timeout_seconds,
            "provisioner": "k8s-neonvm",
            "compute_release_version": "sandbox",
        }
    )


def operation(one: Operation) -> Json:
    """Return an operation."""
    return _present(
        {
            "id": one.id,
            "project_id": one.project_id,
            "branch_id": one.branch_id,
            "endpoint_id": one.endpoint_id,
            "action": one.action,
            "status": one.status,
            "error": one.error,
            "failures_count": one.failures_count,
            "created_at": one.created_at,
            "updated_at": one.updated_at,
            "total_duration_ms": one.total_duration_ms,
        }
    )


def role(one: Role, branch_id: str, *, with_password: bool = False) -> Json:
    """Return a role, with its password only where Neon gives it: on create and reset."""
    return _present(
        {
            "branch_id": branch_id,
            "name": one.name,
            "password": one.password if with_password else None,
            "protected": one.protected,
            "authentication_method": "password",
            "created_at": one.created_at,
            "updated_at": one.created_at,
        }
    )


def database(one: Database, branch_id: str) -> Json:
    """Return a database."""
    return {
        "id": one.id,
        "branch_id": branch_id,
        "name": one.name,
        "owner_name": one.owner_name,
        "created_at": one.created_at,
        "updated_at": one.created_at,
    }


def project(one: Project, plan: Plan, now: str, *, listed: bool = False) -> Json:
    """Return a project, as the list (``listed``) or the single answer has it."""
    month_later = timestamp(parse_time(one.created_at, "created_at") + timedelta(days=30))
    shape: Json = {
        "id": one.id,
        "platform_id": "aws",
        "region_id": REGION,
        "name": one.name,
        "provisioner": "k8s-neonvm",
        "default_endpoint_settings": {
            "autoscaling_limit_min_cu": 0.25,
            "autoscaling_limit_max_cu": 2,
            "suspend_timeout_seconds": 0,
        },
        "settings": {
            "allowed_ips": {"ips": [], "protected_branches_only": False},
            "enable_logical_replication": False,
            "block_public_connections": False,
            "block_vpc_connections": False,
            "hipaa": False,
        },
        "pg_version": one.pg_version,
        "proxy_host": "sandbox.localhost",
        "branch_logical_size_limit": plan.size_limit_bytes // 1024**2,
        "branch_logical_size_limit_bytes": plan.size_limit_bytes,
        "store_passwords": True,
        "cpu_used_sec": 0,
        "creation_source": "console",
        "history_retention_seconds": plan.history_seconds,
        "created_at": one.created_at,
        "updated_at": now,
        "owner_id": _OWNER,
    }
    if listed:
        shape["active_time"] = 0
    else:
        shape |= {
            "data_storage_bytes_hour": 0,
            "data_transfer_bytes": 0,
            "written_data_bytes": 0,
            "compute_time_seconds": 0,
            "active_time_seconds": 0,
            "consumption_period_start": one.created_at,
            "consumption_period_end": month_later,
            "owner": {
                "email": "sandbox@example.com",
                "name": "sandbox",
                "branches_limit": plan.branches,
                "subscription_type": plan.subscription,
            },
        }
    return shape | one.overrides


def connection_uri(one: Endpoint, role_name: str, password: str, database_name: str, *, pooled: bool) -> str:
    """Return a URI that libpq can use offline: Neon's host name, reached at the loopback address."""
    host = one.pooler_host if pooled else one.host
    query = urlencode(
        {
            "hostaddr": "127.0.0.1",
            "port": str(one.port),
            "sslmode": "require",
            "channel_binding": "require",
        }
    )
    login = f"{quote(role_name, safe='')}:{quote(password, safe='')}"
    return f"postgresql://{login}@{host}/{quote(database_name, safe='')}?{query}"


def connection_details(one: Endpoint, role_name: str, password: str, database_name: str) -> Json:
    """Return the entry of ``connection_uris`` that a create call answers with."""
    return {
        "connection_uri": connection_uri(one, role_name, password, database_name, pooled=False),
        "connection_parameters": {
            "database": database_name,
            "password": password,
            "role": role_name,
            "host": one.host,
            "pooler_host": one.pooler_host,
        },
    }
