"""Neon's API v2: typed answers, a retry table, writes that are looked up before they are repeated."""

from supaneon_sync.neon_client.client import DEFAULT_HOST, NeonClient
from supaneon_sync.neon_client.model import (
    Branch,
    BranchRequest,
    CreatedBranch,
    Database,
    Endpoint,
    EndpointRequest,
    Operation,
    Project,
    Role,
)
from supaneon_sync.neon_client.refusals import AlreadyExists, AnswerLost, NotFound, OperationFailed
from supaneon_sync.neon_client.retries import Patience

__all__ = [
    "DEFAULT_HOST",
    "AlreadyExists",
    "AnswerLost",
    "Branch",
    "BranchRequest",
    "CreatedBranch",
    "Database",
    "Endpoint",
    "EndpointRequest",
    "NeonClient",
    "NotFound",
    "Operation",
    "OperationFailed",
    "Patience",
    "Project",
    "Role",
]
