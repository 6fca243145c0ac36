"""Take what destinations report to a front-end of this zone (storage commitment), and answer the front-end."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence

import anyio

from dimse_mesh.delivery.confirmation import Confirmation
from dimse_mesh.dimse import Status
from dimse_mesh.dimse.commitment import read_result
from dimse_mesh.mesh import EnvelopeError, Mesh, MeshError, Message, pack, unpack
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.commitment import CommitmentHeard, CommitmentHeardReply
from dimse_mesh.schemas.subjects import Kind

log = logging.getLogger(__name__)

MOST_WAITING = 64
"""Reports that wait to be kept; a destination whose report is one too many gets a failure, and may report again."""


class Hearing:
    """Takes the reports of destinations, one after the other.

    Args:
        confirmations: of the destinations; may grow.
    """

    def __init__(self, mesh: Mesh, confirmations: Sequence[Confirmation]) -> None:
        self._mesh = mesh
        self._confirmations = confirmations
        self._waiting: deque[tuple[InstanceAddress, CommitmentHeard, bytes]] = deque()
        self._came = anyio.Event()

    async def listen(self) -> None:
        """Hear the front-ends of the zone."""
        await self._mesh.subscribe(self._mesh.subjects.mine(Kind.COMMITMENT), self._received)

    def _received(self, message: Message) -> None:
        sender = message.sender
        if (
            sender is None
            or sender.role is not Role.ASSOCIATION
            or sender.zone != self._mesh.address.zone
            or len(self._waiting) >= MOST_WAITING
        ):
            return
        try:
            heard, information = unpack(CommitmentHeard, message.payload)
        except EnvelopeError:
            return
        self._waiting.append((sender, heard, bytes(information)))
        self._came.set()

    async def run(self) -> None:
        """Keep what was heard, and answer, until cancelled."""
        while True:
            await self._came.wait()
            self._came = anyio.Event()
            while self._waiting:
                front_end, heard, information = self._waiting.popleft()
                status = await self._take(heard, information)
                reply = CommitmentHeardReply(heard_id=heard.heard_id, status=status)
                self._mesh.publish(self._mesh.subjects.to(front_end, Kind.COMMITMENT), pack(reply))

    async def _take(self, heard: CommitmentHeard, information: bytes) -> int:
        """Keep a report; return the status that the destination gets."""
        try:
            report = read_result(information, heard.transfer_syntax)
            for confirmation in self._confirmations:
                if await confirmation.hear(report):
                    return Status.SUCCESS
        except ValueError:
            return Status.INVALID_ARGUMENT_VALUE
        except MeshError as error:
            log.warning("a report of storage commitment can't be kept: %s", error)
            return Status.PROCESSING_FAILURE
        return Status.NO_SUCH_SOP_INSTANCE
