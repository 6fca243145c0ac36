"""Runs of pending responses: whole PDUs that are passed on as they came, many in one segment.

A C-FIND may bring thousands of responses, each a command set that is the same to the byte as the one before and a small
identifier. Once one of them went the long way, those that repeat its command set are recognised by comparing bytes:
nothing is parsed and nothing is built again.
"""

from __future__ import annotations

from typing import NamedTuple

from dimse_mesh.dimse import COMMAND_FLAG, LAST_FLAG
from dimse_mesh.upper_layer import P_DATA_HEADER, PDU_HEADER_LENGTH, PduType, encode_p_data_header

_P_DATA: int = PduType.P_DATA_TF.value


class Run(NamedTuple):
    """Consecutive PDUs that make whole pending responses, a command set and a data set each."""

    pdus: bytes
    responses: int
    """How many: there are twice as many PDUs."""
    largest: int
    """Body of the largest PDU."""


class PendingResponses:
    """Recognises repetitions of the last pending response of one operation."""

    __slots__ = ("_command_pdu", "_context_id", "responded_to")

    def __init__(self) -> None:
        self._command_pdu = b""
        self._context_id = 0
        self.responded_to = 0

    def remember(self, context_id: int, command: bytes, responded_to: int) -> None:
        """Take a pending response with a data set as the pattern."""
        self._command_pdu = encode_p_data_header(context_id, COMMAND_FLAG | LAST_FLAG, len(command)) + command
        self._context_id = context_id
        self.responded_to = responded_to

    def may_repeat(self, body: memoryview) -> bool:
        """Tell whether the body of a P-DATA-TF is as long as the remembered command set's."""
        return len(body) == len(self._command_pdu) - PDU_HEADER_LENGTH

    def run_of(self, pdus: memoryview, *, limit: int) -> Run | None:
        """Return the run that begins here; None: there is no whole response, or not within the limit.

        Args:
            pdus: whole ones, headers and all.
            limit: bytes that a run may have.
        """
        read = bytes(pdus[:limit])
        command_pdu, context_id = self._command_pdu, self._context_id
        command_length, size = len(command_pdu), len(read)
        repeats, header = read.startswith, P_DATA_HEADER.unpack_from
        last = size - command_length - P_DATA_HEADER.size
        at = count = 0
        largest = command_length - PDU_HEADER_LENGTH
        while at <= last and repeats(command_pdu, at):
            start = at + command_length
            kind, length, item_length, context, flags = header(read, start)
            end = start + PDU_HEADER_LENGTH + length
            if (
                end > size
                or kind != _P_DATA
                or item_length != length - 4
                or context != context_id
                or flags != LAST_FLAG
            ):
                break
            if length > largest:  # noqa: PLR1730 - a call less for each response
                largest = length
            at = end
            count += 1
        return Run(read[:at], count, largest) if count else None
