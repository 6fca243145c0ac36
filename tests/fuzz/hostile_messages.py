"""Messages of a participant of the bus whose key was stolen: on subjects that its role may publish to, and false.

Well-formed ones name real associations, channels and instances; odd ones are damaged or of another kind; forged ones
are what others have said.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dimse_mesh.mesh import pack
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.association import OpenReply, OpenRequest, OpenResult
from dimse_mesh.schemas.frames import FrameKind, encode_frame, encode_u32, iter_frames
from dimse_mesh.schemas.operation import OperationRequest, Refusal
from dimse_mesh.schemas.service import Dead, Heartbeat, Obituary, WireModel
from dimse_mesh.schemas.slots import SlotRequest
from dimse_mesh.schemas.spool import Manifest
from dimse_mesh.schemas.spool_subjects import RoutePriority
from dimse_mesh.schemas.subjects import Kind
from tests.compat.record import MANIFEST, MODELS
from tests.fuzz.bus_targets import TARGETS
from tests.fuzz.mutation import mutated
from tests.fuzz.raw_user import Published
from tests.support.tap import Tapped
from tests.support.wire import VERIFICATION, Command, Context, associate_rq, request

HEADERS = (
    b"",
    b"",
    b"",
    b"NATS/1.0\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n",
    b"NATS/1.0\r\ntraceparent: x\r\nerror: \xff\r\n\r\n",
    b"NATS/1.0 503\r\n\r\n",
    b"NATS/1.0 404 No\r\nNats-Sequence: -1\r\n\r\n",
    b"NATS/1.0\r\nNats-Stream: x\r\nNats-Sequence: x\r\n\r\n",
    b"NATS/1.0\r\nNats-Msg-Id: 0.x\r\n\r\n",
    b"NATS/1.0\r\n\xff\xfe: \0\r\nno colon\r\n:\r\n\r\n",
)
LARGEST = 60_000
FRAMES = tuple(seed for target in TARGETS if target.name == "frames" for seed in target.seeds())


@dataclass(frozen=True, slots=True)
class Overheard:
    """What is known of the mesh.

    Attributes:
        instances: those that live.
        heard: messages of honest associations, whoever sent them.
        channels: of honest associations.
        associations: their ids.
    """

    instances: Sequence[InstanceAddress]
    heard: Sequence[Tapped]
    channels: Sequence[int]
    associations: Sequence[str]


def overheard(messages: Sequence[Tapped], root: str) -> Overheard:
    """Learn what a tap has heard."""
    instances, channels, associations = set(), set(), set()
    for message in messages:
        tokens = message.subject.split(".")
        if tokens[0] != root or len(tokens) < 5:
            continue
        zone, role, instance = tokens[-3:]
        if role in set(Role):
            instances.add(InstanceAddress(zone, Role(role), instance))
        if len(tokens) > 5 and tokens[5] in {Kind.LINK, Kind.DATA}:
            channels |= {frame.channel for frame in iter_frames(message.payload)}
        if b'"association":"' in message.payload[:400]:
            associations.add(
                message.payload.split(b'"association":"', 1)[1].split(b'"', 1)[0].decode("latin-1")
            )
    chosen = [message for message in messages if message.subject.startswith(f"{root}.")]
    return Overheard(sorted(instances), chosen[-2000:], sorted(channels), sorted(associations))


def subject_for(pattern: str, known: Overheard, rng: random.Random) -> str:
    """Return a subject that a pattern of a permission matches: with names that exist, mostly."""
    tokens = pattern.split(".")
    for at, token in enumerate(tokens):
        if token != "*":
            continue
        here = rng.choice(known.instances)
        before = tokens[1] if len(tokens) > 1 else ""
        names = {
            ("i", 2): here.zone,
            ("i", 3): here.role.value,
            ("ae", 2): rng.choice(("SINK", "NOBODY", "%", "A%20B")),
            ("zone", 2): rng.choice(("cloud", "hospital", "nowhere")),
        }
        tokens[at] = names.get((before, at), "")
        if before == "i" and at == 4:
            same = [one for one in known.instances if [one.zone, one.role.value] == tokens[2:4]]
            tokens[at] = rng.choice(same or known.instances).instance
        if at == len(tokens) - 1 and before == "spool":
            tokens[at] = rng.choice((*RoutePriority, "evil"))
        elif at == len(tokens) - 1:
            tokens[at] = rng.choice(("evil", f"evil{rng.randrange(40)}", "x" * 64, "-", "\u00b2", "x" * 200))
        tokens[at] = tokens[at] or rng.choice(("evil", "0" * 32, "%00", "z"))
    return ".".join(tokens)


def payload_for(subject: str, known: Overheard, rng: random.Random) -> bytes:
    """Return a payload: what belongs on a subject, what does not, and both damaged."""
    made = _well_formed(subject, known, rng)
    match rng.randrange(8):
        case 0:
            return mutated([made], rng)
        case 1:
            return mutated([made, rng.choice(known.heard).payload[:4000]], rng)
        case 2:
            return rng.choice(known.heard).payload[:LARGEST]
        case 3:
            return rng.randbytes(rng.choice((0, 1, 28, 300)))
        case 4:
            return pack(rng.choice(MODELS), rng.randbytes(rng.randrange(40)))
        case _:
            return made


def _well_formed(subject: str, known: Overheard, rng: random.Random) -> bytes:
    tokens = subject.split(".")
    kind = tokens[5] if tokens[1] == "i" and len(tokens) > 5 else tokens[1]
    channel = rng.choice((*known.channels, 1, 0, 0xFFFF_FFFF))
    association = rng.choice((*known.associations, "x"))
    model: WireModel
    match kind:
        case Kind.LINK | Kind.DATA:
            return _frames(channel, rng)
        case "live" | Kind.GREETING:
            model = Heartbeat(
                server_id="X",
                associations={f"A{number}": number for number in range(rng.randrange(200))},
                dead=_dead(known, rng),
            )
        case "dead":
            model = Obituary(dead=(*_dead(known, rng), Dead(role="scu", instance="x"))[0])
        case "ae":
            return pack(
                _opening(association, channel),
                associate_rq(called="SINK", contexts=[Context(1, VERIFICATION)]),
            )
        case Kind.OP | "zone":
            return _operation(association, channel, known, rng)
        case Kind.REFUSED:
            model = Refusal(
                association=association, channel=channel, position=rng.randrange(1 << 40), code="forged"
            )
        case Kind.SLOTS:
            model = SlotRequest(ae_title="ARCHIVE", holding=rng.randrange(1_000_000), limit=rng.randrange(4))
        case Kind.INBOX:
            model = OpenReply(result=OpenResult.ACCEPTED, channel=channel, window=1 << 20)
        case "spool":
            command = request(Command.C_STORE, 1, "1.2.840.10008.5.1.4.1.1.2").command
            manifest: Manifest = MANIFEST.model_copy(
                update={
                    "object_id": f"{rng.getrandbits(128):032x}",
                    "command_length": len(command),
                    "chunks": rng.choice((0, 1, 3)),
                    "size": rng.choice((0, 4, 1 << 20)),
                }
            )
            return pack(manifest, command + b"tail")
        case _:
            return rng.choice((b"", b"X", b"\xff" * 100))
    return pack(model)


def _frames(channel: int, rng: random.Random) -> bytes:
    far = rng.choice((0, 1, 1 << 20, (1 << 64) - 1))
    kinds = [*FrameKind, *FrameKind]
    frames = [
        encode_frame(
            channel,
            rng.choice(kinds),
            rng.choice((b"", rng.randbytes(4), rng.randbytes(8), rng.randbytes(12), rng.choice(FRAMES)[28:])),
            position=rng.choice((0, rng.randrange(1 << 20), far)),
            acknowledged=far,
            flags=rng.randrange(4),
            context_id=rng.choice((1, 3, 255)),
        )
        for _ in range(rng.randrange(1, 5))
    ]
    return b"".join(frames)


def _dead(known: Overheard, rng: random.Random) -> tuple[Dead, ...]:
    named = rng.sample(known.instances, min(len(known.instances), rng.randrange(5)))
    return tuple(Dead(role=one.role, instance=one.instance) for one in named)


def _opening(association: str, channel: int) -> OpenRequest:
    return OpenRequest(
        association=association,
        channel=channel,
        called_ae="SINK",
        calling_ae="EVIL",
        delivery="live",
        window=1 << 20,
        deadline=1.0,
    )


def _operation(association: str, channel: int, known: Overheard, rng: random.Random) -> bytes:
    source, sink = rng.choice(known.instances), rng.choice(known.instances)
    command = request(
        rng.choice((Command.C_ECHO, Command.C_STORE, Command.C_FIND, Command.C_GET)), 1, VERIFICATION
    ).command
    head = OperationRequest(
        association=association,
        source=source.tokens,
        source_channel=channel,
        sink=sink.tokens,
        calling_ae="X",
        called_ae="Y",
        from_client=rng.random() < 0.5,
    )
    frames = b"".join(
        encode_frame(
            rng.choice((*known.channels, 1)),
            rng.choice((FrameKind.MESSAGE, FrameKind.MESSAGE, FrameKind.MESSAGE, *FrameKind)),
            encode_u32(rng.choice((len(command), len(command), 0, 1 << 20))),
            command,
            position=rng.randrange(1 << 20),
            acknowledged=rng.choice((0, 1 << 40)),
            flags=rng.randrange(4),
            context_id=rng.randrange(256),
        )
        for _ in range(rng.choice((1, 1, 1, 0, 2)))
    )
    return pack(head, frames)


def hostile_messages(
    patterns: Sequence[str], known: Overheard, rng: random.Random, *, inbox: str
) -> Iterator[Published]:
    """Yield messages without end, on subjects that match the patterns of a user's permissions.

    Args:
        inbox: where it may have replies sent.
    """
    while True:
        subject = subject_for(rng.choice(patterns), known, rng)
        reply = rng.choice(("", "", inbox, "x", f"{inbox}.{'y' * 300}", rng.choice(known.heard).reply))
        yield Published(
            subject.encode(),
            payload_for(subject, known, rng),
            rng.choice(HEADERS),
            reply.encode("utf-8", "replace"),
        )
