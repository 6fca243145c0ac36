"""The association front-end: what hospital systems connect to."""

from dimse_mesh.association.service import run

__all__ = ["run"]
