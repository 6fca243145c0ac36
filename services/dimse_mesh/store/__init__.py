"""The handler of C-STORE (ADR 2), which also keeps the spools of its zone (ADR 12)."""

from dimse_mesh.store.service import run

__all__ = ["run"]
