"""Responses that the mesh sends itself when a request doesn't reach its target (PS3.7 §9.3, §10.3)."""

from __future__ import annotations

from collections.abc import Mapping

from dimse_mesh.dimse.command import CommandSet
from dimse_mesh.dimse.head import NO_DATA_SET, RESPONSE_BIT, CommandField
from dimse_mesh.dimse.tags import VALUE_REPRESENTATIONS, Tag

_MAX_COMMENT = 64  # LO (PS3.5 §6.2)

# What a response repeats from its request. N-GET, N-SET, N-ACTION and N-DELETE name in the request what is
# *requested*, in the response what was *affected* (PS3.7 §10.1.2 to §10.1.6).
_REPEATED = (
    (Tag.AffectedSOPClassUID, (Tag.AffectedSOPClassUID, Tag.RequestedSOPClassUID)),
    (Tag.AffectedSOPInstanceUID, (Tag.AffectedSOPInstanceUID, Tag.RequestedSOPInstanceUID)),
    (Tag.EventTypeID, (Tag.EventTypeID,)),
    (Tag.ActionTypeID, (Tag.ActionTypeID,)),
)


def response_to(
    request: CommandSet,
    status: int,
    *,
    error_comment: str | None = None,
    extra: Mapping[int, bytes | int | str] | None = None,
) -> CommandSet:
    """Build the command set of the response to `request`, without a data set.

    `error_comment` is cut to 64 characters of ASCII; it must hold no patient data. `extra` adds elements or
    overrides those that would be there.

    Raises:
        ValueError: `request` is a response, has no message id, or is a C-CANCEL, which has no response
            (PS3.7 §9.3.2.3).
    """
    field = request.command_field
    if field == CommandField.C_CANCEL_RQ:
        raise ValueError("C-CANCEL has no response")
    message_id = request.message_id
    if request.is_response or message_id is None:
        raise ValueError("only a request with a message id has a response")
    elements: dict[int, bytes | int | str] = {
        Tag.CommandField: field | RESPONSE_BIT,
        Tag.MessageIDBeingRespondedTo: message_id,
        Tag.CommandDataSetType: NO_DATA_SET,
        Tag.Status: status,
    }
    for target, sources in _REPEATED:
        source = next((source for source in sources if request.get(source)), None)
        if source is not None:
            elements[target] = _repeated(request, source)
    if error_comment:
        elements[Tag.ErrorComment] = printable_comment(error_comment)
    if extra:
        elements.update(extra)
    return CommandSet.build(elements)


def _repeated(request: CommandSet, tag: int) -> bytes | int:
    """Return a value of the request as a response may hold it, however the peer wrote it."""
    value = request.get(tag) or b""
    if VALUE_REPRESENTATIONS[tag] == "US":
        return request.number(tag) or 0
    return value if len(value) % 2 == 0 else value + b"\0"


def printable_comment(text: str) -> str:
    """Return `text` as an Error Comment can hold it: 64 printable ASCII characters, no backslash."""
    kept = (char if " " <= char <= "~" and char != "\\" else "?" for char in text[:_MAX_COMMENT])
    return "".join(kept)
