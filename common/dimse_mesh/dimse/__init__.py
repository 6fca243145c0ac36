"""DIMSE messages (PS3.7), sans-IO: command sets, message assembly and fragmentation, statuses."""

from dimse_mesh.dimse.command import CommandSet
from dimse_mesh.dimse.errors import CommandSetError, DimseError, DimseErrorCode, MessageError
from dimse_mesh.dimse.head import NO_DATA_SET, CommandField, CommandHead, parse_head
from dimse_mesh.dimse.message import (
    COMMAND_FLAG,
    LAST_FLAG,
    CommandReceived,
    DataFragment,
    Event,
    MessageAssembler,
    data_parts,
    encode_command,
    encode_data,
    encode_message,
)
from dimse_mesh.dimse.requests import Priority, cancel_request, echo_request, store_request
from dimse_mesh.dimse.responses import response_to
from dimse_mesh.dimse.status import FailureReason, Status, StatusCategory, category, failure_status_for
from dimse_mesh.dimse.tags import Tag

__all__ = [
    "COMMAND_FLAG",
    "CommandField",
    "CommandHead",
    "CommandReceived",
    "CommandSet",
    "CommandSetError",
    "DataFragment",
    "DimseError",
    "DimseErrorCode",
    "Event",
    "FailureReason",
    "LAST_FLAG",
    "MessageAssembler",
    "MessageError",
    "NO_DATA_SET",
    "Priority",
    "Status",
    "StatusCategory",
    "Tag",
    "cancel_request",
    "category",
    "data_parts",
    "echo_request",
    "encode_command",
    "encode_data",
    "encode_message",
    "failure_status_for",
    "parse_head",
    "response_to",
    "store_request",
]
