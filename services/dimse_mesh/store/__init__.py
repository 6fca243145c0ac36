"""The handler of C-STORE (DESIGN: control through handlers, payload point to point)."""

from dimse_mesh.store.service import run

__all__ = ["run"]
