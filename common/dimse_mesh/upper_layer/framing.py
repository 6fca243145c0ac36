"""Cut a byte stream into PDUs, and P-DATA-TF bodies into PDVs, without copying what arrived whole.

This is the proxy's hot path: one pass, one `unpack_from` a PDU, `memoryview` slices, nothing per byte.
"""

from __future__ import annotations

from struct import Struct

from dimse_mesh.upper_layer.errors import FramingError, MalformedPdu, PduTooLong, TlsRecord, UnrecognizedPdu
from dimse_mesh.upper_layer.pdu import PDU_HEADER_LENGTH, PduType

COMMAND = 0x01
"""Message control header: the fragment is of a command, else of a data set (PS3.8 §E.2)."""
LAST = 0x02
"""Message control header: this is the last fragment (PS3.8 §E.2)."""

PDV_HEADER_LENGTH = 6
"""Item length (4), context id (1), message control header (1): a PDU of length n carries n - 6."""
MOST_PDVS = 4096
"""PDVs of one P-DATA-TF. The standard has no limit; real peers put one or two into a PDU, odd ones a few hundred."""

_PDU_HEADER = Struct(">BxI")  # PS3.8 §9.3.1: type, reserved, length
_PDV_HEADER = Struct(">IBB")  # PS3.8 §9.3.5.1: length of what follows it, context id, message control header
P_DATA_HEADER = Struct(">BxIIBB")
"""Of a P-DATA-TF with one fragment (PS3.8 §9.3.5): type, length; PDV's length, context id, message control header."""
_TLS_RECORDS = (0x15, 0x16)
"""Content types of alerts and handshakes (RFC 8446 §5.1), where a PDU has its type."""
_FIRST_TYPE, _LAST_TYPE = min(PduType).value, max(PduType).value


_LONG_PDUS = 16
"""PDUs of which no more than so many fit into a read are long."""


class Framer:
    """Bytes of one transport connection in, whole PDUs out.

    `max_length` caps the body of every PDU, and may be set at any time: the new cap holds from the next
    `feed` on, also for a PDU that is already under way. Never feed it again after a `FramingError`.
    """

    __slots__ = ("_buffer", "_usual", "_whole", "max_length")

    def __init__(self, *, max_length: int) -> None:
        self.max_length = max_length
        self._buffer: bytearray | None = None  # the PDU under way, from its first header byte
        self._whole = 0  # its length with header; 0 while the header itself is incomplete
        self._usual = 0  # length with header of the last PDU that lay wholly in a read

    @property
    def pending(self) -> int:
        """Bytes held of a PDU that is not whole yet."""
        return 0 if self._buffer is None else len(self._buffer)

    def read_size(self, most: int) -> int:
        """Return how much to read at once, `most` bytes or less: so much that a PDU ends there, as far as one can tell.

        What is read of a PDU before its end has to be copied until that has come. Of short PDUs that is next to
        nothing.
        """
        missing = self._whole - self.pending if self._whole else 0
        usual = self._usual
        if usual < most // _LONG_PDUS or usual > most - missing:
            return most
        return missing + (most - missing) // usual * usual

    def feed(self, data: bytes | bytearray | memoryview) -> list[tuple[int, memoryview]]:
        """Take one read (empty is allowed); return (PDU type, body) of every PDU that it completes.

        Views of `data` are valid until the caller reuses it; those that are read-only stay as they are.
        Memory held grows with what arrived, never beyond the announced length of one PDU (plus the slack of a
        bytearray, an eighth).

        Raises `PduTooLong` or `UnrecognizedPdu` as soon as the six header bytes are there.
        """
        return self.cut(data)[0]

    def cut(self, data: bytes | bytearray | memoryview) -> tuple[list[tuple[int, memoryview]], memoryview]:
        """Take one read as `feed` does; return the PDUs, and the bytes of the last ones, headers and all.

        Those are the PDUs that lay wholly in this read: all but one, at most.
        """
        view = memoryview(data)
        size = len(view)
        done: list[tuple[int, memoryview]] = []
        at = 0
        if self._buffer is not None:
            at = self._continue(self._buffer, view, done)
        first = at
        unpack = _PDU_HEADER.unpack_from
        max_length = self.max_length
        whole, last = 0, size - PDU_HEADER_LENGTH
        while at <= last:
            pdu_type, length = unpack(view, at)
            if length > max_length or not _FIRST_TYPE <= pdu_type <= _LAST_TYPE:
                raise self._offence(pdu_type, length, done)
            start = at + PDU_HEADER_LENGTH
            end = start + length
            if end > size:
                whole = end - at
                break
            done.append((pdu_type, view[start:end]))
            at = end
        if at > first:
            self._usual = len(done[-1][1]) + PDU_HEADER_LENGTH
        if at < size:
            # a new buffer each time: the caller may still hold views of the former one, which nobody changes
            self._buffer = bytearray(view[at:])
            self._whole = whole
        return done, view[first:at]

    def _continue(self, buffer: bytearray, view: memoryview, done: list[tuple[int, memoryview]]) -> int:
        """Add to the PDU under way; return how much of `view` it took."""
        at = 0
        if not self._whole:
            at = min(PDU_HEADER_LENGTH - len(buffer), len(view))
            buffer += view[:at]
            if len(buffer) < PDU_HEADER_LENGTH:
                return at
            self._whole = PDU_HEADER_LENGTH + _PDU_HEADER.unpack_from(buffer)[1]
        length = self._whole - PDU_HEADER_LENGTH
        if length > self.max_length or not _FIRST_TYPE <= buffer[0] <= _LAST_TYPE:
            raise self._offence(buffer[0], length, done)
        end = at + self._whole - len(buffer)
        if end > len(view):
            buffer += view[at:]
            return len(view)
        buffer += view[at:end]
        done.append((buffer[0], memoryview(buffer).toreadonly()[PDU_HEADER_LENGTH:]))
        self._buffer = None
        self._whole = 0
        return end

    def _offence(self, pdu_type: int, length: int, done: list[tuple[int, memoryview]]) -> FramingError:
        self._buffer = None
        if pdu_type in _TLS_RECORDS:
            return TlsRecord(f"PDU type {pdu_type:02X}H", done)
        if not _FIRST_TYPE <= pdu_type <= _LAST_TYPE:
            return UnrecognizedPdu(f"PDU type {pdu_type:02X}H", done)
        return PduTooLong(
            f"{PduType(pdu_type).name} PDU announces {length} bytes, at most {self.max_length} are allowed",
            done,
        )


def iter_pdvs(body: bytes | memoryview) -> list[tuple[int, int, memoryview]]:
    """Cut the body of a P-DATA-TF: (presentation context id, message control header, fragment) of each PDV.

    Raises `MalformedPdu` if there is no PDV (PS3.8 §9.3.5: one or more), or a PDV is too short for its two
    header bytes, or longer than the PDU, or if there are more than `MOST_PDVS`. An empty fragment is fine. The
    fragments are views of `body`.
    """
    pdvs, end = cut_pdvs(body, MOST_PDVS)
    if end < len(body):
        raise MalformedPdu(f"a P-DATA-TF with more than {MOST_PDVS} PDVs")
    return pdvs


def cut_pdvs(body: bytes | memoryview, most: int) -> tuple[list[tuple[int, int, memoryview]], int]:
    """Cut no more than `most` PDVs off; return them, and where the next one begins in the body.

    What is left of the body is one, too. Raises what `iter_pdvs` does, for what was cut.
    """
    view = memoryview(body)
    size = len(view)
    if not size:
        raise MalformedPdu("a P-DATA-TF without any PDV")
    unpack = _PDV_HEADER.unpack_from
    pdvs: list[tuple[int, int, memoryview]] = []
    at = 0
    while at < size:
        start = at + PDV_HEADER_LENGTH
        if start > size:
            raise MalformedPdu("a PDV header is cut off by the end of the P-DATA-TF")
        length, context_id, flags = unpack(view, at)
        at += 4 + length
        if length < 2 or at > size:
            raise MalformedPdu(f"a PDV of length {length} in a P-DATA-TF of {size} bytes")
        pdvs.append((context_id, flags, view[start:at]))
        if len(pdvs) == most:
            break
    return pdvs, at


def encode_p_data_header(context_id: int, flags: int, length: int) -> bytes:
    """Give the twelve bytes of a P-DATA-TF PDU that stand before its only fragment of `length` bytes."""
    return P_DATA_HEADER.pack(PduType.P_DATA_TF, length + PDV_HEADER_LENGTH, length + 2, context_id, flags)
