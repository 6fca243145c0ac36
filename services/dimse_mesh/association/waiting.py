"""Connections without an association: how many there are, from where, and which of them goes when there are too many.

Who connects and says nothing, or never ends its A-ASSOCIATE-RQ, costs a descriptor and memory before anybody was
asked whether it may; who doesn't close when its association is over costs a descriptor, too. So each address holds
few such connections, all of them together hold a bounded number of descriptors and bytes, and whoever comes too much
takes its own place, not another address'.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import resource
import termios
import time
from collections.abc import Callable, Iterable
from itertools import islice
from struct import unpack
from typing import Final

from dimse_mesh.mesh.quiet import Quiet
from dimse_mesh.runtime.counters import Counters
from dimse_mesh.runtime.origin import origin_of
from dimse_mesh.runtime.settings_limits import AssociationLimits

log = logging.getLogger(__name__)

DESCRIPTORS_EACH: Final = 2
"""Descriptors of one connection: the socket, and its duplicate for TCP_QUICKACK (docs/adr/0003)."""
RESERVED_DESCRIPTORS: Final = 128
"""For NATS, logs, health pages and connections to come."""
GRACE: Final = 2.0
"""Seconds that a connection is silent before it may have to go: who opens a thousand at once sends soon."""
CODES: Final = ("too-many", "too-many-bytes", "too-many-from-address")
"""Why a connection is closed."""
_LOOKS: Final = 64
"""Connections that are looked at for one that is silent."""


class Waiting:
    """One connection that waits.

    Args:
        close: drops it.
        descriptor: of its socket, at any time; -1: it has none any more.
    """

    __slots__ = ("_room", "address", "close", "descriptor", "received", "since")

    def __init__(
        self,
        room: WaitingRoom,
        address: str,
        close: Callable[[], None],
        descriptor: Callable[[], int],
        since: float,
    ) -> None:
        self._room = room
        self.since = since
        self.address = address
        self.close = close
        self.descriptor = descriptor
        self.received = 0
        """Bytes."""

    def read(self, size: int) -> bool:
        """Count what has come; False: connections that wait have sent too much, and this one has to go."""
        return self._room.read(self, size)

    def lost(self) -> None:
        """Leave: the connection has ended."""
        self._room.leave(self)

    def admitted(self) -> None:
        """Leave: its association was let in."""
        self._room.leave(self)


class Lingering:
    """One connection whose association is over, until its peer closes it: what still comes is dropped, not kept."""

    __slots__ = ("_waiting",)

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting

    def read(self, size: int) -> bool:  # noqa: ARG002 - it takes no memory
        """Let it send."""
        return True

    def lost(self) -> None:
        """Leave: the connection has ended."""
        self._waiting.lost()


class WaitingRoom:
    """Holds the connections that wait, within the limits.

    Args:
        taken: connections with an association, which take descriptors, too.
        descriptors: that the process may have open.
        clock: seconds.
        later: calls a function in so many seconds; None: the event loop does.
    """

    def __init__(
        self,
        limits: AssociationLimits,
        counters: Counters,
        *,
        taken: Callable[[], int],
        descriptors: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        later: Callable[[float, Callable[[], None]], object] | None = None,
    ) -> None:
        self._clock = clock
        self._later = later
        self._looked_at: set[str] = set()
        """Addresses that hold too many, and are looked at soon."""
        self._limits = limits
        self._counters = counters
        self._taken = taken
        self._descriptors = _most_descriptors() if descriptors is None else descriptors
        self._quiet = Quiet()
        counters.expect_connections(CODES)
        self._by_address: dict[str, dict[Waiting, None]] = {}
        self.count = 0
        self.received = 0
        """Bytes that those who wait have sent."""

    def enter(self, address: str, close: Callable[[], None], descriptor: Callable[[], int]) -> Waiting:
        """Take in a connection; others, or this very one, may have to go for it."""
        address = origin_of(address)
        waiting = Waiting(self, address, close, descriptor, self._clock())
        own = self._by_address.setdefault(address, {})
        own[waiting] = None
        self.count += 1
        if self.count > self._room:
            most = max(self._by_address.values(), key=len)
            self._drop(_longest_silent(most) or next(reversed(most)), "too-many")
        elif len(own) > self._limits.waiting_per_address and address not in self._looked_at:
            self._look_later(address)
        return waiting

    def linger(self, address: str, close: Callable[[], None], descriptor: Callable[[], int]) -> Lingering:
        """Take in a connection whose association has ended; it may have to go, as those that wait for one."""
        return Lingering(self.enter(address, close, descriptor))

    def _look_later(self, address: str) -> None:
        self._looked_at.add(address)
        later = self._later or asyncio.get_running_loop().call_later
        later(GRACE, lambda: self._look(address))

    def _look(self, address: str) -> None:
        """Close what an address holds too much, if it was silent for long enough."""
        self._looked_at.discard(address)
        own = self._by_address.get(address, {})
        before = self._clock() - GRACE
        try:
            for waiting in list(own):
                if len(own) <= self._limits.waiting_per_address or waiting.since > before:
                    break
                if not _has_unread(waiting.descriptor()):
                    self._drop(waiting, "too-many-from-address")
        finally:  # one that can't be closed keeps no other
            if len(own) > self._limits.waiting_per_address:
                self._look_later(address)

    @property
    def _room(self) -> int:
        free = (self._descriptors - RESERVED_DESCRIPTORS) // DESCRIPTORS_EACH - self._taken()
        return min(self._limits.waiting, max(free, 1))

    def read(self, waiting: Waiting, size: int) -> bool:
        """Count what a connection has sent; False: it is too much, and has to go."""
        waiting.received += size
        self.received += size
        if self.received <= self._limits.waiting_bytes:
            return True
        self._dropped(waiting, "too-many-bytes")
        return False

    def leave(self, waiting: Waiting) -> None:
        """Forget a connection."""
        own = self._by_address.get(waiting.address, {})
        if waiting in own:
            del own[waiting]
            if not own:
                del self._by_address[waiting.address]
            self.count -= 1
            self.received -= waiting.received

    def _drop(self, waiting: Waiting, code: str) -> None:
        self._dropped(waiting, code)
        waiting.close()

    def _dropped(self, waiting: Waiting, code: str) -> None:
        self.leave(waiting)
        self._counters.connection_dropped(code)
        more = self._quiet.more((code, waiting.address))
        if more is not None:
            log.warning(
                "closed a connection from %s without an association: %s%s", waiting.address, code, more
            )


def _longest_silent(own: Iterable[Waiting]) -> Waiting | None:
    """Return the connection that waits longest and has sent nothing that we haven't read: a burst is being served."""
    return next((waiting for waiting in islice(own, _LOOKS) if not _has_unread(waiting.descriptor())), None)


def _most_descriptors() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 1 << 20


def _has_unread(descriptor: int) -> bool:
    if descriptor < 0:
        return False
    try:
        (size,) = unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0\0\0\0"))
    except OSError:
        return False
    return bool(size)
