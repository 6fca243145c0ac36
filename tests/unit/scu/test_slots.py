"""Who keeps the slots of a limited target: an executor of the zone, whatever others call themselves."""

from __future__ import annotations

import asyncio
from unittest.mock import create_autospec

import pytest

from dimse_mesh.mesh import LiveInstance, Mesh
from dimse_mesh.mesh.liveness import Liveness
from dimse_mesh.runtime.settings_scu import RemoteAe
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.service import Heartbeat
from dimse_mesh.schemas.subjects import Kind, Subjects
from dimse_mesh.scu.slots import Slots

OWN = InstanceAddress("cloud", Role.SCU, "m")
KEEPER = InstanceAddress("cloud", Role.SCU, "k")


@pytest.mark.parametrize(
    "stranger",
    [
        InstanceAddress("lab", Role.SCU, "0"),
        InstanceAddress("cloud", Role.STORE, "0"),
        InstanceAddress("cloud", Role.ASSOCIATION, "0"),
        InstanceAddress("", Role.SCU, "0"),
    ],
)
def test_a_stranger_with_the_lowest_name_is_not_the_keeper(stranger: InstanceAddress) -> None:
    async def main() -> None:
        mesh, liveness = create_autospec(Mesh, instance=True), create_autospec(Liveness, instance=True)
        mesh.address, mesh.subjects = OWN, Subjects("DIMSE", OWN)
        alive = Heartbeat(server_id="S")
        liveness.instances = [LiveInstance(stranger, alive), LiveInstance(KEEPER, alive)]
        slots = Slots(mesh, liveness, holding={"PACS": 1}, interval=2.0)
        slots.give_back("PACS", 4)
        ((subject, _), _) = mesh.publish.call_args
        assert subject == mesh.subjects.to(KEEPER, Kind.SLOTS)

    asyncio.run(main())


def test_a_limit_that_nobody_has_set_is_kept_without_asking_anybody() -> None:
    async def main() -> None:
        mesh, liveness = create_autospec(Mesh, instance=True), create_autospec(Liveness, instance=True)
        mesh.address, mesh.subjects = OWN, Subjects("DIMSE", OWN)
        liveness.instances = [LiveInstance(KEEPER, Heartbeat(server_id="S"))]
        limit = RemoteAe(ae_title="PACS", host="pacs", port=104).max_associations
        holding = {"PACS": limit - 1}
        slots = Slots(mesh, liveness, holding=holding, interval=2.0)
        assert await slots.take("PACS", limit, within=1)
        assert not await slots.take("PACS", limit, within=1)
        assert holding == {"PACS": limit}
        slots.give_back("PACS", limit)
        assert await slots.take("PACS", limit, within=1)
        assert await slots.take("PACS", 0, within=1), "0 is no limit"
        assert mesh.method_calls == []

    asyncio.run(main())
