"""Requests that the mesh makes itself: C-ECHO, C-STORE, and C-CANCEL of abandoned operations (PS3.7 §9.3)."""

from __future__ import annotations

from enum import IntEnum

from dimse_mesh.dimse.command import CommandSet
from dimse_mesh.dimse.head import NO_DATA_SET, CommandField
from dimse_mesh.dimse.tags import Tag

VERIFICATION_SOP_CLASS = "1.2.840.10008.1.1"
_DATA_SET_FOLLOWS = 0x0001  # anything but 0101H (PS3.7 §E.1)


class Priority(IntEnum):
    """PS3.7 §E.1, Priority."""

    MEDIUM = 0x0000
    HIGH = 0x0001
    LOW = 0x0002


def echo_request(message_id: int) -> CommandSet:
    """Build a C-ECHO-RQ (PS3.7 §9.3.5.1)."""
    return CommandSet.build(
        {
            Tag.AffectedSOPClassUID: VERIFICATION_SOP_CLASS,
            Tag.CommandField: CommandField.C_ECHO_RQ,
            Tag.MessageID: message_id,
            Tag.CommandDataSetType: NO_DATA_SET,
        }
    )


def store_request(
    message_id: int, *, sop_class: str, sop_instance: str, priority: Priority = Priority.MEDIUM
) -> CommandSet:
    """Build a C-STORE-RQ (PS3.7 §9.3.1.1); its data set must follow."""
    return CommandSet.build(
        {
            Tag.AffectedSOPClassUID: sop_class,
            Tag.CommandField: CommandField.C_STORE_RQ,
            Tag.MessageID: message_id,
            Tag.Priority: priority,
            Tag.CommandDataSetType: _DATA_SET_FOLLOWS,
            Tag.AffectedSOPInstanceUID: sop_instance,
        }
    )


def cancel_request(message_id: int) -> CommandSet:
    """Build the C-CANCEL-RQ for the C-FIND, C-MOVE or C-GET with this message id (PS3.7 §9.3.2.3)."""
    return CommandSet.build(
        {
            Tag.CommandField: CommandField.C_CANCEL_RQ,
            Tag.MessageIDBeingRespondedTo: message_id,
            Tag.CommandDataSetType: NO_DATA_SET,
        }
    )
