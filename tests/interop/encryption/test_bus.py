"""Whoever runs nats-server says again what was said, or makes up what nobody has said."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dimse_mesh.schemas.frames import WHOLE, FrameKind, encode_frame, iter_frames, message_payload
from tests.interop.encryption.conftest import Tapped
from tests.support import dcmtk
from tests.support.files import synthetic, write_file
from tests.support.process import wait_until
from tests.support.scripted import Aborted, Client, Server, ServerPeer
from tests.support.tap import Tapped as Heard
from tests.support.wire import CT_STORAGE, EXPLICIT_LE, VERIFICATION, Context, response, store_rq

CONTEXTS = (Context(1, CT_STORAGE, (EXPLICIT_LE,)), Context(3, VERIFICATION))


@contextmanager
def publisher(port: int) -> Iterator[socket.socket]:
    """Be a client of nats-server that may publish anything."""
    with socket.create_connection(("127.0.0.1", port), 10) as bus:
        bus.sendall(b"CONNECT " + json.dumps({"verbose": False, "headers": True}).encode() + b"\r\n")
        yield bus
        bus.sendall(b"PING\r\n")
        heard = b""
        while b"PONG\r\n" not in heard:
            heard += bus.recv(65536)


def say(bus: socket.socket, messages: Iterable[Heard]) -> None:
    for message in messages:
        total = len(message.headers) + len(message.payload)
        verb, sizes = ("HPUB", f"{len(message.headers)} {total}") if message.headers else ("PUB", str(total))
        line = f"{verb} {message.subject} {message.reply} {sizes}\r\n".replace("  ", " ")
        bus.sendall(line.encode() + message.headers + message.payload + b"\r\n")


def test_what_was_said_before_brings_nothing_to_the_target_again(sealed: Tapped, tmp_path: Path) -> None:
    """Openings, requests, pieces of data sets: all that an association has sent, twice more."""
    received, _ = dcmtk.storescp(
        tmp_path / "received", ae_title="ARCHIVE", port=sealed.mesh.aes["ARCHIVE"].port
    )
    log = (tmp_path / "received").with_suffix(".log")
    with received:
        before = len(sealed.tap.messages)
        for number in (1, 2):
            file = write_file(tmp_path / f"{number}.dcm", synthetic(number, 300_000))
            result = dcmtk.storescu(sealed.entry("hospital"), file, called="ARCHIVE")
            assert result.code == 0, result.output
            if number == 1:
                wait_until(
                    lambda: any(".open." in one.subject for one in sealed.tap.messages[before:]),
                    "the tap has heard an opening",
                )
                said = [
                    one
                    for one in sealed.tap.messages[before:]
                    if one.subject.split(".")[1] in {"ae", "i", "zone"}
                ]
                with publisher(sealed.nats.port) as bus:
                    say(bus, said * 2)
        wait_until(lambda: log.read_text().count("Received Store Request") >= 2, "both objects have come")
    assert log.read_text().count("Received Store Request") == 2


def test_a_response_that_nobody_has_sent_is_not_believed(sealed: Tapped) -> None:
    """A C-STORE-RSP of success, in the executor's name, for an object that the target has not answered."""
    content = synthetic(1, 2_000)
    asked = store_rq(1, content.sop_instance, content.data, sop_class=content.sop_class)
    before = len(sealed.tap.messages)
    has_it = threading.Event()

    def serve(peer: ServerPeer) -> None:
        peer.accept_association()
        peer.receive_message()
        has_it.set()
        with pytest.raises(Aborted):
            peer.receive_message()

    def forge() -> None:
        assert has_it.wait(30)
        with publisher(sealed.nats.port) as bus:
            say(bus, [answer_to_front_end(sealed.tap.messages[before:], response(asked).command)])

    with (
        Server(serve, port=sealed.mesh.aes["ARCHIVE"].port),
        Client.open(sealed.entry("hospital"), called="ARCHIVE", contexts=CONTEXTS) as client,
    ):
        forger = threading.Thread(target=forge)
        forger.start()
        with pytest.raises(Aborted):
            client.exchange(asked)
        forger.join()


def answer_to_front_end(heard: Iterable[Heard], command: bytes) -> Heard:
    """Return a response in the clear, in the place of the executor's first segment."""
    for message in heard:
        tokens = message.subject.split(".")
        if tokens[1:4] == ["i", "hospital", "association"] and tokens[5] == "link":
            channel = next(iter_frames(message.payload)).channel
            frame = encode_frame(
                channel, FrameKind.MESSAGE, *message_payload(command), flags=WHOLE, context_id=1
            )
            return Heard(message.subject, "", b"", frame)
    raise AssertionError("the executor has sent no frame")
