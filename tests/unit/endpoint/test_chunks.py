"""Chunks of a data set: what lies where it stays is sent from there, and everything else from a copy."""

from __future__ import annotations

import random
from itertools import chain

import pytest

from dimse_mesh.endpoint import segments
from dimse_mesh.endpoint.chunks import ChunkGatherer
from dimse_mesh.endpoint.identity import AssociationIdentity
from dimse_mesh.mesh import ReceiveBlocks, last_long
from dimse_mesh.runtime.settings_mesh import MeshSettings
from dimse_mesh.schemas.addresses import HalfAddress, InstanceAddress, Role
from dimse_mesh.schemas.frames import LAST, iter_frames
from dimse_mesh.streams.outbound import Segment
from dimse_mesh.upper_layer import Framer, PduType, encode_pdu

CHUNK = 100_000
READ = 256 * 1024
IDENTITY = AssociationIdentity(
    association="1.2",
    home_zone="hospital",
    calling_ae="A",
    called_ae="B",
    from_client=True,
    local=HalfAddress(InstanceAddress("hospital", Role.ASSOCIATION, "a"), 1),
    remote=HalfAddress(InstanceAddress("cloud", Role.SCU, "b"), 2),
)


def passed_on(
    data: bytes, blocks: ReceiveBlocks, *, fragment: int, read: int = READ, chunk: int = CHUNK
) -> list[Segment]:
    """Return the segments of a data set that comes in reads and fragments of such sizes."""
    gatherer, sent, position = ChunkGatherer(chunk), list[Segment](), 0

    def send(parts: list[bytes | memoryview], *, last: bool) -> None:
        nonlocal position
        segment = segments.chunk(IDENTITY, position, 0, context_id=3, parts=parts, last=last)
        position += segment.length
        sent.append(segment)

    for at in range(0, len(data), read):
        piece = data[at : at + read]
        blocks.lend(READ)[: len(piece)] = piece
        view = blocks.filled(len(piece))
        for start in range(0, len(view), fragment):
            for parts in gatherer.add(view[start : start + fragment]):
                send(parts, last=False)
        del view
        gatherer.keep()
    send(gatherer.take(), last=True)
    return sent


def published(segment: Segment) -> bytes:
    return b"".join((segment.payload, *segment.data))


@pytest.mark.parametrize("most", [0, 1, 16])
@pytest.mark.parametrize(
    ("fragment", "read"), [(131_066, READ), (16_378, READ), (512, READ), (20_000, 7_000)]
)
def test_chunks_are_the_data_set_wherever_it_lay(most: int, fragment: int, read: int) -> None:
    data = random.Random(most).randbytes(3_000_001)
    sent = passed_on(data, ReceiveBlocks(read_size=READ, most=most), fragment=fragment, read=read)
    frames = list(chain.from_iterable(iter_frames(published(segment)) for segment in sent))
    assert b"".join(frame.payload for frame in frames) == data
    assert [frame.position for frame in frames] == list(range(0, len(data), CHUNK))
    assert [bool(frame.flags & LAST) for frame in frames] == [False] * 30 + [True]
    assert sum(segment.length for segment in sent) == len(data)


def test_chunks_of_large_reads_are_sent_from_where_they_were_read() -> None:
    sent = passed_on(bytes(1_000_000), ReceiveBlocks(read_size=READ), fragment=131_066)
    assert all(segment.data for segment in sent)


def test_chunks_of_pdus_of_8_kib_are_sent_from_where_they_were_read() -> None:
    chunk = MeshSettings().chunk_size
    sent = passed_on(bytes(3 * chunk), ReceiveBlocks(read_size=READ), fragment=8186, chunk=chunk)
    assert [segment.length for segment in sent] == [chunk] * 3
    assert all(len(segment.data) > 80 for segment in sent)


def test_pdus_that_are_cut_by_the_ends_of_reads_are_sent_from_where_they_lie() -> None:
    """As a socket brings them: a read ends where nothing more has come."""
    rng = random.Random(1)
    data = rng.randbytes(1_000_000)
    blocks, framer, gatherer = ReceiveBlocks(read_size=READ), Framer(max_length=20_000), ChunkGatherer(CHUNK)
    wire = b"".join(
        encode_pdu(PduType.P_DATA_TF, data[at : at + 20_000]) for at in range(0, len(data), 20_000)
    )
    chunks: list[list[bytes | memoryview]] = []
    at = 0
    while at < len(wire):
        piece = wire[at : at + rng.randint(60_000, READ)]
        at += len(piece)
        blocks.lend(READ)[: len(piece)] = piece
        for _, body in framer.feed(blocks.filled(len(piece))):
            chunks.extend(gatherer.add(body))
        gatherer.keep()
    chunks.append(gatherer.take())
    assert b"".join(chain.from_iterable(chunks)) == data
    assert all(last_long(parts, CHUNK) for parts in chunks)
    copied = sum(len(part) for parts in chunks for part in parts if isinstance(part, bytes))
    assert copied < len(data) // 4  # what little a read has brought behind the end of a chunk


def test_chunks_of_many_small_fragments_are_copied() -> None:
    sent = passed_on(bytes(1_000_000), ReceiveBlocks(read_size=READ), fragment=512)
    assert max(len(segment.data) for segment in sent) <= 96


def test_a_chunk_that_was_begun_keeps_its_size() -> None:
    data = memoryview(bytes(1000))
    gatherer = ChunkGatherer(100)
    assert [sum(map(len, parts)) for parts in gatherer.add(data[:150])] == [100]
    gatherer.resize(40)
    assert [sum(map(len, parts)) for parts in gatherer.add(data[:150])] == [100, 40, 40]
    gatherer.take()
    gatherer.resize(200)
    assert [sum(map(len, parts)) for parts in gatherer.add(data[:401])] == [200, 200]


def test_what_was_copied_is_not_copied_with_every_read() -> None:
    gatherer = ChunkGatherer(1_000_000)
    list(gatherer.add(memoryview(bytearray(100_000))))
    gatherer.keep()
    [copy] = gatherer._parts
    for _ in range(5):
        list(gatherer.add(memoryview(bytearray(100))))
        gatherer.keep()
    assert gatherer._parts[0] is copy
    assert [len(part) for part in gatherer._parts] == [100_000, 500]
