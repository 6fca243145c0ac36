"""Statuses of DIMSE operations (PS3.7 Annex C; PS3.4 for the service classes)."""

from __future__ import annotations

from enum import Enum, IntEnum, StrEnum
from typing import assert_never

from dimse_mesh.dimse.head import RESPONSE_BIT, CommandField


class Status(IntEnum):
    """Statuses with a fixed meaning. Where services differ, the name says which one is meant.

    Several service classes reserve ranges (A7xx, A9xx, Cxxx); each member below is the first of its range.
    """

    # PS3.7 Annex C: any service
    SUCCESS = 0x0000
    REQUESTED_OPTIONAL_ATTRIBUTES_NOT_SUPPORTED = 0x0001
    NO_SUCH_ATTRIBUTE = 0x0105
    INVALID_ATTRIBUTE_VALUE = 0x0106
    ATTRIBUTE_LIST_ERROR = 0x0107
    PROCESSING_FAILURE = 0x0110
    DUPLICATE_SOP_INSTANCE = 0x0111
    NO_SUCH_SOP_INSTANCE = 0x0112
    NO_SUCH_EVENT_TYPE = 0x0113
    NO_SUCH_ARGUMENT = 0x0114
    INVALID_ARGUMENT_VALUE = 0x0115
    ATTRIBUTE_VALUE_OUT_OF_RANGE = 0x0116
    INVALID_OBJECT_INSTANCE = 0x0117
    NO_SUCH_SOP_CLASS = 0x0118
    CLASS_INSTANCE_CONFLICT = 0x0119
    MISSING_ATTRIBUTE = 0x0120
    MISSING_ATTRIBUTE_VALUE = 0x0121
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NO_SUCH_ACTION_TYPE = 0x0123
    NOT_AUTHORIZED = 0x0124
    DUPLICATE_INVOCATION = 0x0210
    UNRECOGNIZED_OPERATION = 0x0211
    MISTYPED_ARGUMENT = 0x0212
    RESOURCE_LIMITATION = 0x0213
    CANCEL = 0xFE00
    PENDING = 0xFF00
    PENDING_OPTIONAL_KEYS_NOT_SUPPORTED = 0xFF01
    # PS3.4 §B.2.3: storage
    STORAGE_OUT_OF_RESOURCES = 0xA700
    STORAGE_DATA_SET_DOES_NOT_MATCH_SOP_CLASS_ERROR = 0xA900
    STORAGE_COERCION_OF_DATA_ELEMENTS = 0xB000
    STORAGE_ELEMENTS_DISCARDED = 0xB006
    STORAGE_DATA_SET_DOES_NOT_MATCH_SOP_CLASS_WARNING = 0xB007
    STORAGE_CANNOT_UNDERSTAND = 0xC000
    # PS3.4 §C.4.1.1.4, §C.4.2.1.5, §C.4.3.1.4: query/retrieve (find; move and get)
    FIND_OUT_OF_RESOURCES = 0xA700
    RETRIEVE_UNABLE_TO_CALCULATE_NUMBER_OF_MATCHES = 0xA701
    RETRIEVE_UNABLE_TO_PERFORM_SUBOPERATIONS = 0xA702
    MOVE_DESTINATION_UNKNOWN = 0xA801
    QUERY_IDENTIFIER_DOES_NOT_MATCH_SOP_CLASS = 0xA900
    RETRIEVE_SUBOPERATIONS_COMPLETE_WITH_FAILURES = 0xB000
    QUERY_MATCHING_REACHED_RESPONSE_LIMIT = 0xB001
    QUERY_UNABLE_TO_PROCESS = 0xC000


class StatusCategory(StrEnum):
    """What a status means for the operation (PS3.7 §C.1)."""

    SUCCESS = "success"
    PENDING = "pending"
    WARNING = "warning"
    FAILURE = "failure"
    CANCEL = "cancel"


_WARNINGS = frozenset(
    (
        Status.REQUESTED_OPTIONAL_ATTRIBUTES_NOT_SUPPORTED,
        Status.ATTRIBUTE_LIST_ERROR,
        Status.ATTRIBUTE_VALUE_OUT_OF_RANGE,
    )
)


def category(status: int) -> StatusCategory:
    """Say what a status means.

    A status that the standard doesn't assign counts as a failure: it is final, and it isn't a success.
    """
    if status == Status.SUCCESS:
        return StatusCategory.SUCCESS
    if status in (Status.PENDING, Status.PENDING_OPTIONAL_KEYS_NOT_SUPPORTED):
        return StatusCategory.PENDING
    if status == Status.CANCEL:
        return StatusCategory.CANCEL
    if status & 0xF000 == 0xB000 or status in _WARNINGS:
        return StatusCategory.WARNING
    return StatusCategory.FAILURE


class FailureReason(Enum):
    """Why the mesh itself answers a request with a failure."""

    NOT_AUTHORIZED = "not_authorized"
    """Policy forbids it."""
    UNSUPPORTED = "unsupported"
    """The mesh doesn't carry the SOP class."""
    UNRECOGNIZED_OPERATION = "unrecognized_operation"
    """The handler doesn't know the command field."""
    OUT_OF_RESOURCES = "out_of_resources"
    """A limit was reached, or nobody answered within the deadline; trying again later may help."""
    PROCESSING_FAILURE = "processing_failure"
    """Anything else."""


def failure_status_for(command_field: int, reason: FailureReason) -> Status:
    """Return the failure status that the requester gets, as its service class defines it."""
    match reason:
        case FailureReason.NOT_AUTHORIZED:
            return Status.NOT_AUTHORIZED  # PS3.7 Annex C, refused: not authorized
        case FailureReason.UNSUPPORTED:
            return Status.SOP_CLASS_NOT_SUPPORTED  # PS3.7 Annex C, refused: SOP class not supported
        case FailureReason.UNRECOGNIZED_OPERATION:
            return Status.UNRECOGNIZED_OPERATION  # PS3.7 Annex C, unrecognized operation
        case FailureReason.PROCESSING_FAILURE:
            return Status.PROCESSING_FAILURE  # PS3.7 Annex C, processing failure
        case FailureReason.OUT_OF_RESOURCES:
            return _out_of_resources(command_field & ~RESPONSE_BIT)
    assert_never(reason)


def _out_of_resources(request: int) -> Status:
    if request == CommandField.C_STORE_RQ:
        return Status.STORAGE_OUT_OF_RESOURCES  # PS3.4 table B.2-1
    if request == CommandField.C_FIND_RQ:
        return Status.FIND_OUT_OF_RESOURCES  # PS3.4 table C.4-1
    if request in (CommandField.C_MOVE_RQ, CommandField.C_GET_RQ):
        return Status.RETRIEVE_UNABLE_TO_PERFORM_SUBOPERATIONS  # PS3.4 tables C.4-2 and C.4-3
    return Status.RESOURCE_LIMITATION  # PS3.7 Annex C, resource limitation
