"""Two ends of a link, back to back: client - link - channel - link - target, with the real handlers between."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from dimse_mesh.encryption.noise import TransportKeys
from dimse_mesh.encryption.segments import protection
from dimse_mesh.endpoint import AssociationHalf, AssociationIdentity, HalfSettings, Router, SocketPeer
from dimse_mesh.handling import OperationHandler
from dimse_mesh.policy import ConfiguredPolicy
from dimse_mesh.runtime.counters import Counters
from dimse_mesh.runtime.routing import Route
from dimse_mesh.runtime.telemetry import Telemetry
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.service import ServiceName
from dimse_mesh.upper_layer import AssociationMachine, State
from tests.unit.endpoint.channel import CALM, Channel, Faults, Instance
from tests.unit.endpoint.peers import MemoryPeer

ZONE = "home"
FRONT = InstanceAddress(ZONE, Role.ASSOCIATION, "front")
EXECUTOR = InstanceAddress("away", Role.SCU, "executor")
MAX_LENGTH = 131072
ARTIM = 10.0
CONTEXTS = frozenset((1, 3, 5))
SETTINGS = HalfSettings(
    window=16 * 1024,
    largest_window=16 * 1024,
    max_buffered=1024 * 1024,
    chunk_size=1000,
    inline_limit=300,
    retransmit_timeout=1.0,
    deadline=100_000.0,
    ack_delay=0.1,
    operation_timeout=0.0,
    stalled_write_timeout=60.0,
    release_timeout=10.0,
    artim_timeout=10.0,
)


@dataclass(eq=False)
class End:
    """One endpoint instance with the one link that it holds."""

    router: Router
    carrier: Instance
    half: AssociationHalf
    peer: MemoryPeer
    counters: Counters
    ended: list[str]


@dataclass(eq=False)
class Joined:
    """A client and a target that are associated through the mesh."""

    channel: Channel
    front: End
    executor: End

    @property
    def client(self) -> MemoryPeer:
        """The peer at the front-end."""
        return self.front.peer

    @property
    def target(self) -> MemoryPeer:
        """The peer at the executor."""
        return self.executor.peer

    @property
    def ends(self) -> tuple[End, End]:
        """Both."""
        return self.front, self.executor

    async def settle_once(self) -> None:
        """Let the event loop turn once."""
        await asyncio.sleep(0)

    async def settle(self, seconds: float = 0.0) -> None:
        """Let everything happen that happens within this (virtual) time."""
        if seconds:
            await asyncio.sleep(seconds)
        for _ in range(50):
            await asyncio.sleep(0)

    def assert_nothing_is_left(self) -> None:
        """Check that both routers have forgotten the link, with everything that it held."""
        for end in self.ends:
            router = end.router
            assert len(router) == 0
            assert router.budget.used == 0
            assert router.remembers_nothing
            assert end.carrier.watched == []
            assert len(end.ended) == 1
            assert len(end.half.operations) == 0


def _machine(*, requestor: bool) -> AssociationMachine:
    return AssociationMachine(requestor=requestor, state=State.STA6, relay=True)


def _end(
    router: Router, carrier: Instance, counters: Counters, *, from_client: bool, tls: bool, **more: Any
) -> End:
    ended: list[str] = []
    connection = router.new_connection(max_length=MAX_LENGTH)
    peer = MemoryPeer(connection, tls=tls)
    identity = AssociationIdentity(
        association="a1",
        home_zone=ZONE,
        calling_ae="CLIENT",
        called_ae="TARGET",
        from_client=from_client,
        local=router.new_address(),
    )
    half = AssociationHalf(
        instance=router,
        peer=SocketPeer(connection, _machine(requestor=not from_client), artim_timeout=ARTIM),
        identity=identity,
        on_end=ended.append,
        **more,
    )
    router.register(half)
    return End(router, carrier, half, peer, counters, ended)


@asynccontextmanager
async def joined(
    *,
    random: Random | None = None,
    faults: Faults = CALM,
    settings: HalfSettings = SETTINGS,
    routes: Sequence[Route] = (),
    handlers: int = 2,
    max_pdus: tuple[int, int] = (16384, 16384),
    front_end: dict[str, Any] | None = None,
    tls: tuple[bool, bool] = (False, False),
    encrypted: bool = False,
) -> AsyncIterator[Joined]:
    """Associate a client and a target; on leaving both routers stop.

    Args:
        handlers: of each service.
        max_pdus: Maximum Length of client and target.
        front_end: more arguments of the client's `AssociationHalf`.
        encrypted: whether the association is encrypted from end to end.
        tls: whether client and target have a connection that can't be closed one way only.
    """
    channel = Channel(random or Random(0), faults)
    async with AsyncExitStack() as stack:
        ends = []
        for address in (FRONT, EXECUTOR):
            carrier, counters = channel.instance(address), Counters()
            timeouts = settings if address is FRONT else replace(settings, operation_timeout=0.0)
            router = Router(
                mesh=carrier, liveness=carrier, telemetry=Telemetry(), counters=counters, settings=timeouts
            )
            await stack.enter_async_context(router.running())
            client = address is FRONT
            ends.append(
                _end(
                    router,
                    carrier,
                    counters,
                    from_client=client,
                    tls=tls[0 if client else 1],
                    **(front_end or {} if client else {}),
                )
            )
        for number in range(handlers):
            await serve(channel, f"handler{number}", routes)
        front, executor = ends
        keys = TransportKeys(bytes(range(32)), bytes(range(32, 64)))
        for end, other, max_pdu in ((executor, front, max_pdus[1]), (front, executor, max_pdus[0])):
            end.half.establish(
                remote=other.half.identity.local,
                window=settings.window,
                max_pdu=max_pdu,
                accepted_contexts=CONTEXTS,
                max_length=MAX_LENGTH,
                protection=protection(keys, at_initiator=end is front) if encrypted else None,
            )
        front.half.attach()
        yield Joined(channel, front, executor)


async def serve(channel: Channel, name: str, routes: Sequence[Route] = ()) -> list[Any]:
    """Add a handler of each service; return their subscriptions."""
    interests = []
    for service in (ServiceName.STORE, ServiceName.QUERY_RETRIEVE, ServiceName.N_SERVICE):
        carrier = channel.instance(InstanceAddress(ZONE, Role(service.value), name))
        handler = OperationHandler(
            service=service, mesh=carrier, telemetry=Telemetry(), policy=ConfiguredPolicy(routes=routes)
        )
        subject = carrier.subjects.operations(ZONE, service)
        interests.append(await carrier.subscribe(subject.interest, handler.handle, queue=subject.queue))
    return interests


def assert_collected(references: Sequence[weakref.ref[Any]]) -> None:
    """Check that nothing holds what these references point to."""
    gc.collect()
    assert [reference() for reference in references if reference() is not None] == []
