"""The operations that a peer has asked for and that have no final response yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dimse_mesh.dimse import CommandHead


@dataclass(slots=True)
class Operation:
    """A request from this endpoint's own peer, on its way or being performed by the other side's peer."""

    head: CommandHead
    command: bytes
    context_id: int
    position: int
    """Of its first segment; with the association and the direction the operation's id."""
    started: float
    last_activity: float
    end: int | None = None
    """Position behind its last segment; None while its data set is still coming."""
    span: Any = None
    traceparent: str | None = None
    void: bool = False
    """We answered it ourselves: what the other side still says about it is dropped."""
    void_status: int | None = None
    """The status to answer with, once the peer has sent the whole request."""
    skipped: bool = False
    """The other side will never see it."""


class OperationTable:
    """Operations by message id. A message id is unique among the outstanding ones (PS3.7 §9.3)."""

    __slots__ = ("_by_message_id",)

    def __init__(self) -> None:
        self._by_message_id: dict[int, Operation] = {}

    def __len__(self) -> int:
        return len(self._by_message_id)

    def __iter__(self) -> Iterator[Operation]:
        return iter(tuple(self._by_message_id.values()))

    def add(self, operation: Operation) -> None:
        """Note an operation; a peer that uses a message id again has only itself to blame for the older one."""
        self._by_message_id[operation.head.message_id] = operation

    def get(self, message_id: int) -> Operation | None:
        """Return the operation that a response belongs to."""
        return self._by_message_id.get(message_id)

    def at(self, position: int) -> Operation | None:
        """Return the operation whose first segment is at `position`."""
        return next((o for o in self._by_message_id.values() if o.position == position), None)

    def remove(self, operation: Operation) -> None:
        """Forget an operation that got its final response."""
        if self._by_message_id.get(operation.head.message_id) is operation:
            del self._by_message_id[operation.head.message_id]

    def clear(self) -> list[Operation]:
        """Forget and return all."""
        operations = list(self._by_message_id.values())
        self._by_message_id.clear()
        return operations
