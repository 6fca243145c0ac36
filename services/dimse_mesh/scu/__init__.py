"""The SCU executor: associations to the targets of its zone."""

from dimse_mesh.scu.service import run

__all__ = ["run"]
