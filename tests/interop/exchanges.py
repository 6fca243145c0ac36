"""What is under way when associations of tests end early."""

from __future__ import annotations

from tests.support.files import pattern
from tests.support.wire import (
    CT_STORAGE,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    Command,
    Context,
    Message,
    request,
    store_rq,
)

CONTEXTS = [Context(1, CT_STORAGE), Context(3, STUDY_ROOT_FIND), Context(5, STUDY_ROOT_GET)]
FIND = request(Command.C_FIND, 8, STUDY_ROOT_FIND, data=b"", context_id=3)
GET = request(Command.C_GET, 9, STUDY_ROOT_GET, data=b"", context_id=5)


def store_of(size: int) -> Message:
    """Return a C-STORE request of so many bytes."""
    return store_rq(7, "1.2.3", pattern(size))
