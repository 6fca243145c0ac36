"""The handler of every N-* operation (ADR 2)."""

from dimse_mesh.n_service.service import run

__all__ = ["run"]
