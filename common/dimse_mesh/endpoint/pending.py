"""Runs of pending responses: whole PDUs that are passed on as they came, many in one segment.

A C-FIND may bring thousands of responses, each a command set that is the same to the byte as the one before and a small
identifier. Once one of them went the long way, those that repeat its command set are recognised by comparing bytes:
nothing is parsed and nothing is built again.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

from dimse_mesh.dimse import COMMAND_FLAG, LAST_FLAG
from dimse_mesh.upper_layer import PDU_HEADER_LENGTH, PduType, encode_pdv_header

_PDV_HEADER = Struct(">IBB")


class Run(NamedTuple):
    """Consecutive PDUs that make whole pending responses."""

    start: int
    """Offset of the first one in the bytes of the read."""
    end: int
    """Offset behind the last one."""
    next_index: int
    """Of the first PDU behind the run."""
    largest: int
    """Body of the largest PDU."""


class PendingResponses:
    """Recognises repetitions of the last pending response of one operation."""

    __slots__ = ("_command_body", "_context_id", "responded_to")

    def __init__(self) -> None:
        self._command_body = b""
        self._context_id = 0
        self.responded_to = 0

    def remember(self, context_id: int, command: bytes, responded_to: int) -> None:
        """Take a pending response with a data set as the pattern."""
        header = encode_pdv_header(context_id, COMMAND_FLAG | LAST_FLAG, len(command))
        self._command_body = header + command
        self._context_id = context_id
        self.responded_to = responded_to

    def repeats(self, body: memoryview) -> bool:
        """Tell whether the body of a P-DATA-TF is the remembered command set again, in one PDV."""
        return len(body) == len(self._command_body) and body == self._command_body

    def run_from(
        self, pdus: Sequence[tuple[int, memoryview]], index: int, offset: int, *, limit: int
    ) -> Run | None:
        """Return the run that begins with PDU `index`, which lies at `offset`; None: there is no whole response.

        Args:
            pdus: type and body of the PDUs of one read.
            index: of a PDU that `repeats`.
            offset: of that PDU in the bytes of the read.
            limit: bytes that a run may have.
        """
        start, end, largest = offset, offset, 0
        command_body, context_id = self._command_body, self._context_id
        command_length = len(command_body)
        unpack = _PDV_HEADER.unpack_from
        last = len(pdus) - 1
        while index < last:
            command = pdus[index][1]
            kind, data = pdus[index + 1]
            size = len(data)
            if (
                len(command) != command_length
                or command != command_body
                or kind != PduType.P_DATA_TF
                or pdus[index][0] != PduType.P_DATA_TF
                or size < _PDV_HEADER.size
                or unpack(data) != (size - 4, context_id, LAST_FLAG)
            ):
                break
            following = end + command_length + size + 2 * PDU_HEADER_LENGTH
            if following - start > limit and end > start:
                break
            end = following
            largest = max(largest, size)
            index += 2
        if end == start:
            return None
        return Run(start, end, index, max(largest, command_length))
