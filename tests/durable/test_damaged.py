"""A bit of the store flips while it is stopped: the object is never delivered, is named, and the others arrive."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.durable.operator import damaged, dead_letters, queue
from tests.durable.site import ARCHIVE, Inbox, site, store
from tests.support.files import DicomFile, synthetic


def flip(directory: Path, content: DicomFile) -> None:
    """Flip a bit of an object in the store's files."""
    wanted = content.data[:200]  # its UIDs: no other object begins so
    for path in directory.rglob("*.blk"):
        block = bytearray(path.read_bytes())
        at = block.find(wanted)
        if at >= 0:
            block[at + 100_000] ^= 1
            path.write_bytes(block)
            return
    raise AssertionError("the object stands in no block file")


@pytest.mark.parametrize("size", [300_000, 1_200_000], ids=["one-message", "pieces"])
def test_a_flipped_bit(tmp_path: Path, size: int) -> None:
    sent = [synthetic(number, size, study=number) for number in range(5)]
    with site(tmp_path) as where:
        port = where.port
        with where.open() as client:
            for content in sent:
                assert store(client, content) == 0
            client.release()
    flip(tmp_path / "data", sent[1])
    inbox = Inbox()
    with site(tmp_path, port=port) as where, where.destination(inbox):
        arrived = inbox.wait_for(len(sent) - 1)
        where.wait_until(lambda: len(dead_letters(where)) == 1, "the damaged object is a dead letter")
        assert sent[1].sop_instance in damaged(where)
        folder = tmp_path / "exported"
        assert "0 written" in queue(where, "export", ARCHIVE, str(folder), "--failed", code=1)
        assert list(folder.iterdir()) == []
    good = [content for content in sent if content is not sent[1]]
    assert [(got.instance, got.data) for got in arrived] == [(c.sop_instance, c.data) for c in good]
