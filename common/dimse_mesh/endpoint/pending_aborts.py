"""ABORTs that were not answered yet: each is repeated until GONE comes, its receiver dies or a minute has passed."""

from __future__ import annotations

from dataclasses import dataclass

from dimse_mesh.endpoint.courier import Courier
from dimse_mesh.schemas.association import Endpoint
from dimse_mesh.schemas.frames import FrameKind, encode_frame, encode_u32
from dimse_mesh.upper_layer import Abort

ABORT_ATTEMPTS = 60
"""How often, a second apart, an ABORT is repeated to an endpoint that doesn't answer."""


@dataclass(slots=True)
class _PendingAbort:
    remote: Endpoint
    frame: bytes
    rounds: int = 0


class PendingAborts:
    """The ABORTs of one instance, by its own channel.

    Args:
        interval: seconds between calls of `repeat`.
    """

    def __init__(self, courier: Courier, *, interval: float) -> None:
        self._courier = courier
        self._rounds_a_second = round(1 / interval)
        self._last_round = ABORT_ATTEMPTS / interval
        self._pending: dict[int, _PendingAbort] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def tell(self, local: Endpoint, remote: Endpoint, abort: Abort) -> None:
        """Tell the other endpoint that the association is over."""
        frame = encode_frame(
            remote.channel,
            FrameKind.ABORT,
            bytes((abort.source, abort.reason)),
            encode_u32(local.channel),
            local.instance.encode(),
        )
        self._pending[local.channel] = _PendingAbort(remote, frame)
        self._courier.post(remote.instance, frame)

    def answered(self, channel: int) -> None:
        """Note that the other end of our `channel` knows."""
        self._pending.pop(channel, None)

    def instance_died(self, instance: str) -> None:
        """Forget those to an instance that is gone."""
        self._pending = {
            channel: pending
            for channel, pending in self._pending.items()
            if pending.remote.instance != instance
        }

    def repeat(self) -> None:
        """Send again what is due; called at each round of the router's timer."""
        for channel, pending in list(self._pending.items()):
            pending.rounds += 1
            if pending.rounds >= self._last_round:
                del self._pending[channel]
            elif pending.rounds % self._rounds_a_second == 0:
                self._courier.post(pending.remote.instance, pending.frame)
