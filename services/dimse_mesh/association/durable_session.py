"""One client's association on a durable route, from its A-ASSOCIATE-AC to its end: C-STORE into the spool.

    P-DATA-TF -> MessageAssembler -> events, at most READ_AHEAD bytes of them -> one task -> ObjectWriter -> C-STORE-RSP

The task takes one message after the other. While more than `READ_AHEAD` bytes wait for it, the socket isn't read.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import anyio

from dimse_mesh.association.durable_data_set import Ended, IncomingDataSet, Piece
from dimse_mesh.association.durable_live import LiveContexts
from dimse_mesh.association.durable_requests import OwnRequests
from dimse_mesh.association.durable_storing import Storing
from dimse_mesh.dimse import (
    CommandField,
    CommandReceived,
    CommandSet,
    DimseError,
    MessageAssembler,
    Status,
    failure_status_for,
    response_to,
)
from dimse_mesh.dimse.commitment import STORAGE_COMMITMENT
from dimse_mesh.dimse.status import FailureReason
from dimse_mesh.endpoint import dimse_service
from dimse_mesh.endpoint.peer import DicomPeer
from dimse_mesh.endpoint.summary import OperationSummary
from dimse_mesh.policy import Objection
from dimse_mesh.runtime.counters import Counters
from dimse_mesh.upper_layer import Abort, AbortReason

READ_AHEAD = 2 << 20
"""Bytes of data sets that wait for the task; above that the client isn't read."""


class TakeCommitment(Protocol):
    """Takes a request for storage commitment, or a report of it."""

    async def __call__(
        self,
        session: DurableSession,
        received: CommandReceived,
        command: CommandSet,
        information: bytes | None,
        *,
        transfer_syntax: str,
    ) -> tuple[int, str | None]:
        """Return the status of the response, and an error comment; `information`: None if too long, or absent."""


class DurableSession:
    """Receives a client's PDUs and answers its requests.

    Args:
        contexts: transfer syntax by id of the accepted presentation contexts.
        storing: stores objects; None: nothing is stored.
        commitment: takes requests for storage commitment; None: they are not offered.
        live: contexts that are the destination's own; None: there are none.
        report: takes reports of storage commitment, from a destination that was asked; None: it is a client.
        objection: what the policy says of an operation, by its command field.
        stalled_timeout: seconds that a client may pause in the middle of a message.
        idle_timeout: seconds that it may pause between messages; 0: without end.
    """

    def __init__(
        self,
        peer: DicomPeer,
        *,
        contexts: Mapping[int, str],
        storing: Storing | None,
        commitment: TakeCommitment | None,
        live: LiveContexts | None = None,
        report: TakeCommitment | None = None,
        objection: Objection,
        counters: Counters,
        stalled_timeout: float,
        idle_timeout: float,
        traceparent: str | None,
    ) -> None:
        self.summary = OperationSummary()
        self._peer = peer
        self._contexts = contexts
        self._storing = storing
        if storing is not None:
            peer.give_way()
        self._commitment = commitment
        self._report = report
        self._live = live
        self._writable = asyncio.Event()
        self._requests = OwnRequests(peer)
        self._objection = objection
        self._counters = counters
        self._stalled_timeout = stalled_timeout
        self._idle_timeout = idle_timeout
        self._traceparent = traceparent
        self._assembler = MessageAssembler()
        self._data_set = IncomingDataSet(self._next_piece)
        self._events: deque[CommandReceived | Piece | None] = deque()
        self._waiting_bytes = 0
        self._changed = asyncio.Event()
        self._ended: str | None = None
        self._draining = False
        self._input_ended = False
        self._at_rest = asyncio.Event()
        """Set while no operation of the client is under way."""

    # --- the peer's side

    def run_received(self, pdus: Sequence[tuple[int, memoryview]], index: int, contiguous: memoryview) -> int:  # noqa: ARG002
        """Take nothing as it is: every message goes to the task."""
        return index

    def pdvs_received(self, pdvs: Sequence[tuple[int, int, memoryview]]) -> None:
        """Take the fragments of one P-DATA-TF."""
        try:
            for context_id, flags, fragment in pdvs:
                if context_id not in self._contexts:
                    self._refuse("unknown-context", AbortReason.INVALID_PDU_PARAMETER_VALUE)
                    break
                event = self._assembler.pdv(context_id, flags, fragment)
                if isinstance(event, CommandReceived):
                    self._events.append(event)
                elif event is not None:
                    self._waiting_bytes += len(event.fragment)
                    self._events.append((bytes(event.fragment), event.last))
        except DimseError as error:
            self._refuse(error.code, AbortReason.INVALID_PDU_PARAMETER_VALUE)

    def read_ended(self) -> None:
        """Let the task work, and hold the client back while enough waits for the task."""
        if self._waiting_bytes > READ_AHEAD:
            self._peer.pause_reading()
        self._changed.set()

    def release_requested(self) -> None:
        """Put the release behind the messages that came before it."""
        if self._assembler.idle:
            self._events.append(None)
            self._changed.set()
        else:
            self._refuse("release-in-mid-message", AbortReason.UNEXPECTED_PDU)

    def released(self) -> None:
        """Never: no release is asked for here."""

    def aborted(self, abort: Abort) -> None:  # noqa: ARG002 - whatever it says, the client has gone
        """Note that the client has gone. What it sent whole is stored all the same."""
        self._end("aborted-by-peer")

    def failed(self, code: str, reason: AbortReason) -> None:  # noqa: ARG002 - the peer has sent it
        """Note that the client broke PS3.8, and was aborted."""
        self._counters.protocol_error(code)
        self._end(code)

    def input_ended(self) -> bool:
        """Note that the client sends no more. What it has sent is stored and answered before it is closed."""
        self._input_ended = True
        self._changed.set()
        return True

    def closed(self) -> None:
        """Note that the client has gone. What it sent whole is stored all the same."""
        self._end("transport-lost")

    def writable_again(self) -> None:
        """Let on what the destination itself has sent. Nothing else waits but responses, which are small."""
        self._writable.set()

    def drain(self) -> None:
        """Abort as soon as no operation is under way."""
        self._draining = True
        self._changed.set()

    def abort(self, code: str) -> None:
        """Abort now."""
        self._end(code)
        self._peer.abort()

    async def request(
        self, context_id: int, build: Callable[[int], CommandSet], data: bytes, *, timeout: float
    ) -> int | None:
        """Send the client a request between its own operations; return the status of its response.

        None: it has given none, or the association is over.

        Args:
            build: makes the command set with a message id.
            data: its data set.
            timeout: seconds for both, that no operation is under way and that the response comes.
        """
        with anyio.move_on_after(timeout):
            await self._at_rest.wait()
            return await self._requests.ask(context_id, build, data, timeout=timeout)
        return None

    def _refuse(self, code: str, reason: AbortReason) -> None:
        if self._ended is None:
            self._counters.protocol_error(code)
            self._end(code)
            self._peer.refuse(reason)

    def _end(self, code: str) -> None:
        if self._ended is None:
            self._ended = code
            self._peer.leave()
            self._requests.end()
            self._at_rest.set()
            self._changed.set()
            self._writable.set()

    # --- the task's side

    async def run(self) -> str:
        """Serve the client until the association ends; return the code of its end."""
        try:
            while True:
                self._at_rest.set()
                event = await self._next(self._idle_timeout)
                self._at_rest.clear()
                if event is None:
                    self._end("released")
                    self._peer.answer_release()
                    return "released"
                assert isinstance(event, CommandReceived)  # the assembler lets a data set follow nothing else
                await self._operation(event)
        except Ended as ended:
            return ended.code

    async def _next(self, patience: float) -> CommandReceived | Piece | None:
        """Return the next event.

        Raises:
            Ended: there is none any more.
        """
        while not self._events:
            if self._ended is not None:
                raise Ended(self._ended)
            if self._input_ended:
                self._end("transport-lost")
                self._peer.close()
                raise Ended("transport-lost")
            is_busy = self._live is not None and self._live.is_busy
            if self._draining and self._at_rest.is_set() and not is_busy:
                self.abort("draining")
                raise Ended("draining")
            self._changed.clear()
            with anyio.move_on_after(
                None if is_busy and self._at_rest.is_set() else patience or None
            ) as scope:
                await self._changed.wait()
            if scope.cancelled_caught and not self._events:
                code = "idle-timeout" if self._at_rest.is_set() else "stalled-in-mid-message"
                self.abort(code)
                raise Ended(code)
        event = self._events.popleft()
        if isinstance(event, tuple) and not isinstance(event, CommandReceived):
            self._waiting_bytes -= len(event[0])
            if self._waiting_bytes <= READ_AHEAD // 2:
                self._peer.resume_reading()
        return event

    async def _next_piece(self) -> Piece:
        """Return the next fragment of a data set.

        Raises:
            Ended: there is none any more.
        """
        event = await self._next(self._stalled_timeout)
        assert event is not None
        assert not isinstance(event, CommandReceived)
        return event

    async def _operation(self, received: CommandReceived) -> None:
        command = CommandSet.parse(received.command)
        self._data_set.begin(is_there=received.head.has_data_set)
        if self._live is not None and self._live.takes(received.context_id):
            await self._pass_on(self._live, received, command)
            return
        if command.is_response:
            await self._data_set.skip()
            self._requests.answered(command)
            return
        began = time.monotonic()
        field = command.command_field
        refusal = self._objection(field)
        if refusal is not None:
            await self._data_set.skip()
            status: int = failure_status_for(field, refusal.reason or FailureReason.NOT_AUTHORIZED)
            self._answer(received, command, status)
        elif field == CommandField.C_ECHO_RQ:
            await self._data_set.skip()
            status = Status.SUCCESS
            self._answer(received, command, status)
        elif field == CommandField.C_STORE_RQ and self._storing is not None and received.head.has_data_set:
            status = await self._store(self._storing, received, command)
        elif (taker := self._taker_of(command)) is not None:
            status, comment = await taker(
                self,
                received,
                command,
                await self._data_set.whole(),
                transfer_syntax=self._contexts[received.context_id],
            )
            self._answer(received, command, status, comment)
        else:
            await self._data_set.skip()
            status = failure_status_for(field, FailureReason.UNRECOGNIZED_OPERATION)
            self._answer(received, command, status)
        outcome = "success" if status == Status.SUCCESS else "failure"
        self.summary.add(dimse_service(field), outcome, received.head.sop_class)
        self._counters.operation_finished(
            dimse_service(field), outcome, time.monotonic() - began, traceparent=self._traceparent
        )

    async def _pass_on(self, live: LiveContexts, received: CommandReceived, command: CommandSet) -> None:
        """Send a message on to the destination itself, or answer for it."""
        data = await self._data_set.whole()
        is_whole = data is not None or not received.head.has_data_set
        if (not is_whole or not live.pass_on(received.context_id, command, data)) and not command.is_response:
            status = failure_status_for(command.command_field, FailureReason.OUT_OF_RESOURCES)
            self._answer(received, command, status)

    async def tell(self, context_id: int, command: bytes, data: bytes | None) -> None:
        """Send the client a message of the destination's own, as soon as it takes more."""
        while not self._peer.writable and self._ended is None:
            self._writable.clear()
            await self._writable.wait()
        if self._ended is None and self._peer.takes_messages:
            self._peer.write_message(context_id, command, data)
        self._changed.set()

    def _taker_of(self, command: CommandSet) -> TakeCommitment | None:
        """Return who takes a message of storage commitment; None: it is none, or nobody does."""
        field = command.command_field
        if field == CommandField.N_ACTION_RQ and command.requested_sop_class_uid == STORAGE_COMMITMENT:
            return self._commitment
        if field == CommandField.N_EVENT_REPORT_RQ and command.affected_sop_class_uid == STORAGE_COMMITMENT:
            return self._report
        return None

    async def _store(self, storing: Storing, received: CommandReceived, command: CommandSet) -> int:
        """Store an object and answer; return the status.

        Raises:
            Ended: the association ended before the whole of it had come.
        """
        status, comment = await storing.store(
            command, self._data_set, transfer_syntax=self._contexts[received.context_id]
        )
        self._answer(received, command, status, comment)
        if status == Status.SUCCESS:
            await storing.give_way()
        return status

    def _answer(
        self, received: CommandReceived, command: CommandSet, status: int, comment: str | None = None
    ) -> None:
        if command.message_id is None or command.command_field == CommandField.C_CANCEL_RQ:
            return
        response = response_to(command, status, error_comment=comment)
        if self._peer.takes_messages:
            self._peer.write_message(received.context_id, response.encode(), None)
