"""What endpoints and handlers need of the mesh: the seam at which their tests lose and reorder messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from dimse_mesh.mesh import Message, Turn
from dimse_mesh.schemas.addresses import InstanceAddress
from dimse_mesh.schemas.subjects import Subjects


class Interest(Protocol):
    """A subscription."""

    async def unsubscribe(self) -> None:
        """End it at once."""


class Carrier(Protocol):
    """Publishes and subscribes for one instance; `mesh.Mesh` is the one there is."""

    @property
    def address(self) -> InstanceAddress:
        """The instance's."""

    @property
    def subjects(self) -> Subjects:
        """The subjects as the instance uses them."""

    @property
    def turn(self) -> Turn:
        """The event loop's."""

    @property
    def connected(self) -> bool:
        """Whether messages can be sent now."""

    def on_change(self, callback: Callable[[bool], None]) -> None:
        """Call `callback(connected)` whenever `connected` changes."""

    def publish(
        self, subject: str, payload: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> bool:
        """Publish now, or at the end of the turn; False: not taken."""

    def publish_bulk(self, subject: str, *parts: bytes | memoryview) -> bool:
        """Publish `parts` as one message, apart from what must not wait behind it; False: not taken, try later."""

    def on_bulk_room(self, callback: Callable[[], None]) -> None:
        """Call `callback` when `publish_bulk`, having refused, takes more."""

    async def subscribe(
        self, subject: str, callback: Callable[[Message], object], *, queue: str = "", bulk: bool = False
    ) -> Interest:
        """Call `callback` for every message; what it returns is of no interest."""


class DeathWatcher(Protocol):
    """Tells which instances died; `mesh.liveness.Liveness` is the one there is."""

    def on_dead(self, callback: Callable[[InstanceAddress], None]) -> None:
        """Call `callback(instance)` for each watched instance that died."""

    def watch(self, instance: InstanceAddress) -> None:
        """Care about an instance; counted."""

    def unwatch(self, instance: InstanceAddress) -> None:
        """Take back one `watch`."""
