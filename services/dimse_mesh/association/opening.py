"""Ask the mesh for an association with the target, and make its answer the client's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import anyio

from dimse_mesh.endpoint import PROVIDER_ABORT, Router
from dimse_mesh.mesh import LiveInstance, Mesh, MeshError, NoResponders, Reply
from dimse_mesh.mesh.errors import report
from dimse_mesh.mesh.liveness import Liveness
from dimse_mesh.policy.rejections import CALLED_NOT_RECOGNIZED, CONGESTION, LIMIT_EXCEEDED
from dimse_mesh.runtime.tracing import trace_headers
from dimse_mesh.schemas.addresses import HalfAddress, Role
from dimse_mesh.schemas.association import (
    BROKEN_BY_TARGET,
    CLOSED_BY_TARGET,
    OpenReply,
    OpenRequest,
    OpenResult,
)
from dimse_mesh.schemas.subjects import Subject
from dimse_mesh.upper_layer import Abort, AssociateAC, AssociateRJ, MalformedPdu, PduType

BUSY_ATTEMPTS = 12
"""How many executors are asked before the client is told to come again."""
BUSY_PAUSE = 0.025
"""Seconds between asking one and the next: the queue group chooses by chance, perhaps the same again."""
FAILOVER_PATIENCE = 3.0
"""Seconds that a destination which answered before may have no executor: one is being restarted."""
RETRY_PAUSE = 0.1
"""Seconds between asking again."""
PROBE_INTERVAL = 1.0
"""Seconds between looks at a request that is not answered: which executor has it, and does it have it still?"""
_CODE_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz-")

TAKING_TIMEOUT = 2.0
"""Seconds in which an executor has to say that it has the request; doubled with each attempt."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The target accepted."""

    sink: HalfAddress
    window: int
    answer: AssociateAC
    pdu: bytes
    """The answer as it came."""
    encryption: str
    """The executor's handshake message; empty: none."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The client gets this reject or abort; None: its connection is closed, as the target has closed ours."""

    answer: AssociateRJ | Abort | None
    code: str


class Opener:
    """Opens associations through the mesh. One for a front-end: it remembers which destinations have answered."""

    def __init__(self, mesh: Mesh, liveness: Liveness, router: Router) -> None:
        self._mesh = mesh
        self._liveness = liveness
        self._router = router
        self._openings = router.openings
        self._answered: set[str] = set()

    async def open(
        self,
        subject: Subject[OpenRequest, OpenReply],
        request: OpenRequest,
        pdu: bytes,
        *,
        local: HalfAddress,
        traceparent: str | None,
    ) -> Accepted | Refused:
        """Ask the executors of a destination until one answers for the target, within the request's deadline.

        Args:
            subject: of the destination.
            request: its deadline in seconds.
            pdu: the client's A-ASSOCIATE-RQ.
            local: our half of the association.
            traceparent: of the association's span.
        """
        headers = trace_headers(traceparent)
        loop = asyncio.get_running_loop()
        end = loop.time() + request.deadline
        asked_at = loop.time()
        busy = attempts = 0
        while True:
            remaining = end - loop.time()
            if remaining <= 0:
                return Refused(CONGESTION, "open-timeout")
            attempts += 1
            try:
                answer = await self._ask(
                    subject,
                    request,
                    pdu,
                    local=local,
                    timeout=remaining,
                    taking_timeout=TAKING_TIMEOUT * 2 ** (attempts - 1),
                    headers=headers,
                )
            except NoResponders:
                if loop.time() >= self._unserved_until(subject, asked_at):
                    if self._is_known(subject):
                        return Refused(CONGESTION, "executor-gone")
                    return Refused(CALLED_NOT_RECOGNIZED, "called-ae-unknown")
            except MeshError as error:
                if not error.retryable:
                    return Refused(CONGESTION, f"mesh-{error.code}")
            else:
                if answer is None:
                    continue
                self._answered.add(subject.name)
                if answer.head.result is not OpenResult.BUSY:
                    return _outcome(answer)
                busy += 1
                if busy >= BUSY_ATTEMPTS:
                    return Refused(LIMIT_EXCEEDED, "executors-busy")
                await anyio.sleep(BUSY_PAUSE)
                continue
            await anyio.sleep(RETRY_PAUSE)

    def _is_known(self, subject: Subject[OpenRequest, OpenReply]) -> bool:
        """Tell whether there is, or was, an executor for a destination: then it is out of reach and not unknown."""
        if subject.name in self._answered:
            return True
        return any(
            subject in self._served_by(instance)
            for instance in self._liveness.instances
            if instance.address.role is Role.SCU
        )

    def _served_by(self, executor: LiveInstance) -> Iterator[Subject[OpenRequest, OpenReply]]:
        """Yield the destinations of an executor: its AEs, and its zone if one of them is the zone's default target."""
        subjects = self._mesh.subjects
        yield from map(subjects.ae_open, executor.heartbeat.associations)
        if executor.heartbeat.serves_zone:
            yield subjects.zone_open(executor.address.zone)

    def _unserved_until(self, subject: Subject[OpenRequest, OpenReply], asked_at: float) -> float:
        """Return until when the lack of an executor may be one that is coming back."""
        until = asked_at + (FAILOVER_PATIENCE if self._is_known(subject) else 0.0)
        if self._mesh.control_connects > 1:  # NATS was away: the executors may need longer than we did
            until = max(until, self._mesh.connected_since + FAILOVER_PATIENCE)
        return until

    async def _ask(
        self,
        subject: Subject[OpenRequest, OpenReply],
        request: OpenRequest,
        pdu: bytes,
        *,
        local: HalfAddress,
        timeout: float,
        taking_timeout: float,
        headers: dict[str, str] | None,
    ) -> Reply[OpenReply] | None:
        """Ask once; None: the request is lost, or whoever had it is.

        Raises:
            MeshError: as `Mesh.request`.
        """
        channel = local.channel
        scope = anyio.CancelScope()

        loop = asyncio.get_running_loop()
        until = loop.time() + taking_timeout
        timer: asyncio.TimerHandle

        def look() -> None:
            nonlocal timer
            try:
                if self._openings.is_taken(channel):
                    self._router.probe_takers(local)
                elif loop.time() >= until:
                    scope.cancel()
            except Exception as error:  # noqa: BLE001 - this opening is asked for again, and no other is touched
                report("the watch over an opening", error)
                scope.cancel()
            timer = loop.call_later(PROBE_INTERVAL, look)

        self._openings.ask(channel, scope.cancel)
        timer = loop.call_later(PROBE_INTERVAL, look)
        chosen: HalfAddress | None = None
        try:
            with scope:
                reply = await self._mesh.request(subject, request, pdu, timeout=timeout, headers=headers)
                chosen = _sink_of(reply)
                return reply
        finally:
            timer.cancel()
            self._openings.settle(channel, chosen)
        return None


def _sink_of(reply: Reply[OpenReply]) -> HalfAddress | None:
    """Return the executor's half of the association; None: it has none, or is no executor."""
    channel = reply.head.channel
    return (
        None if channel is None or reply.sender.role is not Role.SCU else HalfAddress(reply.sender, channel)
    )


def _outcome(answer: Reply[OpenReply]) -> Accepted | Refused:
    """Translate an executor's reply."""
    reply, pdu = answer.head, bytes(answer.tail)
    sink, body = _sink_of(answer), pdu[6:]
    try:
        match reply.result:
            case OpenResult.ACCEPTED if sink is not None:
                return Accepted(sink, reply.window, AssociateAC.decode(body), pdu, reply.encryption)
            case OpenResult.REJECTED:
                return Refused(AssociateRJ.decode(body), _code_in(reply.detail) or "rejected-by-target")
            case OpenResult.ABORTED if pdu and pdu[0] == PduType.ABORT:
                return Refused(Abort.decode(body), "aborted-by-target")
    except MalformedPdu:
        return Refused(PROVIDER_ABORT, "malformed-answer")
    if reply.result is OpenResult.UNREACHABLE and reply.detail == CLOSED_BY_TARGET:
        return Refused(None, CLOSED_BY_TARGET)
    if reply.result is OpenResult.UNREACHABLE and reply.detail in BROKEN_BY_TARGET:
        return Refused(PROVIDER_ABORT, f"target-{reply.detail}")
    if reply.result is OpenResult.LIMIT:
        return Refused(LIMIT_EXCEEDED, "target-limit")
    return Refused(CONGESTION, f"target-{reply.result.value}")


def _code_in(detail: str) -> str | None:
    """Return the code of a refusal by the executor's policy; None: it was the target that refused."""
    return detail if detail and _CODE_CHARACTERS.issuperset(detail) else None
