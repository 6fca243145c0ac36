"""A destination that takes an object's transfer syntax no longer gets it in another one, if nothing is lost by that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from pydicom.filereader import read_dataset

from tests.durable.operator import dead_letters, queue
from tests.durable.site import ARCHIVE, Inbox, Site, message_of, site
from tests.support.files import DicomFile, synthetic, take_apart
from tests.support.scripted import ServerPeer
from tests.support.wire import (
    EXPLICIT_LE,
    IMPLICIT_LE,
    Command,
    Context,
    ContextResult,
    Message,
    associate_ac,
    response,
)

RLE, JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90"
TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    accepts = [{"sop_class": "*", "transfer_syntaxes": [EXPLICIT_LE, IMPLICIT_LE, RLE, JPEG_2000_LOSSLESS]}]
    with site(tmp_path_factory.mktemp("transcoding"), route={"accepts": accepts}) as made:
        yield made


def only(inbox: Inbox, syntax: str) -> Callable[[ServerPeer], None]:
    """Return a destination that takes one transfer syntax."""

    def script(peer: ServerPeer) -> None:
        asked = peer.read_request()
        results = [
            ContextResult(context.id, 0 if syntax in context.transfers else 4, syntax)
            for context in asked.contexts
        ]
        peer.send(associate_ac(asked, results))

        def answer(message: Message) -> Iterator[Message]:
            yield response(message)
            if message.field == Command.C_STORE:
                inbox.keep(message, asked.called, asked.calling)

        peer.serve(answer)

    return script


def send(where: Site, content: DicomFile) -> None:
    """Store an object in its own transfer syntax."""
    contexts = [Context(1, content.sop_class, (content.transfer_syntax,))]
    with where.open(contexts=contexts) as client:
        assert client.exchange(message_of(content)).status == 0
        client.release()


def sample(name: str) -> DicomFile:
    return take_apart(Path(str(get_testdata_file(name))))


def test_explicit_and_compressed_objects_for_one_who_takes_implicit_only(where: Site) -> None:
    inbox = Inbox()
    sent = [synthetic(1, 20_000), sample("MR_small_RLE.dcm"), synthetic(2, 6_000_000)]
    for content in sent:
        send(where, content)
    with where.destination_of(only(inbox, IMPLICIT_LE)):
        arrived = inbox.wait_for(len(sent))
    assert [got.instance for got in arrived] == [content.sop_instance for content in sent]
    for content, got in zip(sent, arrived, strict=True):
        after = read_dataset(BytesIO(got.data), is_implicit_VR=True, is_little_endian=True)
        assert after.SOPInstanceUID == content.sop_instance
        if content.transfer_syntax == EXPLICIT_LE:
            before = read_dataset(BytesIO(content.data), is_implicit_VR=False, is_little_endian=True)
            assert after == before
        else:
            assert len(after.PixelData) == after.Rows * after.Columns * 2
    assert dead_letters(where) == []


def test_what_can_not_be_decoded_is_a_dead_letter_and_keeps_its_pixel_data(where: Site) -> None:
    """No decoder of JPEG 2000 is among what the tests install; an object in any syntax of loss is treated alike."""
    inbox, behind = Inbox(), synthetic(4, 2_000)
    content = sample("MR_small_jp2klossless.dcm")
    send(where, content)
    send(where, behind)
    with where.destination_of(only(inbox, IMPLICIT_LE)):
        assert inbox.wait_for(1)[0].instance == behind.sop_instance
        where.wait_until(lambda: len(dead_letters(where)) == 1, "it is a dead letter")
    letter = dead_letters(where)[0]
    assert (letter["sop_instance"], letter["cause"]) == (content.sop_instance, "no-presentation-context")
    assert "no decoder of JPEG 2000" in letter["detail"]
    with where.destination_of(only(inbox, JPEG_2000_LOSSLESS)):
        queue(where, "retry", ARCHIVE)
        assert inbox.wait_for(2)[1].data == content.data
