"""Clients that break the standard harm nobody else, neither in the front-end nor in the delivery service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.durable.site import CONTEXTS, Inbox, Site, message_of, site, store
from tests.support.files import DicomFile, synthetic
from tests.support.scripted import Aborted, Client, Rejected
from tests.support.wire import CT_STORAGE, EXPLICIT_LE, Context, p_data


def first_pdus(stream: bytes, count: int) -> bytes:
    """Return the first PDUs of several."""
    end = 0
    for _ in range(count):
        end += 6 + int.from_bytes(stream[end + 2 : end + 6], "big")
    return stream[:end]


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("odd")) as made:
        yield made


def still_works(where: Site, number: int) -> None:
    """Store an object, and see it arrive."""
    inbox, content = Inbox(), synthetic(number, 5_000, study=number)
    with where.open(calling="GOOD") as client:
        assert store(client, content) == 0
    with where.destination(inbox):
        where.wait_until(lambda: content.sop_instance in inbox.instances, "it arrives")


@pytest.mark.parametrize("uid", ["", "1." * 40 + "1", "1." * 5000 + "1"])
def test_an_instance_uid_that_is_none(where: Site, uid: str) -> None:
    content = synthetic(1, 5_000)
    with where.open() as client:
        assert (
            store(client, DicomFile(content.sop_class, uid, content.transfer_syntax, content.data)) == 0x0117
        )
        assert client.echo(context_id=3) == 0
    still_works(where, 2)


def test_contexts_of_no_uids(where: Site) -> None:
    long = "1." * 500 + "1"
    contexts = [*CONTEXTS, Context(5, long, (EXPLICIT_LE,)), Context(7, CT_STORAGE, (long, EXPLICIT_LE))]
    with where.open(contexts=contexts) as client:
        assert store(client, synthetic(3, 5_000)) == 0
    still_works(where, 4)


def test_an_empty_calling_ae_title(where: Site) -> None:
    """Nobody could deliver an object in its name."""
    with pytest.raises(Rejected) as refused:
        Client.open(where.entry, called="ARCHIVE", calling=b" " * 16, contexts=CONTEXTS)
    assert refused.value.triple == (1, 1, 3)
    still_works(where, 6)


def test_a_release_in_mid_object_and_rubbish(where: Site) -> None:
    message = message_of(synthetic(7, 50_000))
    for rest in (b"\x05\0\0\0\0\x04\0\0\0\0", b"\x04\0\0\0\0\x06\xff\xff\xff\xff\x01\x02", b"\x09\0\0\0\0\0"):
        client = where.open()
        client.send(first_pdus(p_data(message, max_pdu=4096), 5))
        client.send(rest)
        with pytest.raises(Aborted):
            client.receive_message()
        client.close()
    still_works(where, 8)
