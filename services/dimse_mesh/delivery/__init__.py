"""Delivery: sends what durable routes have acknowledged to the AEs of this zone (docs/delivery.md)."""

from dimse_mesh.delivery.service import run

__all__ = ["run"]
