"""Memory for reads: what lies in a block stays while anybody refers to it, and what doesn't is told from it."""

from __future__ import annotations

import random

from dimse_mesh.mesh.receive_blocks import Block, ReceiveBlocks, last_long

SIZE = 64 * 1024


def read(blocks: ReceiveBlocks, data: bytes) -> memoryview:
    """Let a socket read `data`."""
    blocks.lend(blocks.read_size)[: len(data)] = data
    return blocks.filled(len(data))


def test_a_read_that_is_referred_to_is_never_overwritten_unless_it_is_told_so() -> None:
    rng = random.Random(1)
    blocks = ReceiveBlocks(read_size=SIZE, most=3)
    held: list[tuple[memoryview, bytes]] = []
    refused = 0
    for number in range(2000):
        data = bytes([number % 251]) * rng.randint(1, SIZE)
        view = read(blocks, data)
        if isinstance(view.obj, Block):
            held.append((view, data))
        else:
            refused += 1
            assert not last_long((view,), SIZE)
        del view
        rng.shuffle(held)
        del held[rng.randint(0, 12) :]
        assert all(view == data for view, data in held)
    assert 0 < refused < 1000


def test_reads_that_nobody_refers_to_use_the_same_memory() -> None:
    blocks = ReceiveBlocks(read_size=SIZE)
    read(blocks, b"a" * SIZE)
    first = read(blocks, b"b" * SIZE).obj
    for _ in range(10):
        assert read(blocks, b"c" * SIZE).obj is first


def test_a_read_goes_behind_the_one_before_while_there_is_room() -> None:
    blocks = ReceiveBlocks(read_size=SIZE)
    views = [read(blocks, bytes([number]) * (SIZE // 2)) for number in range(4)]
    assert len({id(view.obj) for view in views}) == 2  # a read may always be as long as any
    assert [view[0] for view in views] == [0, 1, 2, 3]


def test_when_every_block_is_referred_to_plain_memory_is_lent_until_one_is_free() -> None:
    blocks = ReceiveBlocks(read_size=SIZE, most=1)
    kept = [read(blocks, b"k" * SIZE) for _ in range(2)]
    assert not last_long((read(blocks, b"x" * SIZE),), SIZE)
    kept.clear()
    assert last_long((read(blocks, b"y" * SIZE),), SIZE)


def test_neither_little_nor_many_pieces_are_kept_where_they_are() -> None:
    whole = bytes(SIZE)
    assert last_long((whole, memoryview(whole)), 2 * SIZE)
    assert not last_long((whole[:100],), 100)
    assert not last_long([memoryview(whole)[at : at + 512] for at in range(0, SIZE, 512)], SIZE)
    assert not last_long((whole, memoryview(bytearray(SIZE))), 2 * SIZE)


def test_what_is_read_only_stays_where_it_is_unless_it_holds_far_more_than_it_is() -> None:
    """A PDU that was cut by the end of a read lies in memory of its own, which nobody changes."""
    pdu, following = (memoryview(bytearray(10 * SIZE)).toreadonly() for _ in range(2))
    assert last_long((pdu[6:],), 10 * SIZE - 6)
    assert last_long((pdu[-8 * SIZE :], following[: 8 * SIZE]), 16 * SIZE)  # a chunk ends in each of them
    assert not last_long((pdu[-8 * SIZE :], following[: 7 * SIZE]), 15 * SIZE)
    assert not last_long((pdu[:SIZE],), SIZE)


def test_several_views_of_one_object_hold_it_once() -> None:
    """As the PDUs of a read that had to wait for their turn."""
    read = memoryview(bytes(10 * SIZE))
    pdus = [read[at * SIZE + 12 : (at + 1) * SIZE] for at in range(10)]
    assert last_long(pdus, sum(map(len, pdus)))


def test_asking_whether_a_block_is_referred_to_leaves_what_lies_in_it() -> None:
    block = Block(b"abc")
    assert block.unused
    view = memoryview(block)
    assert not block.unused
    assert view == b"abc"
