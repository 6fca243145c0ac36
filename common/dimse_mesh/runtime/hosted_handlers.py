"""How an endpoint asks a handler that its own process hosts (ADR 2): with what it knows of the request already."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from dimse_mesh.dimse import CommandHead
from dimse_mesh.schemas.operation import OperationRequest

if TYPE_CHECKING:
    from dimse_mesh.mesh import Message


class OperationMessage(NamedTuple):
    """What the message of a request says: who asks, and what."""

    request: OperationRequest
    position: int
    """Of the request in its direction: with association and source the operation's id."""
    command: bytes
    head: CommandHead
    """Of the command set."""


HostedHandler: TypeAlias = "Callable[[Message, OperationMessage], bool]"
"""Decides on an operation within the call; False: the mesh did not take what was decided."""
