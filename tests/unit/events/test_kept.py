"""Events that nats-server is to acknowledge, and doesn't."""

from __future__ import annotations

import anyio

from dimse_mesh.events import KeptEvents
from dimse_mesh.events.kept import PAUSE
from dimse_mesh.mesh import MeshTimeout
from dimse_mesh.runtime.counters import Counters
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.events import EventKind
from tests.unit.events.test_publisher import opened


class Disk:
    """A stream that stores, or doesn't."""

    def __init__(self) -> None:
        self.works = True
        self.asked: list[str] = []

    async def publish(self, subject: str, payload: bytes, *, message_id: str) -> int:  # noqa: ARG002
        """Store a message."""
        self.asked.append(message_id)
        if not self.works:
            raise MeshTimeout("no acknowledgement")
        return len(self.asked)


def test_objects_don_t_wait_again_and_again_for_events_that_can_t_be_stored() -> None:
    disk, counters = Disk(), Counters()
    now = 0.0
    kept = KeptEvents(
        disk,
        counters,
        root="DIMSE",
        zone="hospital",
        sender=InstanceAddress("hospital", Role.ASSOCIATION, "x"),
        clock=lambda: now,
    )

    def keep(message_id: str) -> bool:
        async def one() -> bool:
            return await kept.keep(EventKind.OBJECT_ACCEPTED, opened("A"), message_id=message_id)

        return anyio.run(one)

    assert keep("1")
    disk.works = False
    assert not keep("2")
    assert not keep("3")
    disk.works = True
    now = PAUSE
    assert keep("4")
    assert disk.asked == ["1", "2", "4"]
    assert (counters.events_published, counters.events_lost) == (2, 2)
