"""Syslog messages (RFC 5424) that carry audit messages, as PS3.15 A.6 has them."""

from __future__ import annotations

from typing import Final

from dimse_mesh.audit.message import audit_message, timestamp
from dimse_mesh.audit.records import AuditOutcome, AuditRecord
from dimse_mesh.audit.source import AuditSource

AUTHPRIV: Final = 10
"""Facility: security and authorization messages."""
SEVERITIES: Final = {
    AuditOutcome.SUCCESS: 5,  # notice
    AuditOutcome.MINOR_FAILURE: 4,  # warning
    AuditOutcome.SERIOUS_FAILURE: 3,  # error
    AuditOutcome.MAJOR_FAILURE: 2,  # critical
}
MESSAGE_ID: Final = "DICOM+RFC3881"
APPLICATION: Final = "dimse-mesh"
MOST_SEQUENCE: Final = 2**31 - 1
"""RFC 5424 §7.3.1: then the sequence begins again with 1."""
_BYTE_ORDER_MARK: Final = "\ufeff"
_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>'


def syslog_message(record: AuditRecord, source: AuditSource, number: int) -> bytes:
    """Return one line, without an end of line.

    Args:
        number: of the record in its trail; it stands in the structured data, so that a gap or a repetition shows.
    """
    priority = 8 * AUTHPRIV + SEVERITIES[record.outcome]
    header = f"<{priority}>1 {timestamp(record.at)} {_token(source.host, 255)} {APPLICATION} {source.pid} {MESSAGE_ID}"
    sequence = (number - 1) % MOST_SEQUENCE + 1
    body = f"{_BYTE_ORDER_MARK}{_DECLARATION}{audit_message(record, source)}"
    return f'{header} [meta sequenceId="{sequence}"] {body}'.encode()


def octet_counted(message: bytes) -> bytes:
    """Return a message as a stream carries it (RFC 5425 §4.3)."""
    return b"%d %b" % (len(message), message)


def _token(text: str, most: int) -> str:
    """Return a header field: printable ASCII without spaces; `-` where there is nothing."""
    return "".join(character for character in text[:most] if "!" <= character <= "~") or "-"
