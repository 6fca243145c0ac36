"""The association front-end: what hospital systems connect to."""

from dimse_mesh.association.service import local_front_end, run

__all__ = ["local_front_end", "run"]
