"""What may be wrong with a DIMSE message.

    DimseError            base: `code` says what, for logs and counters
    +-- CommandSetError   a command set doesn't say what it is (PS3.7 §6.3, Annex E)
    +-- MessageError      PDVs in an order that makes no message (PS3.8 Annex E)

Texts hold tags and lengths, never values: a value could identify a patient.
"""

from __future__ import annotations

from enum import StrEnum


class DimseErrorCode(StrEnum):
    """What a peer did wrong; stable, fit for a metric label."""

    AMBIGUOUS_COMMAND_FIELD = "ambiguous_command_field"
    """There are two command fields: policy might read one and the target the other."""
    MISSING_COMMAND_FIELD = "missing_command_field"
    MISSING_DATA_SET_TYPE = "missing_data_set_type"
    MISSING_MESSAGE_ID = "missing_message_id"
    COMMAND_TOO_LONG = "command_too_long"
    """More command fragments, or more bytes in them, than the limit allows."""
    UNEXPECTED_COMMAND = "unexpected_command"
    """A command fragment while a data set is incomplete."""
    UNEXPECTED_DATA_SET = "unexpected_data_set"
    """A data set fragment that no complete command announced."""
    CONTEXT_CHANGED = "context_changed"
    """Fragments of one message came on two presentation contexts."""


class DimseError(Exception):
    """A peer's bytes are no valid DIMSE message; answer with A-ABORT."""

    def __init__(self, code: DimseErrorCode, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class CommandSetError(DimseError):
    """A command set doesn't say what it is."""


class MessageError(DimseError):
    """PDVs came in an order that makes no message."""
