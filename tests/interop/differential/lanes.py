"""The mesh that conversations are performed through: two zones, half of the targets in each."""

from __future__ import annotations

from pathlib import Path

from tests.interop.differential.play import Lane
from tests.support.mesh import Mesh, two_zones

LANES = 24
"""Conversations at a time. A seed always has the same lane, so the same AE title and direction."""


def mesh_with_lanes(directory: Path) -> tuple[Mesh, list[Lane]]:
    """Start two zones and return them, and the lanes: through the front-end of the zone that the AE isn't in."""
    mesh = two_zones(directory, pool=LANES // 2)
    return mesh, [
        Lane(ae, mesh.listeners["hospital" if ae.zone == "cloud" else "cloud"])
        for ae in sorted(mesh.aes.values(), key=lambda ae: ae.title)
    ]
