"""How a client of ours talks with its peer: over a stream, in PDUs, or within this process, in messages."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import NoReturn, Protocol

import anyio

from dimse_mesh.client.errors import AssociationError, AssociationFailure
from dimse_mesh.dimse import DimseError, Event, MessageAssembler, data_parts, encode_command
from dimse_mesh.endpoint.in_process_peer import InProcessPeer
from dimse_mesh.endpoint.own import ASSOCIATE_LIMIT
from dimse_mesh.upper_layer import (
    RELEASE_RP_PDU,
    RELEASE_RQ_PDU,
    Abort,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    Framer,
    PduType,
    UpperLayerError,
    iter_pdvs,
)

MAX_PDU_LENGTH = 131072
LAST_WORD_SECONDS = 1.0
"""How long a peer that has closed the connection is listened to: it may have said why."""
SILENT_SECONDS = 0.2
"""Seconds of silence after which a peer may have ended an association that nobody has looked at meanwhile."""


class ClientLine(Protocol):
    """One association. Every method but `close` may raise `AssociationError`; the client sets the deadlines."""

    @property
    def silence(self) -> float:
        """Seconds since the peer has said anything."""

    async def has_ended(self) -> bool:
        """Tell whether the peer has ended the association, as far as is known; nothing is waited for."""

    async def associate(self, request: AssociateRQ) -> AssociateAC:
        """Ask for the association; return what was accepted."""

    async def write_message(
        self, context_id: int, command: bytes, data: bytes | memoryview | None, *, last: bool = True
    ) -> None:
        """Send a command set, at once with its data set, or the first piece of it, unless that is None."""

    async def write_data(self, context_id: int, data: bytes | memoryview, *, last: bool) -> None:
        """Send a piece of the data set of the last command set."""

    async def next_event(self) -> Event:
        """Return the next command set, or fragment of a data set."""

    async def release(self) -> None:
        """Release."""

    def close(self) -> None:
        """Close: an association that stands is lost."""


def refused(word: AssociateRJ | Abort) -> NoReturn:
    """Raise what a reject or an abort means.

    Raises:
        AssociationError: always.
    """
    if isinstance(word, AssociateRJ):
        raise AssociationError(f"rejected: {word.describe()}", AssociationFailure.REJECTED, rejection=word)
    raise AssociationError(f"aborted: {word.describe()}", AssociationFailure.ABORTED)


def out_of_place(kind: int) -> AssociationError:
    """Return the error for a PDU that isn't the one that is awaited."""
    return AssociationError(f"the peer sends a PDU of type {kind:02X}H")


class StreamLine:
    """Over TCP or TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._framer = Framer(max_length=max(MAX_PDU_LENGTH, ASSOCIATE_LIMIT))
        self._pdus: list[tuple[int, bytes]] = []
        self._events: deque[Event] = deque()
        self._assembler = MessageAssembler()
        self._max_pdu = 0
        self._heard = asyncio.get_running_loop().time()
        self._ended = False

    @property
    def silence(self) -> float:
        """Seconds since the peer has said anything."""
        return asyncio.get_running_loop().time() - self._heard

    async def has_ended(self) -> bool:
        """Tell whether the peer has ended the association, as far as is known; nothing is waited for.

        What it has said after a silence is read for that; A-RELEASE-RQ is answered.
        """
        if self._ended or self._reader.at_eof() or self._writer.is_closing():
            return True
        if self.silence < SILENT_SECONDS:
            return False
        try:
            with anyio.move_on_after(0):  # reads what is there, and waits for nothing
                await self._read()
        except (AssociationError, UpperLayerError, OSError):
            self._ended = True
        for kind, _ in self._pdus:
            if kind == PduType.RELEASE_RQ:
                self._writer.write(RELEASE_RP_PDU)
            self._ended |= kind != PduType.P_DATA_TF
        return self._ended

    async def associate(self, request: AssociateRQ) -> AssociateAC:
        """Ask for the association; return what was accepted."""
        await self._send((request.encode(),))
        body = await self._receive(PduType.ASSOCIATE_AC)
        try:
            answer = AssociateAC.decode(body)
        except UpperLayerError as error:
            raise _breach(error) from error
        self._max_pdu = answer.maximum_length or 0
        return answer

    async def write_message(
        self, context_id: int, command: bytes, data: bytes | memoryview | None, *, last: bool = True
    ) -> None:
        """Send a command set, at once with its data set, or the first piece of it, unless that is None."""
        pieces = () if data is None else data_parts(context_id, data, last, self._max_pdu)
        await self._send((encode_command(context_id, command, self._max_pdu), *pieces))

    async def write_data(self, context_id: int, data: bytes | memoryview, *, last: bool) -> None:
        """Send a piece of the data set of the last command set."""
        await self._send(data_parts(context_id, data, last, self._max_pdu))

    async def next_event(self) -> Event:
        """Return the next command set, or fragment of a data set."""
        try:
            while not self._events:
                body = await self._receive(PduType.P_DATA_TF)
                events = (self._assembler.pdv(*pdv) for pdv in iter_pdvs(memoryview(body)))
                self._events.extend(event for event in events if event is not None)
        except (UpperLayerError, DimseError) as error:
            raise _breach(error) from error
        return self._events.popleft()

    async def release(self) -> None:
        """Release, unless the peer has ended the association."""
        if self._ended:
            return
        await self._send((RELEASE_RQ_PDU,))
        await self._receive(PduType.RELEASE_RP)

    def close(self) -> None:
        """Close: an association that stands is lost."""
        self._writer.close()

    async def _send(self, parts: Iterable[bytes | memoryview]) -> None:
        try:
            if self._writer.is_closing():  # uvloop calls writing to it a RuntimeError
                raise ConnectionResetError
            self._writer.writelines(parts)
            await self._writer.drain()
        except OSError as error:
            # What the peer said before it closed explains more than that it did.
            raise await self._last_word() or AssociationError(
                "the connection is lost", AssociationFailure.LOST
            ) from error

    async def _last_word(self) -> AssociationError | None:
        try:
            with anyio.move_on_after(LAST_WORD_SECONDS):
                await self._receive(PduType.RELEASE_RP)
        except AssociationError as error:
            return error
        return None

    async def _read(self) -> None:
        data = await self._reader.read(MAX_PDU_LENGTH)
        if not data:
            raise AssociationError("the peer closed the connection", AssociationFailure.LOST)
        self._heard = asyncio.get_running_loop().time()
        self._pdus += [(kind, bytes(body)) for kind, body in self._framer.feed(data)]

    async def _receive(self, wanted: PduType) -> bytes:
        """Return the body of the next PDU, which must be `wanted`."""
        try:
            while not self._pdus:
                await self._read()
            kind, body = self._pdus.pop(0)
            if kind == wanted:
                return body
            if kind == PduType.ASSOCIATE_RJ:
                refused(AssociateRJ.decode(body))
            if kind == PduType.ABORT:
                refused(Abort.decode(body))
        except OSError as error:
            raise AssociationError("the connection is lost", AssociationFailure.LOST) from error
        except UpperLayerError as error:
            raise _breach(error) from error
        raise out_of_place(kind)


def _breach(error: UpperLayerError | DimseError) -> AssociationError:
    return AssociationError(f"the peer breaks the protocol: {error.code}")


class InProcessLine:
    """To a half of an association in this process."""

    def __init__(self, peer: InProcessPeer) -> None:
        self._peer = peer

    @property
    def silence(self) -> float:
        """0: its end is seen at once."""
        return 0.0

    async def has_ended(self) -> bool:
        """Tell whether the association is over."""
        return self._peer.over

    async def associate(self, request: AssociateRQ) -> AssociateAC:
        """Ask for the association; return what was accepted."""
        self._peer.associate(request)
        answer = await self._next()
        if isinstance(answer, AssociateAC):
            return answer
        raise out_of_place(PduType.P_DATA_TF)

    async def write_message(
        self, context_id: int, command: bytes, data: bytes | memoryview | None, *, last: bool = True
    ) -> None:
        """Send a command set, with its data set, or the first piece of it, unless that is None."""
        await self._send(context_id, command, command=True, last=True)
        if data is not None:
            await self._send(context_id, data, command=False, last=last)

    async def write_data(self, context_id: int, data: bytes | memoryview, *, last: bool) -> None:
        """Send a piece of the data set of the last command set."""
        await self._send(context_id, data, command=False, last=last)

    async def next_event(self) -> Event:
        """Return the next command set, or fragment of a data set."""
        word = await self._next()
        if isinstance(word, AssociateAC | PduType):
            raise out_of_place(word if isinstance(word, PduType) else PduType.ASSOCIATE_AC)
        return word

    async def release(self) -> None:
        """Release."""
        self._peer.release()
        word = await self._next()
        if word is not PduType.RELEASE_RP:
            raise out_of_place(word if isinstance(word, PduType) else PduType.P_DATA_TF)

    def close(self) -> None:
        """Close: an association that stands is aborted."""
        self._peer.give_up()

    async def _send(
        self, context_id: int, fragment: bytes | memoryview, *, command: bool, last: bool
    ) -> None:
        taken = await self._peer.send(context_id, fragment, command=command, last=last)
        while not taken:  # what was said before the end explains it
            await self._next()

    async def _next(self) -> AssociateAC | Event | PduType:
        word = await self._peer.next()
        if word is None:
            raise AssociationError("the peer closed the connection", AssociationFailure.LOST)
        if isinstance(word, AssociateRJ | Abort):
            refused(word)
        return word
