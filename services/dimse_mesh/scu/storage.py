"""Targets that are places: their end of an association stands in this process, with a storage SCP behind it."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from anyio.abc import TaskGroup

from dimse_mesh.dimse import CommandReceived, DataFragment, DimseError
from dimse_mesh.endpoint.in_process_peer import InProcessPeer
from dimse_mesh.mesh.errors import report
from dimse_mesh.runtime.settings_scu import RemoteAe
from dimse_mesh.storage import StorageAssociation, StorageTarget
from dimse_mesh.upper_layer import AssociateAC, AssociateRQ, PduType

log = logging.getLogger(__name__)


class StoragePlaces:
    """The places among this zone's AEs.

    Args:
        tasks: in which associations with them are served.

    Raises (from the constructor):
        StartError: the library that a place needs is not installed.
    """

    def __init__(self, remote_aes: Iterable[RemoteAe], tasks: TaskGroup, *, max_pdu_length: int) -> None:
        self._tasks = tasks
        self._max_pdu_length = max_pdu_length
        self._targets = {
            remote.ae_title: StorageTarget(remote) for remote in remote_aes if remote.storage is not None
        }

    def associate(self, remote: RemoteAe, request: AssociateRQ) -> tuple[InProcessPeer, AssociateAC]:
        """Accept an association; it is served as soon as its half has joined the peer."""
        opened = self._targets[remote.ae_title].associate(request, maximum_length=self._max_pdu_length)
        peer = InProcessPeer()
        self._tasks.start_soon(_serve, peer, opened.association)
        return peer, opened.negotiated.answer


async def _serve(peer: InProcessPeer, association: StorageAssociation) -> None:
    """Give the storage SCP what comes, and the peer its answers, until the association ends."""
    try:
        await _answer(peer, association)
    except DimseError as error:
        log.info("an association with a place ended: %s", error.code)
        peer.give_up()
    except Exception as error:  # noqa: BLE001 - one association must not end the others
        report("an association with a place", error)
        peer.give_up()
    finally:
        try:
            await association.close()
        except Exception as error:  # noqa: BLE001 - see above
            report("the end of an association with a place", error)


async def _answer(peer: InProcessPeer, association: StorageAssociation) -> None:
    while True:
        word = await peer.next()
        if isinstance(word, CommandReceived | DataFragment):
            answered = await association.take(word)
            if answered is not None:
                await peer.send(answered.context_id, answered.command.encode(), command=True, last=True)
        elif word is PduType.RELEASE_RQ:
            peer.grant_release()
            return
        else:
            return
