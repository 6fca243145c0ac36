"""What the three kinds of handler have in common: they ask the policy, then forward or refuse."""

from dimse_mesh.handling.handler import OperationHandler
from dimse_mesh.handling.serve import serve_operations

__all__ = ["OperationHandler", "serve_operations"]
