"""A bare C-ECHO responder: the yardstick for the mesh's own latency.

The archive is no yardstick: pynetdicom answers when its polling thread looks, within about 2 ms.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dimse_mesh.dimse import CommandReceived, CommandSet, MessageAssembler, encode_command, response_to
from dimse_mesh.endpoint.own import ASSOCIATE_LIMIT, IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dimse_mesh.upper_layer import (
    RELEASE_RP_PDU,
    AssociateAC,
    AssociateRQ,
    ContextResult,
    Framer,
    PduType,
    PresentationContextAC,
    iter_pdvs,
)


class EchoResponder(asyncio.Protocol):
    """Accepts every presentation context and answers every request with success."""

    def __init__(self) -> None:
        self._framer = Framer(max_length=ASSOCIATE_LIMIT)
        self._assembler = MessageAssembler()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; asyncio sets TCP_NODELAY."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer what is whole."""
        assert self._transport is not None
        for kind, body in self._framer.feed(data):
            match kind:
                case PduType.ASSOCIATE_RQ:
                    self._transport.write(_accepted(AssociateRQ.decode(body)).encode())
                case PduType.P_DATA_TF:
                    self._transport.write(self._responses(body))
                case PduType.RELEASE_RQ:
                    self._transport.write(RELEASE_RP_PDU)
                case _:
                    self._transport.close()

    def _responses(self, body: memoryview) -> bytes:
        answers = b""
        for context_id, flags, fragment in iter_pdvs(body):
            event = self._assembler.pdv(context_id, flags, fragment)
            if isinstance(event, CommandReceived):
                response = response_to(CommandSet.parse(event.command), 0)
                answers += encode_command(context_id, response.encode(), 0)
        return answers


def _accepted(request: AssociateRQ) -> AssociateAC:
    return AssociateAC.build(
        called_ae=request.called_ae,
        calling_ae=request.calling_ae,
        contexts=[
            PresentationContextAC(context.context_id, ContextResult.ACCEPTANCE, context.transfer_syntaxes[0])
            for context in request.presentation_contexts
        ],
        maximum_length=0,
        implementation_class_uid=IMPLEMENTATION_CLASS_UID,
        implementation_version_name=IMPLEMENTATION_VERSION_NAME,
    )


@asynccontextmanager
async def echo_responder(port: int) -> AsyncIterator[None]:
    """Respond on 127.0.0.1:`port` for the length of the block."""
    server = await asyncio.get_running_loop().create_server(EchoResponder, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
