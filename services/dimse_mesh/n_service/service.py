"""The handler of every N-* operation: approves or refuses it, then forwards it to the other endpoint."""

from __future__ import annotations

from dimse_mesh.handling import serve_operations
from dimse_mesh.runtime.context import ServiceContext


async def run(context: ServiceContext) -> None:
    """Handle operations until `context.draining` is set."""
    await serve_operations(context)
