"""What real peers send that the standard doesn't allow, and that a wire would carry: it passes as it came."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.interop.conftest import StartServer
from tests.support.mesh import Ae
from tests.support.scripted import Client, Rejected, Server, ServerPeer, success
from tests.support.way import Way
from tests.support.wire import (
    RELEASE_RP_PDU,
    VERIFICATION,
    Command,
    Context,
    Message,
    Pdu,
    PduType,
    item,
    pdu,
    request,
    response,
)

OWN_ITEMS = (0x51, 0x52, 0x55)
ECHO = request(Command.C_ECHO, 1, VERIFICATION)


def element(tag: int, value: bytes, group: int = 0) -> bytes:
    return group.to_bytes(2, "little") + tag.to_bytes(2, "little") + len(value).to_bytes(4, "little") + value


ELEMENTS = st.one_of(
    # of the retired and the unknown, at any place and of any length
    st.builds(element, st.sampled_from((0x0001, 0x0010, 0x5110, 0x7777, 0xFFFF)), st.binary(max_size=9)),
    # of another group
    st.builds(element, st.integers(0, 0xFFFF), st.binary(max_size=9), st.sampled_from((2, 8, 0x10, 0x0009))),
    # of those that are known and not needed on the way, repeated or wrong
    st.builds(
        element, st.sampled_from((0, 2, 3, 0x600, 0x700, 0x902, 0x1000, 0x1021)), st.binary(max_size=9)
    ),
)
USER_ITEMS = st.builds(
    item,
    st.integers(0x53, 0x5F).filter(lambda kind: kind not in OWN_ITEMS),
    st.one_of(st.binary(max_size=12), st.binary(max_size=6).map(lambda data: b"\0\3" + b"1.2" + data)),
)


def talk(way: Way, ae: Ae, asked: bytes, answered: bytes, *, extra: tuple[bytes, bytes] = (b"", b"")) -> None:
    """Exchange one message each way, and user items; compare what came with what was sent."""

    def target(peer: ServerPeer) -> None:
        peer.accept_association(extra=extra[1])
        assert peer.receive_message().command == asked
        peer.send_message(Message(1, answered))
        assert peer.read_pdu().kind == PduType.RELEASE_RQ
        peer.send(RELEASE_RP_PDU)

    with (
        Server(target, port=ae.port) as server,
        Client.open(way.entry(ae), called=ae.title, extra=extra[0]) as client,
    ):
        client.send_message(Message(1, asked))
        assert client.receive_message().command == answered
        client.release()
        server.join()
        (peer,) = server.peers
    for associate, sent in ((peer.request, extra[0]), (client.accept, extra[1])):
        assert associate is not None
        others = b"".join(item(kind, data) for kind, data in associate.user_items if kind not in OWN_ITEMS)
        assert others == sent


@pytest.mark.parametrize(
    "more",
    [
        element(0x0058, b"1.2.3\\1.2.4 ", group=8),  # Orthanc, in the last response of a C-GET that failed
        element(0, b"\1\0\0\0"),  # a second group length
        element(0x0002, b"1.2.840.10008.1.1\0"),
        element(0x7777, b"x" * 60_000),
    ],
    ids=["element of a data set", "second group length", "repeated UID", "near 64 KiB"],
)
def test_command_set_passes_as_it_came(way: Way, cloud_ae: Ae, more: bytes) -> None:
    talk(way, cloud_ae, ECHO.command + more, response(ECHO).command + more)


@given(
    before=st.lists(ELEMENTS, max_size=3), behind=st.lists(ELEMENTS, max_size=3), rest=st.binary(max_size=7)
)
@settings(max_examples=40)
def test_odd_command_sets_pass_as_they_came(
    way: Way, before: list[bytes], behind: list[bytes], rest: bytes
) -> None:
    first, last = b"".join(before), b"".join(behind) + rest
    with way.borrowed() as ae:
        talk(way, ae, first + ECHO.command + last, first + response(ECHO).command + last)


@pytest.mark.parametrize(
    "odd",
    [item(0x53, b""), item(0x53, b"\0\1"), item(0x54, b"\0\3" + b"1.2" + b"\1\0\0"), item(0x58, b"\1")],
    ids=["window of 0 bytes", "window of 2 bytes", "role with a trailing byte", "identity of 1 byte"],
)
def test_user_item_passes_as_it_came(way: Way, cloud_ae: Ae, odd: bytes) -> None:
    talk(way, cloud_ae, ECHO.command, response(ECHO).command, extra=(odd, odd))


@given(asked=st.lists(USER_ITEMS, max_size=4), answered=st.lists(USER_ITEMS, max_size=4))
@settings(max_examples=40)
def test_odd_user_items_pass_as_they_came(way: Way, asked: list[bytes], answered: list[bytes]) -> None:
    with way.borrowed() as ae:
        extra = (b"".join(asked), b"".join(answered))
        talk(way, ae, ECHO.command, response(ECHO).command, extra=extra)


@pytest.mark.parametrize("size", [0, 3, 5, 40])
def test_release_request_of_any_length_is_answered(
    way: Way, cloud_ae: Ae, scripted: StartServer, size: int
) -> None:
    scripted()
    with Client.open(way.entry(cloud_ae), called=cloud_ae.title) as client:
        assert client.echo() == 0
        client.send(pdu(PduType.RELEASE_RQ, bytes(size)))
        assert client.read_pdu().kind == PduType.RELEASE_RP


@pytest.mark.parametrize("size", [0, 5])
def test_release_response_of_any_length_is_passed_on(
    way: Way, cloud_ae: Ae, scripted: StartServer, size: int
) -> None:
    def target(peer: ServerPeer) -> None:
        peer.accept_association()
        asked = peer.receive()
        assert isinstance(asked, Pdu)
        peer.send(pdu(PduType.RELEASE_RP, bytes(size)))

    scripted(target)
    with Client.open(way.entry(cloud_ae), called=cloud_ae.title) as client:
        client.release()


@pytest.mark.parametrize("body", [b"\0\1\1\7", b"\0\1\1\7\0", b"\0\1\1\7more"])
def test_reject_with_trailing_bytes_stays_the_same_reject(
    way: Way, cloud_ae: Ae, scripted: StartServer, body: bytes
) -> None:
    def target(peer: ServerPeer) -> None:
        peer.read_request()
        peer.send(pdu(PduType.ASSOCIATE_RJ, body))

    scripted(target)
    with pytest.raises(Rejected) as rejected:
        Client.open(way.entry(cloud_ae), called=cloud_ae.title)
    assert rejected.value.triple == (1, 1, 7)


def test_two_command_fields_end_the_association_since_policy_reads_one_of_them(
    way: Way, cloud_ae: Ae, scripted: StartServer
) -> None:
    way.need_mesh()

    def target(peer: ServerPeer) -> None:
        peer.accept_association()
        peer.serve(success)
        assert peer.received == []

    scripted(target)
    contexts = [Context(1, VERIFICATION)]
    with Client.open(way.entry(cloud_ae), called=cloud_ae.title, contexts=contexts) as client:
        client.send_message(Message(1, ECHO.command + element(0x0100, b"\1\0")))
        answer = client.read_pdu()
        assert (answer.kind, answer.body[2:4]) == (PduType.ABORT, b"\2\6")
