"""The operations that a peer has asked for and that have no final response yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    void_code: str = "refused"
    """Why we answered it, for spans."""


class OperationTable:
    """Operations by message id, the oldest first.

    A message id is unique among the outstanding operations (PS3.7 §9.3), but what we have answered ourselves is over
    for its peer, which may use the id again, and not for the other side, which may still respond. As responses to one
    id come in the order of their requests, the oldest gets the next one.

    Args:
        added: called when there is one more.
    """

    __slots__ = ("_added", "_by_message_id", "_count")

    def __init__(self, added: Callable[[], None] = lambda: None) -> None:
        self._added = added
        self._by_message_id: dict[int, list[Operation]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Operation]:
        return iter([operation for same_id in self._by_message_id.values() for operation in same_id])

    def add(self, operation: Operation) -> None:
        """Note an operation."""
        self._by_message_id.setdefault(operation.head.message_id, []).append(operation)
        self._count += 1
        self._added()

    def get(self, message_id: int) -> Operation | None:
        """Return the operation that a response belongs to."""
        same_id = self._by_message_id.get(message_id)
        return same_id[0] if same_id else None

    def at(self, position: int) -> Operation | None:
        """Return the operation whose first segment is at `position`."""
        return next((operation for operation in self if operation.position == position), None)

    def remove(self, operation: Operation) -> None:
        """Forget an operation that got its final response, or will get none."""
        same_id = self._by_message_id.get(operation.head.message_id, [])
        for index, other in enumerate(same_id):
            if other is operation:
                del same_id[index]
                self._count -= 1
                break
        if not same_id:
            self._by_message_id.pop(operation.head.message_id, None)

    def clear(self) -> list[Operation]:
        """Forget and return all."""
        operations = list(self)
        self._by_message_id.clear()
        self._count = 0
        return operations
