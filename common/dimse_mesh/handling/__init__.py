"""The code that the three handlers share: ask the policy, then forward or refuse the operation."""

from dimse_mesh.handling.handler import OperationHandler
from dimse_mesh.handling.serve import serve_operations

__all__ = ["OperationHandler", "serve_operations"]
