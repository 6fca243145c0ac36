"""What the three kinds of handler have in common: policy, forwarding, refusal."""

from dimse_mesh.handling.handler import OperationHandler
from dimse_mesh.handling.policy import objection
from dimse_mesh.handling.serve import serve_operations

__all__ = ["OperationHandler", "objection", "serve_operations"]
