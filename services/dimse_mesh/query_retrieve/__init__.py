"""The handler of C-FIND, C-MOVE, C-GET and C-CANCEL (DESIGN: control through handlers)."""

from dimse_mesh.query_retrieve.service import run

__all__ = ["run"]
