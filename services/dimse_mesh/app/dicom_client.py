"""A small SCU over any stream: associate, C-ECHO, C-STORE, release. For the command line and the demo.

After a method has raised, the association is gone: `close` and open another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import anyio

from dimse_mesh.app.dicom_file import DicomFile
from dimse_mesh.dimse import (
    CommandReceived,
    CommandSet,
    DimseError,
    MessageAssembler,
    echo_request,
    encode_command,
    encode_data,
    store_request,
)
from dimse_mesh.dimse.requests import VERIFICATION_SOP_CLASS
from dimse_mesh.endpoint.own import (
    ASSOCIATE_LIMIT,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
)
from dimse_mesh.upper_layer import (
    RELEASE_RQ_PDU,
    Abort,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    Framer,
    PduType,
    PresentationContextRQ,
    UpperLayerError,
    iter_pdvs,
)

MAX_PDU_LENGTH = 131072
MAX_CONTEXTS = 128
PIECE = 256 * 1024
"""Bytes of a file read at once."""
DEADLINE = 60.0
"""Seconds for the peer's next answer."""

Context = tuple[str, str]
"""Abstract syntax and transfer syntax."""

IMPLICIT_LE = "1.2.840.10008.1.2"
VERIFICATION: Context = (VERIFICATION_SOP_CLASS, IMPLICIT_LE)


class AssociationError(Exception):
    """No association, or no longer: rejected, aborted, lost, silent. The message says which."""


class DicomClient:
    """One association, made by `open_association`.

    Attributes:
        accepted: the context id for each context that the target accepted.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._framer = Framer(max_length=max(MAX_PDU_LENGTH, ASSOCIATE_LIMIT))
        self._pdus: list[tuple[int, bytes]] = []
        self._assembler = MessageAssembler()
        self._max_pdu = 0
        self._message_id = 0
        self.accepted: dict[Context, int] = {}

    async def associate(self, *, called_ae: str, calling_ae: str, contexts: Sequence[Context]) -> None:
        """Propose `contexts`, at most 128.

        Raises:
            AssociationError: the target doesn't want it.
        """
        ids = {2 * number + 1: context for number, context in enumerate(contexts)}
        request = AssociateRQ.build(
            called_ae=called_ae,
            calling_ae=calling_ae,
            contexts=[
                PresentationContextRQ(number, name, (syntax,)) for number, (name, syntax) in ids.items()
            ],
            maximum_length=MAX_PDU_LENGTH,
            implementation_class_uid=IMPLEMENTATION_CLASS_UID,
            implementation_version_name=IMPLEMENTATION_VERSION_NAME,
        )
        await self._send(request.encode())
        answer = AssociateAC.decode(await self._receive(PduType.ASSOCIATE_AC))
        self._max_pdu = answer.maximum_length or 0
        for context in answer.presentation_contexts:
            if context.accepted and context.context_id in ids:
                self.accepted[ids[context.context_id]] = context.context_id

    async def echo(self) -> int:
        """Verify (PS3.7 §9.1.5); return the status.

        Raises:
            AssociationError: there is no answer.
        """
        self._message_id = self._message_id % 65535 + 1
        context = self._context(VERIFICATION)
        await self._send(encode_command(context, echo_request(self._message_id).encode(), self._max_pdu))
        return await self._status()

    async def store(self, file: DicomFile, progress: Callable[[int], None] | None = None) -> int:
        """Store a file's data set as it stands there (PS3.7 §9.1.1); return the status.

        Raises:
            AssociationError: there is no answer, or no context for it.
            OSError: the file can't be read; the association can't go on.
        """
        self._message_id = self._message_id % 65535 + 1
        context = self._context((file.sop_class, file.transfer_syntax))
        request = store_request(self._message_id, sop_class=file.sop_class, sop_instance=file.sop_instance)
        await self._send(encode_command(context, request.encode(), self._max_pdu))
        left = file.size
        async with await anyio.open_file(file.path, "rb") as source:
            await source.seek(file.offset)
            while True:
                piece = await source.read(min(PIECE, left))
                left -= len(piece)
                last = left == 0 or not piece
                if last:
                    piece += file.padding
                await self._send(encode_data(context, piece, last, self._max_pdu))
                if progress is not None:
                    progress(len(piece))
                if last:
                    break
        return await self._status()

    async def release(self) -> None:
        """Release (PS3.8 §9.1.3) and close."""
        try:
            await self._send(RELEASE_RQ_PDU)
            await self._receive(PduType.RELEASE_RP)
        except AssociationError:
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Close the stream: an association that stands is lost."""
        self._writer.close()

    def _context(self, context: Context) -> int:
        try:
            return self.accepted[context]
        except KeyError:
            raise AssociationError("the target accepts no presentation context for it") from None

    async def _status(self) -> int:
        while True:
            body = await self._receive(PduType.P_DATA_TF)
            for pdv in iter_pdvs(body):
                event = self._assembler.pdv(*pdv)
                if isinstance(event, CommandReceived):
                    status = CommandSet.parse(event.command).status
                    if status is None:
                        raise AssociationError("the target answers with a request")
                    return status

    async def _send(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            with anyio.fail_after(DEADLINE):
                await self._writer.drain()
        except TimeoutError:
            raise AssociationError(f"the peer takes nothing for {DEADLINE:g} s") from None
        except OSError as error:
            # What the peer said before it closed explains more than that it did.
            raise AssociationError(await self._last_word() or "the connection is lost") from error

    async def _last_word(self) -> str | None:
        try:
            with anyio.move_on_after(1):
                await self._receive(PduType.RELEASE_RP)
        except AssociationError as error:
            return str(error)
        return None

    async def _receive(self, wanted: PduType) -> bytes:
        """Return the body of the next PDU, which must be `wanted`.

        Raises:
            AssociationError: it is another, or none comes in time.
        """
        try:
            while not self._pdus:
                with anyio.fail_after(DEADLINE):
                    data = await self._reader.read(MAX_PDU_LENGTH)
                if not data:
                    raise AssociationError("the peer closed the connection")
                self._pdus += [(kind, bytes(body)) for kind, body in self._framer.feed(data)]
            kind, body = self._pdus.pop(0)
            if kind == wanted:
                return body
            if kind == PduType.ASSOCIATE_RJ:
                raise AssociationError(f"rejected: {AssociateRJ.decode(body).describe()}")
            if kind == PduType.ABORT:
                raise AssociationError(f"aborted: {Abort.decode(body).describe()}")
        except TimeoutError:
            raise AssociationError(f"no answer within {DEADLINE:g} s") from None
        except OSError as error:
            raise AssociationError("the connection is lost") from error
        except (UpperLayerError, DimseError) as error:
            raise AssociationError(f"the peer breaks the protocol: {error.code}") from error
        raise AssociationError(f"the peer sends a PDU of type {kind:02X}H")


async def connect_tcp(host: str, port: int) -> DicomClient:
    """Connect over TCP; asyncio sets TCP_NODELAY.

    Raises:
        AssociationError: nobody listens there.
    """
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        raise AssociationError(f"can't connect to {host}:{port}: {error.strerror or error}") from error
    return DicomClient(reader, writer)
