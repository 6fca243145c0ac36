"""Ask the mesh for an association with the target, and make its answer the client's (DESIGN: linked associations)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import anyio

from dimse_mesh.association.admission import CALLED_NOT_RECOGNIZED, CONGESTION, LIMIT_EXCEEDED
from dimse_mesh.mesh import Mesh, MeshError, NoResponders
from dimse_mesh.schemas.association import OpenReply, OpenRequest, OpenResult
from dimse_mesh.schemas.subjects import Subject
from dimse_mesh.upper_layer import Abort, AssociateAC, AssociateRJ, MalformedPdu, PduType

BUSY_ATTEMPTS = 5
"""How many executors are asked before the client is told to come again."""
FAILOVER_PATIENCE = 3.0
"""Seconds that a destination which answered before may have no executor: one is being restarted."""
RETRY_PAUSE = 0.1
"""Seconds between asking again."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The target accepted."""

    reply: OpenReply
    answer: AssociateAC


@dataclass(frozen=True, slots=True)
class Refused:
    """The client gets this reject or abort."""

    answer: AssociateRJ | Abort
    code: str


class Opener:
    """Opens associations through the mesh. One for a front-end: it remembers which destinations have answered."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._answered: set[str] = set()

    async def open(
        self,
        subject: Subject[OpenRequest, OpenReply],
        request: OpenRequest,
        pdu: bytes,
        *,
        traceparent: str | None,
    ) -> Accepted | Refused:
        """Ask the executors of a destination until one answers for the target, within the request's deadline.

        Args:
            subject: of the destination.
            request: its deadline in seconds.
            pdu: the client's A-ASSOCIATE-RQ.
            traceparent: of the association's span.
        """
        headers = {"traceparent": traceparent} if traceparent is not None else None
        loop = asyncio.get_running_loop()
        end = loop.time() + request.deadline
        unserved_until = loop.time() + (FAILOVER_PATIENCE if subject.name in self._answered else 0.0)
        busy = 0
        while True:
            remaining = end - loop.time()
            if remaining <= 0:
                return Refused(CONGESTION, "open-timeout")
            try:
                reply, tail = await self._mesh.request(
                    subject, request, pdu, timeout=remaining, headers=headers
                )
            except NoResponders:
                if loop.time() >= unserved_until:
                    if subject.name in self._answered:
                        return Refused(CONGESTION, "executor-gone")
                    return Refused(CALLED_NOT_RECOGNIZED, "called-ae-unknown")
            except MeshError as error:
                if not error.retryable:
                    return Refused(CONGESTION, f"mesh-{error.code}")
            else:
                self._answered.add(subject.name)
                if reply.result is not OpenResult.BUSY:
                    return _outcome(reply, bytes(tail))
                busy += 1
                if busy >= BUSY_ATTEMPTS:
                    return Refused(LIMIT_EXCEEDED, "executors-busy")
                continue
            await anyio.sleep(RETRY_PAUSE)


def _outcome(reply: OpenReply, pdu: bytes) -> Accepted | Refused:
    """Translate an executor's reply."""
    body = pdu[6:]
    try:
        match reply.result:
            case OpenResult.ACCEPTED:
                return Accepted(reply, AssociateAC.decode(body))
            case OpenResult.REJECTED:
                return Refused(AssociateRJ.decode(body), "rejected-by-target")
            case OpenResult.ABORTED if pdu and pdu[0] == PduType.ABORT:
                return Refused(Abort.decode(body), "aborted-by-target")
    except MalformedPdu:
        return Refused(CONGESTION, "malformed-answer")
    if reply.result is OpenResult.LIMIT:
        return Refused(LIMIT_EXCEEDED, "target-limit")
    return Refused(CONGESTION, f"target-{reply.result.value}")
