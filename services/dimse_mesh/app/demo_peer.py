"""The modality's own AE in the demo: receives what is moved back and what is reported; and a bare C-ECHO responder.

The archive is no yardstick for the mesh's latency: pynetdicom answers when its polling thread looks, within about 2 ms.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from dimse_mesh.dimse import (
    CommandField,
    CommandReceived,
    CommandSet,
    DimseError,
    Event,
    MessageAssembler,
    encode_command,
    response_to,
)
from dimse_mesh.endpoint.own import ASSOCIATE_LIMIT, IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dimse_mesh.upper_layer import (
    RELEASE_RP_PDU,
    AssociateAC,
    AssociateRQ,
    ContextResult,
    Framer,
    PduType,
    PresentationContextAC,
    RoleSelection,
    UpperLayerError,
    iter_pdvs,
)

Digest = tuple[str, str]
"""Transfer syntax, and SHA-256 of a data set."""
REPORT_SECONDS = 20.0


class Received:
    """What has come to an AE.

    Attributes:
        objects: by SOP instance.
        bytes_received: of data sets.
        originators: the AE titles that C-STORE requests name as having asked for the move.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Digest] = {}
        self.bytes_received = 0
        self.originators: set[str] = set()
        self._reports: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    def take(self, request: CommandSet, transfer_syntax: str, data: bytes) -> None:
        """Note a request of the peer."""
        if request.command_field == CommandField.C_STORE_RQ:
            digest = (transfer_syntax, hashlib.sha256(data).hexdigest())
            self.objects[request.affected_sop_instance_uid or ""] = digest
            self.bytes_received += len(data)
            self.originators.add(request.move_originator_ae or "")
        elif request.command_field == CommandField.N_EVENT_REPORT_RQ:
            self._reports.put_nowait((transfer_syntax, data))

    async def report(self) -> tuple[str, bytes]:
        """Return transfer syntax and event information of the next N-EVENT-REPORT.

        Raises:
            TimeoutError: none comes.
        """
        with anyio.fail_after(REPORT_SECONDS):
            return await self._reports.get()


class Peer(asyncio.Protocol):
    """Accepts every presentation context and role, and answers every request with success."""

    def __init__(self, received: Received) -> None:
        self._received = received
        self._framer = Framer(max_length=ASSOCIATE_LIMIT)
        self._assembler = MessageAssembler()
        self._transport: asyncio.Transport | None = None
        self._syntaxes: dict[int, str] = {}
        self._request: tuple[int, CommandSet] | None = None
        self._data: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; asyncio sets TCP_NODELAY."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer what is whole; close on what isn't DICOM."""
        assert self._transport is not None
        try:
            for kind, body in self._framer.feed(data):
                match kind:
                    case PduType.ASSOCIATE_RQ:
                        self._transport.write(self._accepted(AssociateRQ.decode(body)).encode())
                    case PduType.P_DATA_TF:
                        for pdv in iter_pdvs(body):
                            event = self._assembler.pdv(*pdv)
                            if event is not None:
                                self._happened(event)
                    case PduType.RELEASE_RQ:
                        self._transport.write(RELEASE_RP_PDU)
                    case _:
                        self._transport.close()
        except (UpperLayerError, DimseError):
            self._transport.abort()

    def _happened(self, event: Event) -> None:
        if isinstance(event, CommandReceived):
            self._request = (event.context_id, CommandSet.parse(event.command))
            self._data.clear()
            if not event.head.has_data_set:
                self._answer()
        else:
            self._data.append(bytes(event.fragment))
            if event.last:
                self._answer()

    def _answer(self) -> None:
        assert self._transport is not None
        assert self._request is not None
        context_id, request = self._request
        self._received.take(request, self._syntaxes.get(context_id, ""), b"".join(self._data))
        self._data.clear()
        self._transport.write(encode_command(context_id, response_to(request, 0).encode(), 0))

    def _accepted(self, request: AssociateRQ) -> AssociateAC:
        self._syntaxes = {
            context.context_id: context.transfer_syntaxes[0] for context in request.presentation_contexts
        }
        return AssociateAC.build(
            called_ae=request.called_ae,
            calling_ae=request.calling_ae,
            contexts=[
                PresentationContextAC(context_id, ContextResult.ACCEPTANCE, syntax)
                for context_id, syntax in self._syntaxes.items()
            ],
            maximum_length=ASSOCIATE_LIMIT,
            implementation_class_uid=IMPLEMENTATION_CLASS_UID,
            implementation_version_name=IMPLEMENTATION_VERSION_NAME,
            user_items=request.user_items(RoleSelection),
        )


@asynccontextmanager
async def listening(*ports: int) -> AsyncIterator[Received]:
    """Answer on 127.0.0.1 for the length of the block."""
    received = Received()
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(lambda: Peer(received), "127.0.0.1", port) for port in ports]
    try:
        yield received
    finally:
        for server in servers:
            server.close()
