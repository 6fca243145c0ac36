"""Runs of pending responses: found by their bytes, ended by whatever is another thing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dimse_mesh.dimse import COMMAND_FLAG, LAST_FLAG
from dimse_mesh.endpoint.pending import PendingResponses
from dimse_mesh.upper_layer import encode_p_data_header

CONTEXT = 3
COMMAND = b"a command set of some length"
LIMIT = 1 << 16


def pdu(content: bytes, *, flags: int = LAST_FLAG, context_id: int = CONTEXT) -> bytes:
    return encode_p_data_header(context_id, flags, len(content)) + content


def response(identifier: bytes, *, command: bytes = COMMAND, **data: int) -> bytes:
    return pdu(command, flags=COMMAND_FLAG | LAST_FLAG) + pdu(identifier, **data)


@pytest.fixture
def pending() -> PendingResponses:
    found = PendingResponses()
    found.remember(CONTEXT, COMMAND, 7)
    return found


def test_nothing_repeats_what_was_never_there() -> None:
    assert PendingResponses().run_of(memoryview(response(b"x")), limit=LIMIT) is None


@pytest.mark.parametrize("identifiers", [[b""], [b"one"], [b"one", b"", b"another", b"x" * 1000]])
def test_all_that_repeat_are_one_run(pending: PendingResponses, identifiers: Sequence[bytes]) -> None:
    read = b"".join(map(response, identifiers))
    run = pending.run_of(memoryview(read), limit=LIMIT)
    assert run is not None
    assert (run.pdus, run.responses) == (read, len(identifiers))
    assert run.largest == max(len(COMMAND), *map(len, identifiers)) + 6


@pytest.mark.parametrize(
    "other",
    [
        response(b"two", command=COMMAND[:-1] + b"!"),
        response(b"two", command=COMMAND + b"!"),
        response(b"two", context_id=CONTEXT + 2),
        response(b"two", flags=0),
        response(b"two", flags=COMMAND_FLAG | LAST_FLAG),
        pdu(COMMAND, flags=COMMAND_FLAG | LAST_FLAG),
        pdu(COMMAND, flags=COMMAND_FLAG | LAST_FLAG) + b"\x07\0\0\0\0\x04\0\0\0\0" + bytes(100),
        pdu(COMMAND, flags=COMMAND_FLAG | LAST_FLAG) + b"\x04\0\0\0\0\x10\0\0\0\x05\x03\x02two" + bytes(100),
        response(b"two")[:-1],
        b"",
    ],
    ids=[
        "other-command",
        "longer-command",
        "other-context",
        "fragment",
        "command-again",
        "command-alone",
        "abort",
        "two-fragments",
        "half",
        "nothing",
    ],
)
def test_what_is_another_thing_ends_a_run(pending: PendingResponses, other: bytes) -> None:
    read = response(b"one")
    run = pending.run_of(memoryview(read + other), limit=LIMIT)
    assert run is not None
    assert (run.pdus, run.responses) == (read, 1)
    assert pending.run_of(memoryview(other), limit=LIMIT) is None


def test_a_run_ends_at_its_limit(pending: PendingResponses) -> None:
    read = response(b"x" * 100) * 10
    one = len(read) // 10
    for limit, count in ((10 * one, 10), (10 * one - 1, 9), (one, 1)):
        run = pending.run_of(memoryview(read), limit=limit)
        assert run is not None
        assert (run.pdus, run.responses) == (read[: count * one], count)
    assert pending.run_of(memoryview(read), limit=one - 1) is None
