"""ABORTs that were not answered yet: each is repeated until a RESET comes, its receiver dies or a minute has passed."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from dimse_mesh.endpoint.courier import Courier
from dimse_mesh.schemas.addresses import HalfAddress, InstanceAddress
from dimse_mesh.schemas.frames import FrameKind, encode_frame, encode_u32
from dimse_mesh.upper_layer import Abort

REPEAT_INTERVAL = 1.0
"""Seconds between two ABORTs to an endpoint that doesn't answer."""
PATIENCE = 60.0
"""Seconds after which such an endpoint is told no more."""
MOST = 4096
"""ABORTs that are repeated; of more, the oldest are not."""


@dataclass(slots=True)
class _PendingAbort:
    frame: bytes
    give_up_at: float
    repeat_at: float


class PendingAborts:
    """The ABORTs of one instance, by its own channel and the address that is told."""

    def __init__(self, courier: Courier) -> None:
        self._courier = courier
        self._pending: dict[tuple[int, HalfAddress], _PendingAbort] = {}

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def channels(self) -> Set[int]:
        """Our channels whose other end may not know that the association is over."""
        return {channel for channel, _ in self._pending}

    def tell(self, local: HalfAddress, remote: HalfAddress, abort: Abort) -> None:
        """Tell the other endpoint that the association is over."""
        frame = encode_frame(
            remote.channel,
            FrameKind.ABORT,
            bytes((abort.source, abort.reason)),
            encode_u32(local.channel),
        )
        now = self._courier.now()
        self._pending[local.channel, remote] = _PendingAbort(frame, now + PATIENCE, now + REPEAT_INTERVAL)
        if len(self._pending) > MOST:
            del self._pending[next(iter(self._pending))]
        self._courier.post(remote.instance, frame)

    def answered(self, channel: int, remote: HalfAddress) -> None:
        """Note that the other end of our `channel` knows."""
        self._pending.pop((channel, remote), None)

    def instance_died(self, instance: InstanceAddress) -> None:
        """Forget those to an instance that is gone."""
        self._pending = {
            key: pending for key, pending in self._pending.items() if key[1].instance != instance
        }

    def repeat(self, now: float) -> None:
        """Send again what is due; called at each round of the router's timer, however often those come."""
        for key, pending in list(self._pending.items()):
            if now >= pending.give_up_at:
                del self._pending[key]
            elif now >= pending.repeat_at:
                pending.repeat_at = now + REPEAT_INTERVAL
                self._courier.post(key[1].instance, pending.frame)
