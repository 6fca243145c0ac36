"""Take the objects of one client into the spools of its route: what becomes of a C-STORE-RQ on a durable route."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from dimse_mesh.association.durable_contexts import has_uid_length
from dimse_mesh.association.durable_data_set import Ended, IncomingDataSet
from dimse_mesh.association.giving_way import GivingWay
from dimse_mesh.dimse import CommandField, CommandSet, Status, failure_status_for
from dimse_mesh.dimse.status import FailureReason
from dimse_mesh.mesh import MeshError, StreamFull
from dimse_mesh.schemas.spool import Manifest, RouteKey
from dimse_mesh.schemas.spool_subjects import RoutePriority
from dimse_mesh.spool import NoteAcknowledged, ObjectWriter

log = logging.getLogger(__name__)

Answer = tuple[int, str | None]
"""The status of a response, and an error comment."""


class TellAccepted(Protocol):
    """Tells that an object is acknowledged now."""

    async def __call__(self, manifest: Manifest) -> None:
        """Tell; the client is answered afterwards."""


class Storing:
    """Stores the objects of one association.

    Args:
        writer: makes the writer of an object; its pieces are stored in the given task group.
        note: is told of each object that is acknowledged.
        called_ae, calling_ae: by which the objects are delivered.
        route: whose hooks the objects are for; None: it has none.
        priority: of the route.
        receipts: whether it is kept what becomes of the objects, for storage commitment.
        accepted: is told of each object before its client is answered; None: nobody is told.
        no_room: returns what a client is told when a queue takes nothing now, or None.
        giving_way: to live traffic.
    """

    def __init__(
        self,
        writer: Callable[[TaskGroup], ObjectWriter],
        note: NoteAcknowledged,
        *,
        called_ae: str,
        calling_ae: str,
        route: RouteKey | None,
        priority: RoutePriority,
        receipts: bool,
        accepted: TellAccepted | None,
        no_room: Callable[[], str | None],
        giving_way: GivingWay,
        traceparent: str | None,
    ) -> None:
        self._writer = writer
        self._note = note
        self._called_ae = called_ae
        self._calling_ae = calling_ae
        self._route = route
        self._priority = priority
        self._receipts = receipts
        self._accepted = accepted
        self._no_room = no_room
        self._giving_way = giving_way
        self._traceparent = traceparent

    async def store(self, command: CommandSet, data_set: IncomingDataSet, *, transfer_syntax: str) -> Answer:
        """Store an object; return what its client is answered.

        Raises:
            Ended: the association ended before the whole of it had come.
        """
        if not has_uid_length(command.affected_sop_class_uid or "", command.affected_sop_instance_uid or ""):
            await data_set.skip()
            return Status.INVALID_OBJECT_INSTANCE, None
        lack = self._no_room()
        if lack is not None:
            await data_set.skip()
            return _out_of_resources(lack)
        failure: MeshError | Ended | None = None
        self._giving_way.begin()
        async with anyio.create_task_group() as tasks:
            writer = self._writer(tasks)
            try:
                await self._receive_into(writer, data_set)
                manifest = await writer.commit(
                    command,
                    transfer_syntax=transfer_syntax,
                    called_ae=self._called_ae,
                    calling_ae=self._calling_ae,
                    received=time.time(),
                    traceparent=self._traceparent,
                    route=self._route,
                    priority=self._priority,
                    receipt=self._receipts,
                )
                for spool, sequence in writer.stored.items():
                    self._note(spool, manifest, sequence)
                if self._accepted is not None:
                    await self._accepted(manifest)
            except (MeshError, Ended) as error:
                failure = error
                tasks.cancel_scope.cancel()
        if failure is None:
            return Status.SUCCESS, None
        writer.discard()
        if isinstance(failure, Ended):
            raise failure
        log.error("an object of %s for %s is refused: %s", self._calling_ae, self._called_ae, failure)
        await data_set.skip()
        is_full = isinstance(failure, StreamFull)
        return _out_of_resources(
            "the queue of this destination is full" if is_full else "the queue can't be written to"
        )

    async def _receive_into(self, writer: ObjectWriter, data_set: IncomingDataSet) -> None:
        while (fragment := await data_set.next()) is not None:
            await writer.write(fragment)
            await self.give_way()

    async def give_way(self) -> None:
        """Pause if live associations want this process."""
        await self._giving_way.look()


def _out_of_resources(comment: str) -> Answer:
    return failure_status_for(CommandField.C_STORE_RQ, FailureReason.OUT_OF_RESOURCES), comment
