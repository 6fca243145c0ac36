"""Associations that are being opened: so that neither a death nor a change of mind is waited for.

An executor that takes an `OpenRequest` says so at once (TAKEN). From then on the front-end knows which executor to tell
when its client has gone, and makes the request again when that executor dies. An opening that was given up is aborted,
as a half would be, on every executor that has said that it took it. An executor is probed while its reply is awaited:
the reply may be lost on a way that neither end sees broken.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass, field

from dimse_mesh.endpoint.carrier import DeathWatcher
from dimse_mesh.schemas.addresses import HalfAddress, InstanceAddress

MOST_TAKERS = 16
"""Executors that may have one request at once: each attempt asks one."""


@dataclass(slots=True)
class _Asked:
    """A front-end's request. `takers` are the executors' ends, in the order in which they took it."""

    lost: Callable[[], None]
    takers: list[HalfAddress] = field(default_factory=list)


class Openings:
    """The openings of one instance, by its own channel.

    Args:
        liveness: watched for each executor that took a request.
        abandon: tells an executor that an opening is not wanted: (our channel, its end).
    """

    def __init__(self, liveness: DeathWatcher, abandon: Callable[[int, HalfAddress], None]) -> None:
        self._liveness = liveness
        self._abandon = abandon
        self._asked: dict[int, _Asked] = {}
        self._taken: dict[int, tuple[HalfAddress, Callable[[], None]]] = {}

    @property
    def channels(self) -> Set[int]:
        """Our channels of all openings under way."""
        return self._asked.keys() | self._taken.keys()

    # the front-end's side

    def ask(self, channel: int, lost: Callable[[], None]) -> None:
        """Begin; `lost` is called when the request must be taken for lost: its executor died, or NATS was away."""
        self._asked[channel] = _Asked(lost)

    def is_taken(self, channel: int) -> bool:
        """Tell whether a living executor has the request."""
        asked = self._asked.get(channel)
        return asked is not None and bool(asked.takers)

    def took(self, channel: int, taker: HalfAddress) -> bool:
        """Note that an executor has the request; False: the request isn't wanted any more."""
        asked = self._asked.get(channel)
        if asked is None:
            return False
        if taker not in asked.takers:
            if len(asked.takers) >= MOST_TAKERS:
                return False
            asked.takers.append(taker)
            self._liveness.watch(taker.instance)
        return True

    def settle(self, channel: int, chosen: HalfAddress | None) -> None:
        """End: every executor but the `chosen` one is told to give up."""
        asked = self._asked.pop(channel, None)
        if asked is None:
            return
        for taker in asked.takers:
            self._liveness.unwatch(taker.instance)
            if taker != chosen:
                self._abandon(channel, taker)

    def takers(self, channel: int) -> tuple[HalfAddress, ...]:
        """Return the executors that have the request, as far as is known."""
        asked = self._asked.get(channel)
        return () if asked is None else tuple(asked.takers)

    def reply_lost(self, channel: int) -> None:
        """Ask again: an executor speaks as one whose association stands, and its reply came before or never will."""
        asked = self._asked.get(channel)
        if asked is not None:
            asked.lost()

    def gone(self, channel: int, taker: HalfAddress) -> None:
        """Make the request again if the last executor that had it doesn't know it any more: its reply was lost."""
        asked = self._asked.get(channel)
        if asked is not None and taker in asked.takers:
            asked.takers.remove(taker)
            self._liveness.unwatch(taker.instance)
            if not asked.takers:
                asked.lost()

    # the executor's side

    def take(self, channel: int, front_end: HalfAddress, give_up: Callable[[], None]) -> None:
        """Begin, for a front-end's half; `give_up` is called when it doesn't want it any more."""
        self._taken[channel] = (front_end, give_up)

    def has(self, channel: int, front_end: HalfAddress) -> bool:
        """Tell whether an opening is under way for that front-end's half."""
        return channel in self._taken and self._taken[channel][0] == front_end

    def done(self, channel: int) -> None:
        """End."""
        self._taken.pop(channel, None)

    def give_up(self, channel: int, front_end: HalfAddress) -> None:
        """Handle an ABORT or a RESET for a channel that may be an opening for that front-end's half."""
        if self.has(channel, front_end):
            _, give_up = self._taken.pop(channel)
            give_up()

    # both

    def instance_died(self, instance: InstanceAddress) -> None:
        """Forget an executor; make the requests again that no other one has."""
        for asked in list(self._asked.values()):
            left = [taker for taker in asked.takers if taker.instance != instance]
            if len(left) < len(asked.takers):
                asked.takers = left
                if not left:
                    asked.lost()

    def mesh_returned(self) -> None:
        """Take every request for lost: it, or its reply, may have been on the way."""
        for asked in list(self._asked.values()):
            asked.lost()
