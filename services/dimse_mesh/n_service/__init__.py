"""The handler of every N-* operation (DESIGN: control through handlers, payload point to point)."""

from dimse_mesh.n_service.service import run

__all__ = ["run"]
