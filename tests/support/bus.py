"""Instances on a bus: their addresses, and meshes of theirs."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from dimse_mesh.mesh import Mesh, NatsSettings, open_mesh
from dimse_mesh.schemas.addresses import InstanceAddress, Role


def address(
    instance: str = "one", *, zone: str = "hospital", role: Role = Role.ASSOCIATION
) -> InstanceAddress:
    """Return the address of an instance."""
    return InstanceAddress(zone, role, instance)


def join(
    settings: NatsSettings, own: InstanceAddress, *, root: str = "DIMSE", timeout: float = 30
) -> AbstractAsyncContextManager[Mesh]:
    """Connect an instance to NATS."""
    return open_mesh(settings, root=root, address=own, first_connect_timeout=timeout)
