"""One end of a conversation: an asyncio protocol that notes what it sees and does what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import cast

from tests.interop.differential.conversation import Do, Step
from tests.interop.differential.transcript import LAST, Assembler, Item, Kind, associate_item
from tests.support.wire import RELEASE_RP_PDU, RELEASE_RQ_PDU, Pdu, PduType

_BARE = {
    PduType.RELEASE_RQ: Kind.RELEASE_RQ,
    PduType.RELEASE_RP: Kind.RELEASE_RP,
}


class Over(Exception):
    """This end sees no more, so that the steps that are left can't be made."""


class End(asyncio.Protocol):
    """One end.

    Args:
        max_length: the longest PDU that it takes; 0: any.
    """

    def __init__(self, max_length: int) -> None:
        self.items: list[Item] = []
        """What it saw until it knew, or had said itself, that the association is over."""
        self._max_length = max_length
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._assembler = Assembler()
        self._frozen = False
        self._heard_last = False
        self._ended = False
        self._changed = asyncio.Event()
        self._lost = asyncio.Event()

    # -- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._notify()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 6:
            kind, _, length = struct.unpack_from(">BBI", self._buffer)
            if len(self._buffer) < 6 + length:
                break
            body = bytes(self._buffer[6 : 6 + length])
            del self._buffer[: 6 + length]
            self._pdu(Pdu(kind, body))
        self._notify()

    def eof_received(self) -> bool:
        self._end(Kind.CLOSED)
        return True  # the sending half stays open: there may be something to say

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(Kind.RESET if isinstance(exc, OSError) else Kind.CLOSED)
        self._lost.set()
        self._notify()

    def _end(self, kind: Kind) -> None:
        if not self._ended:
            self._ended = True
            for item in (*self._assembler.rest(), Item(kind)):
                self._note(item)
        self._notify()

    # -- what it sees

    def _note(self, item: Item) -> None:
        if not self._frozen:
            self.items.append(item)
            self._frozen = self._heard_last = item.kind in LAST

    def _pdu(self, pdu: Pdu) -> None:
        if pdu.kind == PduType.P_DATA_TF:
            if self._max_length and len(pdu.body) > self._max_length:
                self._note(Item(Kind.FAULT, "length", f"a PDU of {len(pdu.body)} bytes"))
            for item in self._assembler.add(pdu.body):
                self._note(item)
        elif pdu.kind in {PduType.ASSOCIATE_RQ, PduType.ASSOCIATE_AC}:
            self._note(associate_item(pdu))
        elif pdu.kind == PduType.ASSOCIATE_RJ:
            triple = tuple(pdu.body[1:4])
            self._note(Item(Kind.ASSOCIATE_RJ, triple, str(triple)))
        elif pdu.kind == PduType.ABORT:
            self._end_of_messages()
            said = tuple(pdu.body[2:4])
            self._note(Item(Kind.ABORT, said, str(said)))
        elif pdu.kind in _BARE:
            self._note(Item(_BARE[PduType(pdu.kind)]))
        else:
            self._note(Item(Kind.FAULT, pdu.kind, f"a PDU of type {pdu.kind}"))

    def _end_of_messages(self) -> None:
        for item in self._assembler.rest():
            self._note(item)

    def _notify(self) -> None:
        self._changed.set()

    @property
    def connected(self) -> bool:
        """Whether there is, or was, a connection."""
        return self._transport is not None

    async def saw(self, count: int) -> None:
        """Return when it has seen `count` items.

        Raises:
            Over: it never will.
        """
        while len(self.items) < count:
            if self._frozen or self._ended:
                raise Over
            await self._change()

    # -- what it does

    async def play(self, steps: tuple[Step, ...], other: End) -> None:
        """Make its steps in their order, then wait for the end and close."""
        while not self.connected:
            await self._change()
        with contextlib.suppress(Over):
            for step in steps:
                await self.saw(step.after)
                await other.saw(step.arrived)
                if self._frozen:
                    break
                await self._perform(step)
        # Who got the last word closes; who said it waits for that (PS3.8 §9.2: Sta13).
        while not (self._ended or self._heard_last):
            await self._change()
        self.close()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _perform(self, step: Step) -> None:
        transport = self._transport
        assert transport is not None
        match step.do:
            case Do.SEND:
                transport.write(step.data)
                if step.data[0] == PduType.ABORT:
                    self._frozen = True
            case Do.FINISH:
                transport.write_eof()
            case Do.CLOSE:
                self._frozen = True
                transport.close()
                await self._lost.wait()
            case Do.RESET:
                self._frozen = True
                sock = transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                transport.abort()
                await self._lost.wait()
            case Do.COLLIDE:
                await self._collide(step.after)

    async def _collide(self, before: int) -> None:
        """Ask for release while the other side does the same (PS3.8 §7.2.2.7, the requestor answers first)."""
        transport = self._transport
        assert transport is not None
        transport.write(RELEASE_RQ_PDU)
        await self.saw(before + 1)
        requestor = self.items[0].kind is Kind.ASSOCIATE_AC
        if self.items[before].kind is not Kind.RELEASE_RQ:
            return
        if requestor:
            transport.write(RELEASE_RP_PDU)
            await self.saw(before + 2)
        else:
            await self.saw(before + 2)
            if self.items[before + 1].kind is Kind.RELEASE_RP:
                transport.write(RELEASE_RP_PDU)

    def close(self) -> None:
        """Close the connection, if there is one; what comes behind is not seen."""
        self._frozen = True
        if self._transport is not None and not self._lost.is_set():
            self._transport.close()

    async def gone(self) -> None:
        """Let go of the connection, if there is one, and return when it is gone."""
        self._frozen = True
        if self._transport is not None:
            self._transport.abort()
            await self._lost.wait()
