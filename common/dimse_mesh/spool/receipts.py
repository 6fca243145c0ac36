"""Receipts: what has become of the objects for one destination, kept when the objects are gone."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterable

from dimse_mesh.mesh import EnvelopeError, JetStream, NotPermitted, StoredMessage, pack, unpack
from dimse_mesh.schemas.acknowledged import ObjectName
from dimse_mesh.schemas.commitment import Fate, QueueProgress, Receipt
from dimse_mesh.schemas.spool import Manifest
from dimse_mesh.schemas.spool_subjects import SpoolSubjects, StateKind

log = logging.getLogger(__name__)


class Receipts:
    """The receipts of one spool. Every method raises `MeshError` when they can't be reached."""

    def __init__(self, jetstream: JetStream, spool: SpoolSubjects) -> None:
        self._jetstream = jetstream
        self._spool = spool
        self._has_complained = False

    async def write(
        self,
        manifest: Manifest,
        sequence: int,
        fate: Fate,
        *,
        cause: str = "",
        redirected_to: str = "",
        whether_or_not_wanted: bool = False,
    ) -> None:
        """Write what has become of an object, before it leaves the queue; not for one that wants no receipt.

        Args:
            sequence: of its manifest, by which the same receipt is known when it is written again.
        """
        if not (manifest.receipt or whether_or_not_wanted):
            return
        sop_class, sop_instance = _known_as(manifest)
        receipt = Receipt(
            sop_class=sop_class,
            sop_instance=sop_instance,
            fate=fate,
            cause=cause,
            redirected_to=redirected_to,
            stored_as=None if manifest.receipt_for is None else (manifest.sop_class, manifest.sop_instance),
            at=time.time(),
        )
        await self._jetstream.publish(
            self._spool.receipt(sop_instance),
            pack(receipt),
            message_id=self._spool.fate_id(manifest.object_id, fate, sequence),
        )

    async def says_delivered(self, manifest: Manifest, sequence: int) -> bool:
        """Tell whether the newest receipt of an object's instance says that this very object was delivered.

        Args:
            sequence: of its manifest.

        Raises:
            NotPermitted: our user may not read receipts; that was logged.
        """
        if not manifest.receipt:
            return False
        newest = await self._newest(_known_as(manifest)[1])
        delivered = self._spool.fate_id(manifest.object_id, Fate.DELIVERED, sequence)
        return newest is not None and newest.message_id == delivered

    async def settled_to(self, name: ObjectName) -> int:
        """Return up to which sequence number what has an object's SOP Instance UID is settled, by its newest receipt.

        0: it has none.

        Raises:
            NotPermitted: our user may not read receipts; that was logged.
        """
        newest = await self._newest(_known_as(name)[1])
        number = "" if newest is None else newest.message_id.rpartition(".")[2]
        return int(number) if number.isascii() and number.isdigit() and len(number) < 20 else 0

    async def _newest(self, sop_instance: str) -> StoredMessage | None:
        """Return the newest receipt of an instance.

        Raises:
            NotPermitted: as `says_delivered`. Permissions that a former version has written don't let it read them.
        """
        try:
            return await self._jetstream.last(self._spool.receipt_stream, self._spool.receipt(sop_instance))
        except NotPermitted as error:
            if not self._has_complained:
                self._has_complained = True
                log.warning(
                    "%s: receipts can't be read, write the server's configuration anew: %s",
                    self._spool,
                    error,
                )
            raise

    async def find(self, sop_instances: Iterable[str]) -> dict[str, Receipt]:
        """Return the newest receipt of each instance that has one."""
        subjects = {self._spool.receipt(instance): instance for instance in sop_instances}
        found: dict[str, Receipt] = {}
        newest = await self._jetstream.newest(self._spool.receipt_stream, list(subjects))
        for subject, message in newest.items():
            try:
                receipt, _ = unpack(Receipt, message.payload)
            except EnvelopeError:  # another major version's
                continue
            if receipt.sop_instance == subjects.get(subject):
                found[receipt.sop_instance] = receipt
        return found

    async def progress(self) -> int:
        """Return the sequence number up to which the spool is settled, as its delivery service has said."""
        found = await self._jetstream.last(self._spool.state_stream, self._spool.state(StateKind.PROGRESS))
        try:
            return 0 if found is None else unpack(QueueProgress, found.payload)[0].settled
        except EnvelopeError:
            return 0

    async def horizon(self) -> int:
        """Return a sequence number of the spool behind everything that was acknowledged so far.

        A front-end may write the spool and not look into it: so it writes a mark, a piece of an object that will never
        be whole, and the keeper removes it.
        """
        mark = uuid.uuid4().hex
        sequence = await self._jetstream.publish(self._spool.chunk(mark), b"\0", message_id=f"{mark}.0")
        self._jetstream.tell(self._spool.broken(mark))
        return sequence


def _known_as(stored: Manifest | ObjectName) -> tuple[str, str]:
    """Return SOP class and instance that the object's client knows it by."""
    return stored.receipt_for or (stored.sop_class, stored.sop_instance)
