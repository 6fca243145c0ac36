"""The data elements of command sets (PS3.6 §7, PS3.7 Annex E), by their dictionary keywords.

All of them lie in group 0000, so the value of a tag is its element number.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Tag(IntEnum):
    """Command elements in use (PS3.7 table E.1-1); the retired ones of table E.2-1 pass through unnamed."""

    CommandGroupLength = 0x0000
    AffectedSOPClassUID = 0x0002
    RequestedSOPClassUID = 0x0003
    CommandField = 0x0100
    MessageID = 0x0110
    MessageIDBeingRespondedTo = 0x0120
    MoveDestination = 0x0600
    Priority = 0x0700
    CommandDataSetType = 0x0800
    Status = 0x0900
    OffendingElement = 0x0901
    ErrorComment = 0x0902
    ErrorID = 0x0903
    AffectedSOPInstanceUID = 0x1000
    RequestedSOPInstanceUID = 0x1001
    EventTypeID = 0x1002
    AttributeIdentifierList = 0x1005
    ActionTypeID = 0x1008
    NumberOfRemainingSuboperations = 0x1020
    NumberOfCompletedSuboperations = 0x1021
    NumberOfFailedSuboperations = 0x1022
    NumberOfWarningSuboperations = 0x1023
    MoveOriginatorApplicationEntityTitle = 0x1030
    MoveOriginatorMessageID = 0x1031


VALUE_REPRESENTATIONS: Final[dict[int, str]] = {
    Tag.CommandGroupLength: "UL",
    Tag.AffectedSOPClassUID: "UI",
    Tag.RequestedSOPClassUID: "UI",
    Tag.CommandField: "US",
    Tag.MessageID: "US",
    Tag.MessageIDBeingRespondedTo: "US",
    Tag.MoveDestination: "AE",
    Tag.Priority: "US",
    Tag.CommandDataSetType: "US",
    Tag.Status: "US",
    Tag.OffendingElement: "AT",
    Tag.ErrorComment: "LO",
    Tag.ErrorID: "US",
    Tag.AffectedSOPInstanceUID: "UI",
    Tag.RequestedSOPInstanceUID: "UI",
    Tag.EventTypeID: "US",
    Tag.AttributeIdentifierList: "AT",
    Tag.ActionTypeID: "US",
    Tag.NumberOfRemainingSuboperations: "US",
    Tag.NumberOfCompletedSuboperations: "US",
    Tag.NumberOfFailedSuboperations: "US",
    Tag.NumberOfWarningSuboperations: "US",
    Tag.MoveOriginatorApplicationEntityTitle: "AE",
    Tag.MoveOriginatorMessageID: "US",
}
"""Value representation of each command element that we write or read."""
