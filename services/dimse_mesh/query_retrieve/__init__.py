"""The handler of C-FIND, C-MOVE, C-GET and C-CANCEL (ADR 2)."""

from dimse_mesh.query_retrieve.service import run

__all__ = ["run"]
