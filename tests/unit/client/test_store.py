"""C-STORE by our own client: a data set that is read in parts, and in how many writes it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import cast

import pytest

from dimse_mesh.client import DicomClient
from dimse_mesh.client.line import StreamLine
from dimse_mesh.dimse import Status, encode_command, encode_data, response_to
from dimse_mesh.dimse.requests import store_request
from tests.support.wire import CT_STORAGE

REQUEST = store_request(1, sop_class=CT_STORAGE, sop_instance="1.2.3")
RESPONSE = encode_command(1, response_to(REQUEST, Status.SUCCESS).encode(), 0)
COMMAND = encode_command(1, REQUEST.encode(), 0)


def data(part: bytes, *, last: bool) -> bytes:
    """Return a part of the data set as it travels."""
    return encode_data(1, part, last, 0)


class Writer:
    """What a `StreamLine` writes to; each write is kept."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def is_closing(self) -> bool:
        return False

    def writelines(self, parts: Iterable[bytes | memoryview]) -> None:
        self.writes.append(b"".join(parts))

    async def drain(self) -> None:
        pass


async def read_in(parts: Sequence[bytes]) -> AsyncIterator[bytes]:
    """Yield the parts."""
    for part in parts:
        yield part


async def stored(parts: AsyncIterator[bytes], writer: Writer) -> int | None:
    """Store one object; return the status."""
    reader = asyncio.StreamReader()
    reader.feed_data(RESPONSE)
    client = DicomClient(StreamLine(reader, cast(asyncio.StreamWriter, writer)))
    return (await client.store(1, REQUEST, parts)).status


@pytest.mark.parametrize(
    ("parts", "writes"),
    [
        ([], [COMMAND + data(b"", last=True)]),
        ([b"whole."], [COMMAND + data(b"whole.", last=True)]),
        (
            [b"one", b"two", b"three"],
            [COMMAND + data(b"one", last=False), data(b"two", last=False), data(b"three", last=True)],
        ),
    ],
    ids=["empty", "one part", "three parts"],
)
def test_the_request_leaves_with_the_first_part(parts: list[bytes], writes: list[bytes]) -> None:
    writer = Writer()
    assert asyncio.run(stored(read_in(parts), writer)) == Status.SUCCESS
    assert writer.writes == writes


def test_nothing_leaves_of_what_can_not_be_read() -> None:
    async def damaged() -> AsyncIterator[bytes]:
        raise ValueError("damaged")
        yield b""

    writer = Writer()
    with pytest.raises(ValueError, match="damaged"):
        asyncio.run(stored(damaged(), writer))
    assert writer.writes == []
