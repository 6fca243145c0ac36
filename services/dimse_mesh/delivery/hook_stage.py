"""Hooks as the destination of a queue: what they make of an object goes into the spool of its own destination.

It runs in the source zone, behind the acknowledgement to the client. So what hooks take away never leaves that zone,
and the delivery to the destination knows nothing of hooks. An object is removed from the spool before the hooks when
it is safe in the one behind them; after a crash between the two it is there twice, the same both times.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from dimse_mesh.client import Context
from dimse_mesh.delivery.outcomes import DeliveryCause, DeliveryOutcome, Scope
from dimse_mesh.delivery.scan import WHOLE_AT_MOST
from dimse_mesh.dimse import Tag
from dimse_mesh.hooks import Extent, HookFailed, HookResult, HookRunner, Malformed, split
from dimse_mesh.mesh import JetStream, StreamFull
from dimse_mesh.runtime.routing import Delivery, Route
from dimse_mesh.runtime.settings import ZoneSettings
from dimse_mesh.runtime.settings_hooks import Hook
from dimse_mesh.schemas.spool_subjects import SpoolSubjects, hidden_instance
from dimse_mesh.spool import (
    DamagedObject,
    NoteAcknowledged,
    SpooledObject,
    facts_of,
    pass_on,
    read_data_set,
)

if TYPE_CHECKING:
    from dimse_mesh.encryption.objects import ObjectEncryption

Pieces = Callable[[], AsyncIterator[bytes | memoryview]]
"""Reads a data set from its start."""


class HookStage:
    """Takes objects of one spool before hooks to the one behind them.

    Args:
        note: is told of each object that stands behind them.
    """

    def __init__(
        self,
        jetstream: JetStream,
        spool: SpoolSubjects,
        settings: ZoneSettings,
        *,
        max_payload: int,
        note: NoteAcknowledged,
        encryption: ObjectEncryption | None = None,
    ) -> None:
        self._encryption = encryption
        self._jetstream = jetstream
        self._spool = spool
        self._settings = settings
        self._max_payload = max_payload
        self._note = note
        self._limits = settings.delivery.hooks
        self._runner = HookRunner(self._limits)

    @property
    def is_open(self) -> bool:
        """Never: there is no association to close when nothing waits."""
        return False

    async def deliver(
        self,
        spooled: SpooledObject,
        data_set: AsyncIterator[bytes | memoryview],
        *,
        attempts: int,  # noqa: ARG002 - what hooks fail, they fail again
        ahead: Iterable[Context],  # noqa: ARG002 - of associations
    ) -> DeliveryOutcome:
        """Apply the hooks of an object's route; return how it ended.

        Raises:
            MeshError: a spool can't be read or written now.
        """
        try:
            hooks = self._hooks_of(spooled)
            again = await self._pieces(spooled, data_set)
            extent, result = await self._changed(spooled, hooks, again)
            await self._store(spooled, hooks, again, extent, result)
        except (HookFailed, Malformed) as failure:
            return DeliveryOutcome(DeliveryCause.HOOK_FAILED, str(failure), scope=Scope.DEAD_LETTER)
        except DamagedObject as damage:
            return DeliveryOutcome(DeliveryCause.DAMAGED, str(damage), scope=Scope.DEAD_LETTER)
        except StreamFull:
            detail = f"the queue of {self._spool.behind_hooks.label} is full"
            return DeliveryOutcome(DeliveryCause.OUT_OF_RESOURCES, detail, scope=Scope.DESTINATION)
        return DeliveryOutcome(DeliveryCause.DELIVERED, tried=True)

    async def close(self) -> None:
        """End the process of the hooks."""
        await self._runner.close()

    def abort(self) -> None:
        """Nothing: what is half written is removed where that is noticed."""

    def _hooks_of(self, spooled: SpooledObject) -> Sequence[Hook]:
        """Return the hooks that the object's route has now.

        Raises:
            HookFailed: there is no such route any more, or it has no hooks.
        """
        key = spooled.manifest.route
        route: Route | None = next((route for route in self._settings.routes if route.key == key), None)
        if key is None or route is None or route.delivery is not Delivery.DURABLE or not route.hooks:
            called, calling = key or ("", "")
            raise HookFailed(
                f"its route (called {called}, calling {calling}) has no hooks in the configuration any more"
            )
        return route.hooks

    async def _pieces(self, spooled: SpooledObject, data_set: AsyncIterator[bytes | memoryview]) -> Pieces:
        """Return how the data set is read, which is done twice: a small one from memory."""
        if spooled.manifest.size > WHOLE_AT_MOST:
            return lambda: read_data_set(self._jetstream, self._spool, spooled, encryption=self._encryption)
        kept = [piece async for piece in data_set]

        async def from_memory() -> AsyncIterator[bytes | memoryview]:
            for piece in kept:
                yield piece

        return from_memory

    async def _changed(
        self, spooled: SpooledObject, hooks: Sequence[Hook], pieces: Pieces
    ) -> tuple[Extent, HookResult]:
        syntax = spooled.manifest.transfer_syntax
        if any(hook.pixel_data for hook in hooks):
            if spooled.manifest.size > self._limits.max_bytes:
                raise HookFailed(
                    f"it is larger than {self._limits.max_bytes} bytes (delivery.hooks.max_bytes)"
                )
            whole = b"".join([bytes(piece) async for piece in pieces()])
            extent = Extent(len(whole), 0, whole, b"")
        else:
            extent = await split(pieces(), syntax, most=self._limits.max_bytes)
        return extent, await self._runner.run(hooks, syntax, extent.header, extent.trailer)

    async def _store(
        self,
        spooled: SpooledObject,
        hooks: Sequence[Hook],
        pieces: Pieces,
        extent: Extent,
        result: HookResult,
    ) -> None:
        """Write what the hooks have made of an object into the spool behind them.

        Raises:
            DamagedObject, MeshError: nothing of it stands there.
        """
        manifest = spooled.manifest
        changes: dict[int, str | None] = {
            Tag.AffectedSOPClassUID: result.sop_class,
            Tag.AffectedSOPInstanceUID: result.sop_instance,
        }
        if any(hook.deidentify is not None for hook in hooks):
            changes |= {Tag.MoveOriginatorApplicationEntityTitle: None, Tag.MoveOriginatorMessageID: None}
        facts = facts_of(manifest)
        facts["origin"] = manifest.object_id
        # Not the UID itself: the destination's zone reads this, and hooks may have taken it away.
        facts["receipt_for"] = (manifest.sop_class, hidden_instance(manifest.sop_instance))

        async def changed() -> AsyncIterator[bytes]:
            yield result.header
            if extent.length:
                async for piece in between(pieces(), extent.first, extent.length):
                    yield piece
            yield result.trailer

        await pass_on(
            self._jetstream,
            self._spool.behind_hooks,
            self._settings.spool,
            spooled.command.replace(changes),
            changed(),
            facts=facts,
            max_payload=self._max_payload,
            note=self._note,
            encryption=self._encryption,
        )


async def between(pieces: AsyncIterator[bytes | memoryview], first: int, length: int) -> AsyncIterator[bytes]:
    """Yield `length` bytes, from the one at `first` on; all of what is read is read, so that its digest is checked."""
    at = 0
    async for piece in pieces:
        begin, end = max(first - at, 0), min(first + length - at, len(piece))
        if begin < end:
            yield bytes(piece[begin:end])
        at += len(piece)
