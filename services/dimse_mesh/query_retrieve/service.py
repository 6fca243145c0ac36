"""The handler of C-FIND, C-MOVE, C-GET and C-CANCEL: approves or refuses, then forwards to the other endpoint."""

from __future__ import annotations

from dimse_mesh.handling import serve_operations
from dimse_mesh.runtime.context import ServiceContext


async def run(context: ServiceContext) -> None:
    """Handle operations until `context.draining` is set."""
    await serve_operations(context)
