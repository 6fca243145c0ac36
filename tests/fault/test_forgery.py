"""Whoever has the key of another zone, or of another role, knows every message of an association, and tries to use it.

Each user publishes what the parties have said, in their name and in its own, and what would end the association, move
its data or declare its parties dead. None of it may show: nats-server refuses what is in another's name, and receivers
drop what comes from somebody who is no party. The same messages from the rightful sender do their harm.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from dimse_mesh.mesh import pack
from dimse_mesh.schemas.addresses import HalfAddress, InstanceAddress, Role, sender_of
from dimse_mesh.schemas.frames import (
    HEADER,
    LAST,
    AckBody,
    FrameKind,
    encode_ack_body,
    encode_frame,
    encode_u32,
    encode_u64,
    iter_frames,
)
from dimse_mesh.schemas.operation import Refusal
from dimse_mesh.schemas.service import Dead, Heartbeat, Obituary
from dimse_mesh.schemas.subjects import Kind
from dimse_mesh.schemas.version import VERSION
from tests.fault.archive import STORE, Archive
from tests.fault.clients import ask_find, open_client
from tests.fault.conftest import SOLO, Ground, ground
from tests.fault.content import content, instance_uid
from tests.fault.ledger import Ledger
from tests.support.bus import join
from tests.support.permitted import TEST_USER
from tests.support.process import wait_until
from tests.support.scripted import Client
from tests.support.tap import Tap, Tapped
from tests.support.wire import PduType, store_rq

SIZE = 150_000
LAB = "lab"
"""A zone that has keys, and no part in the association."""
USERS = [(zone, role) for zone in ("hospital", "cloud", LAB) for role in Role]


@dataclass(frozen=True, slots=True)
class Scene:
    """One association, as somebody who hears everything knows it."""

    where: Ground
    archive: Archive
    client: Client
    heard: list[Tapped]
    front_end: HalfAddress
    executor: HalfAddress
    association: str

    def store(self, number: int) -> None:
        """Store an object, and see it arrive whole and once."""
        uid = instance_uid(1, 1, number, SIZE)
        self.archive.ledger.sent("C-STORE", uid)
        answer = self.client.exchange(store_rq(number, uid, content(uid, SIZE), context_id=STORE))
        assert answer.status == 0
        self.archive.ledger.answered("C-STORE", uid)
        self.client.received.clear()


@contextmanager
def scene(directory: Path) -> Iterator[Scene]:
    ledger = Ledger()
    with (
        ground(directory, *SOLO, others=[LAB]) as where,
        where.archive(ledger) as (archive, _),
        Tap(where.nats.port) as tap,
    ):
        with open_client(where.entry) as client:
            first = Scene(where, archive, client, [], *_nobody())
            first.store(1)
            ask_find(client, 20)
            client.received.clear()
            wait_until(lambda: None not in _halves(tap.messages), "the tap has heard of both halves")
            heard = tap.messages
            front_end, executor = _halves(heard)
            assert front_end is not None
            assert executor is not None
            yield Scene(where, archive, client, heard, front_end, executor, _association(heard))
        books = ledger.books["C-STORE"]
        assert (books.lost, books.duplicated, books.damaged) == ([], [], [])


def _nobody() -> tuple[HalfAddress, HalfAddress, str]:
    nobody = HalfAddress(InstanceAddress("", Role.COMMAND, "x"), 0)
    return nobody, nobody, ""


def _halves(heard: list[Tapped]) -> tuple[HalfAddress | None, HalfAddress | None]:
    """Return the two halves that frames went to, as far as one has been heard."""
    return _half(heard, "hospital.association"), _half(heard, "cloud.scu")


def _half(heard: list[Tapped], receiver: str) -> HalfAddress | None:
    for message in heard:
        tokens = message.subject.split(".")
        if tokens[1] == "i" and tokens[5] == "link" and ".".join(tokens[2:4]) == receiver:
            for frame in iter_frames(message.payload):
                if frame.kind < FrameKind.PROBE:
                    return HalfAddress(InstanceAddress(tokens[2], Role(tokens[3]), tokens[4]), frame.channel)
    return None


def _association(heard: list[Tapped]) -> str:
    asked = next(message for message in heard if ".open." in message.subject)  # on a busy machine asked twice
    return asked.payload.split(b'"association":"', 1)[1].split(b'"', 1)[0].decode()


def _user_of(message: Tapped) -> tuple[str, Role] | None:
    sender = sender_of(message.subject)
    return None if sender is None else (sender.zone, sender.role)


def deadly_frames(to: HalfAddress, other: HalfAddress) -> dict[FrameKind, bytes]:
    """Return frames that end an association, or spoil it, when they come from its other half."""
    own, far = encode_u32(other.channel), 1 << 40
    return {
        FrameKind.ABORT: encode_frame(to.channel, FrameKind.ABORT, bytes((2, 0)), own),
        FrameKind.RESET: encode_frame(to.channel, FrameKind.RESET, own),
        FrameKind.RELEASE_RQ: encode_frame(to.channel, FrameKind.RELEASE_RQ),
        FrameKind.CANCEL: encode_frame(to.channel, FrameKind.CANCEL, encode_u64(far)),
        FrameKind.DATA: encode_frame(to.channel, FrameKind.DATA, b"forged", flags=LAST, context_id=STORE),
        FrameKind.ACK: encode_frame(
            to.channel, FrameKind.ACK, encode_ack_body(AckBody(far, 0)), position=far, acknowledged=far
        ),
        FrameKind.NACK: encode_frame(to.channel, FrameKind.NACK, encode_ack_body(AckBody(0, 0))),
        FrameKind.PROBE: encode_frame(to.channel, FrameKind.PROBE, own, position=7, acknowledged=far),
        FrameKind.TAKEN: encode_frame(to.channel, FrameKind.TAKEN, own),
    }


def forged(scene: Scene) -> Iterator[tuple[InstanceAddress, Kind | str, bytes]]:
    """Yield what would do harm if it came from the right one: receiver, kind of subject, payload."""
    for to, other in ((scene.front_end, scene.executor), (scene.executor, scene.front_end)):
        for frame in deadly_frames(to, other).values():
            yield to.instance, Kind.LINK, frame
            yield to.instance, Kind.DATA, frame
        for position in (0, 1 << 20):
            refusal = Refusal(
                association=scene.association, channel=to.channel, position=position, code="forged"
            )
            yield to.instance, Kind.REFUSED, pack(refusal)
        yield to.instance, Kind.PONG, b""
        yield to.instance, Kind.SLOTS, pack(Refusal(association="x", channel=1, position=1, code="x"))
    dead = tuple(
        Dead(role=h.instance.role, instance=h.instance.instance) for h in (scene.front_end, scene.executor)
    )
    for named in dead:
        yield scene.front_end.instance, "dead", pack(Obituary(dead=named))
    yield scene.front_end.instance, "live", pack(Heartbeat(server_id="X", dead=dead))
    yield scene.front_end.instance, Kind.GREETING, pack(Heartbeat(server_id="X", dead=dead))


async def attack(scene: Scene, user: tuple[str, Role]) -> None:
    """Publish, as that user, everything that was heard from others and everything that is forged."""
    assert scene.where.bus is not None
    settings = scene.where.bus.settings(*user, scene.where.nats.url)
    async with join(settings, InstanceAddress(*user, "evil")) as mesh:
        own, root = mesh.address.tokens, mesh.subjects.root
        for message in scene.heard:
            if not message.subject.startswith(f"{root}.") or _user_of(message) == user:
                continue
            mesh.publish(message.subject, message.payload, reply=message.reply)
            named = message.subject.rsplit(".", 3)[0]
            mesh.publish(f"{named}.{own}", message.payload, reply=message.reply)
        for receiver, kind, payload in forged(scene):
            if isinstance(kind, Kind):
                mesh.publish(mesh.subjects.to(receiver, kind), payload)
            else:
                mesh.publish(f"{root}.{kind}.{own}", payload)
            for party in (scene.front_end, scene.executor):
                if (party.instance.zone, party.instance.role) != user and isinstance(kind, Kind):
                    mesh.publish(f"{root}.i.{receiver.tokens}.{kind}.{party.instance.tokens}", payload)
        await mesh.subscribe(mesh.subjects.mine(Kind.LINK), lambda _: None)  # behind all of it


@pytest.mark.parametrize("zone", ["hospital", "cloud", LAB])
def test_no_other_user_can_touch_an_association(
    tmp_path: Path, zone: str, caplog: pytest.LogCaptureFixture
) -> None:
    with scene(tmp_path) as played, caplog.at_level(logging.ERROR):
        for number, user in enumerate((user for user in USERS if user[0] == zone), 2):
            anyio.run(attack, played, user)
            played.store(number)
        ask_find(played.client, 20)
        played.client.received.clear()
        played.client.release()
        wait_until(lambda: played.archive.released == 1, "the release")
        instances = played.where.fleet.instances
        assert all(instance.child.returncode is None for instance in instances)
        refused = played.where.nats.log.read_text().count("Publish Violation")
        said = "".join(instance.child.log.read_text() for instance in instances)
    assert refused > len(played.heard)
    assert any(f"of zone {zone} publish to" in record.getMessage() for record in caplog.records)
    assert "Traceback" not in said


@pytest.mark.parametrize("kind", [FrameKind.ABORT, FrameKind.RESET])
def test_the_same_frames_from_the_other_half_end_the_association(tmp_path: Path, kind: FrameKind) -> None:
    """So the attacks above would be seen if they came through."""

    async def send(played: Scene) -> None:
        assert played.where.bus is not None
        settings = played.where.bus.settings("cloud", Role.SCU, played.where.nats.url)
        async with join(settings, played.executor.instance) as mesh:
            frame = deadly_frames(played.front_end, played.executor)[kind]
            mesh.publish(mesh.subjects.to(played.front_end.instance, Kind.LINK), frame)

    with scene(tmp_path) as played:
        anyio.run(send, played)
        answer = played.client.read_pdu()
        assert answer is not None
        assert answer.kind == PduType.ABORT


def rubbish(root: str, scene: Scene) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield subject, header block and payload of what is no message, from a zone that has no part."""
    evil = InstanceAddress(LAB, Role.SCU, "evil").tokens.encode()
    parties = [scene.front_end.instance, scene.executor.instance]
    status, broken = b"NATS/1.0 503\r\n\r\n", b"NATS/1.0\r\n\xff\xfe: \x00\r\nno colon\r\n:\r\n\r\n"
    bodies = [
        b"",
        b"\x10",
        b"\x10\xff\xff\xff",
        b"\x20\0\0\2{}",
        b"\x10\0\0\2{}",
        b"\x10\0\0\6[[[[[[",
        b"\0" * 28,
        b"\xff" * 300,
    ]
    kinds = [f"i.{party.tokens}.{kind}".encode() for party in parties for kind in (*Kind, "other")]
    for subject in (b"live", b"dead", b"ae.ARCHIVE.open", b"zone.cloud.open", b"zone.hospital.store", *kinds):
        for body in bodies:
            for header in (b"", status, broken):
                yield b"%s.%s.%s" % (root.encode(), subject, evil), header, body
        yield b"%s.%s.%s.scu.\xff\xfe" % (root.encode(), subject, LAB.encode()), b"", b""
        yield b"%s.%s.%s" % (root.encode(), subject, b"x" * 2500), b"", b""
    for party in parties:
        for channel in ("x", "²", "٣", str(1 << 80), str(scene.front_end.channel)):
            yield f"{root}.i.{party.tokens}.unserved.{channel}".encode(), broken, b""
        yield f"{root}.i.{party.tokens}.pong.{evil.decode()}".encode(), status, b"\xff" * 5000
    for number in range(100):
        told = {f"A{number:03}{title:010}": 1 for title in range(1024)}
        dead = tuple(Dead(role="scu", instance=f"d{number}-{one}") for one in range(64))
        heartbeat = pack(Heartbeat(server_id="X", associations=told, dead=dead))
        yield f"{root}.live.{LAB}.scu.evil{number}".encode(), b"", heartbeat


def flood(scene: Scene, kind: FrameKind) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield 2 MB of frames of a kind for each party and channel: one that is there, and one that is not.

    Of all kinds, either party gets 36 MB: more than it may grow.
    """
    for to, other in ((scene.front_end, scene.executor), (scene.executor, scene.front_end)):
        sender = InstanceAddress(LAB, other.instance.role, "evil")
        for half in (to, HalfAddress(to.instance, 1)):
            frame = deadly_frames(half, other)[kind]
            body = frame * (1_000_000 // len(frame))
            for _ in range(2):
                yield f"DIMSE.i.{to.instance.tokens}.link.{sender.tokens}".encode(), b"", body


def publish_raw(port: int, messages: Iterator[tuple[bytes, bytes, bytes]]) -> None:
    """Publish what our own client would refuse to, and return when the server has it."""
    with socket.create_connection(("127.0.0.1", port), 10) as nats, nats.makefile("rb") as stream:
        assert stream.readline().startswith(b"INFO ")
        user = b'"user":"%s","pass":"%s"' % (TEST_USER.encode(), TEST_USER.encode())
        nats.sendall(b'CONNECT {"verbose":false,"pedantic":false,"headers":true,%s}\r\n' % user)
        for subject, header, body in messages:
            total = len(header) + len(body)
            line = (
                b"HPUB %s %d %d" % (subject, len(header), total)
                if header
                else b"PUB %s %d" % (subject, total)
            )
            nats.sendall(b"%s\r\n%s%s\r\n" % (line, header, body))
        nats.sendall(b"PING\r\n")
        while (line := stream.readline()) != b"PONG\r\n":
            assert line, "nats-server has closed the connection"


def test_rubbish_and_floods_cost_little_and_end_nothing(tmp_path: Path) -> None:
    with scene(tmp_path) as played:
        instances, port = played.where.fleet.instances, played.where.nats.port
        before = {instance.pid: instance.allocated() for instance in instances}
        publish_raw(port, rubbish("DIMSE", played))
        played.store(2)
        for number, kind in enumerate(deadly_frames(played.front_end, played.executor), 3):
            publish_raw(port, flood(played, kind))
            played.store(number)  # behind it
        ask_find(played.client, 20)
        played.client.received.clear()
        grown = {f"{i.zone}/{i.service}": i.allocated() - before[i.pid] for i in instances}
        played.client.release()
        wait_until(lambda: played.archive.released == 1, "the release")
        said = "".join(instance.child.log.read_text() for instance in instances)
        assert all(instance.child.returncode is None for instance in instances)
    assert max(grown.values()) < 24 << 20, grown
    for fault in ("Traceback", "lost the connection", " raised "):
        assert fault not in said, [line for line in said.splitlines() if fault in line][:5]
    assert "dropped a malformed heartbeat, from scu of zone lab" in said
    assert "dropped frames, which only another endpoint sends, from scu of zone lab" in said
    assert "lacks the permission" not in said, "a stranger is answered where we may not publish"
    assert len(said) < 100_000, "rubbish fills the log"


def test_tiny_frames_that_come_early_hold_no_large_messages(tmp_path: Path) -> None:
    """From the other half, whose key was stolen: its frames count, and what it puts beside them is let go."""
    with scene(tmp_path) as played:
        to, sender = played.front_end, played.executor.instance
        (front_end,) = played.where.fleet.of("association")
        subject = f"DIMSE.i.{to.instance.tokens}.link.{sender.tokens}".encode()
        filler = HEADER.pack(to.channel, 30, 0, 0, VERSION.octet, 250_000, 0, 0) + bytes(250_000)
        tiny = (
            encode_frame(to.channel, FrameKind.DATA, b"x", position=(1 << 20) + 2 * number)
            for number in range(400)
        )
        before = front_end.allocated()
        publish_raw(played.where.nats.port, ((subject, b"", frame + filler) for frame in tiny))
        played.store(2)  # behind it
        grown = front_end.allocated() - before
    assert grown < 24 << 20
