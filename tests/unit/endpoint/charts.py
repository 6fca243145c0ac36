"""Sequence charts of one association half: what happens to it, and what it does then, in order and nothing else.

"peer > RELEASE_RQ"      our peer sends an A-RELEASE-RQ
"> mesh RELEASE_RQ 0"    the half publishes a frame, at position 0
"mesh > RELEASE_RP"      a frame comes from the other half
"> peer RELEASE_RP"      the half tells its peer
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dimse_mesh.endpoint import AssociationHalf, AssociationIdentity
from dimse_mesh.endpoint.courier import Courier
from dimse_mesh.endpoint.peer import PROVIDER_ABORT, PeerUser
from dimse_mesh.endpoint.ports import Half
from dimse_mesh.mesh import Message, Turn
from dimse_mesh.runtime.counters import Counters
from dimse_mesh.runtime.telemetry import Telemetry
from dimse_mesh.schemas.addresses import HalfAddress, InstanceAddress, Role
from dimse_mesh.schemas.frames import AckBody, Closing, Frame, FrameKind, encode_ack_body, iter_frames
from dimse_mesh.schemas.subjects import Subjects
from dimse_mesh.streams.congestion import CongestionWindow
from dimse_mesh.streams.outbound import Budget
from dimse_mesh.upper_layer import Abort, AbortReason
from tests.support.wire import VERIFICATION, Command, request, response
from tests.support.wire import Message as DimseMessage
from tests.unit.endpoint.joined import CONTEXTS, EXECUTOR, FRONT, SETTINGS

ECHO = request(Command.C_ECHO, 1, VERIFICATION)
ANSWER = response(ECHO)
MESSAGES: Mapping[str, DimseMessage] = {"C-ECHO-RQ": ECHO, "C-ECHO-RSP": ANSWER}


class ChartPeer:
    """A peer that notes what it is told."""

    def __init__(self, note: Callable[[str], None], *, half_close: bool) -> None:
        self._note = note
        self._half_close = half_close
        self.user: PeerUser | None = None
        self.bytes_received = 0
        self.reading = True
        self.contended = False
        self.in_mid_pdu = False
        self.writable = True
        self.backlog = 0
        self.release_requested = False
        self.owes_release = False
        self.takes_messages = True

    def join(self, user: PeerUser, *, max_pdu: int, max_length: int) -> None:  # noqa: ARG002
        self.user = user

    def give_way(self) -> None: ...

    def leave(self) -> None:
        self.user = None

    def end_turn(self) -> None: ...

    def rest(self, seconds: float) -> None: ...

    def pause_reading(self) -> None:
        self._note("> peer held back")

    def resume_reading(self, most: int | None = None) -> None: ...

    def write_message(self, context_id: int, command: bytes, data: bytes | memoryview | None) -> int:
        message = DimseMessage(context_id, command, None if data is None else bytes(data))
        self._note("> peer " + next(name for name, known in MESSAGES.items() if known == message))
        return len(command)

    def write_data(self, context_id: int, data: bytes | memoryview, *, last: bool) -> int:
        raise AssertionError((context_id, data, last))

    def write_pdus(self, pdus: memoryview, *, largest: int) -> int:
        raise AssertionError((pdus, largest))

    def request_release(self) -> None:
        self.owes_release = True
        self._note("> peer RELEASE_RQ")

    def answer_release(self) -> None:
        self._note("> peer RELEASE_RP")

    def abort(self, abort: Abort = PROVIDER_ABORT) -> None:
        self._note(f"> peer ABORT {abort.source} {abort.reason}")

    def refuse(self, reason: AbortReason) -> None:
        self._note(f"> peer ABORT 2 {int(reason)}")

    def end_output(self) -> bool:
        if self._half_close:
            self._note("> peer FIN")
        return self._half_close

    def close(self) -> None:
        self._note("> peer close")


class ChartInstance:
    """The shell of one half: a clock that stands still, and a bus that notes what is published."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self.address = FRONT
        self.subjects = Subjects("T", FRONT)
        self.turn = Turn()
        self.connected = True
        self.courier = Courier(self)
        self.counters = Counters()
        self.telemetry = Telemetry()
        self.settings = SETTINGS
        self.budget = Budget(SETTINGS.max_buffered)
        self.time = asyncio.get_running_loop().time()
        self.now: Callable[[], float] = lambda: self.time

    def outage(self, now: float) -> float:  # noqa: ARG002
        return 0.0

    def congestion_window_to(self, instance: InstanceAddress) -> CongestionWindow:  # noqa: ARG002
        return CongestionWindow(asyncio.get_running_loop())

    def linked(self, half: Half) -> None: ...

    def ended(self, half: Half, *, tell: Abort | None, keep: bool) -> None:  # noqa: ARG002
        if tell is not None:
            self._note(f"> mesh ABORT {tell.source} {tell.reason}")
        self._note("kept" if keep else "forgotten")

    def watch(self, half: Half) -> None: ...

    def call_later(self, half: Half, seconds: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        raise AssertionError((half, seconds, action))

    def acknowledge_later(self, half: Half) -> None: ...

    def frame_of_stranger(self, half: Half, frame: Frame, sender: InstanceAddress) -> bool:
        raise AssertionError((half, frame, sender))

    # the bus

    def publish(
        self, subject: str, payload: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> bool:
        assert not reply
        assert headers is None
        assert f".i.{EXECUTOR.tokens}." in subject
        for frame in iter_frames(payload):
            if frame.kind in {FrameKind.ACK, FrameKind.NACK}:
                self._note(f"> mesh {FrameKind(frame.kind).name} of {frame.acknowledged}")
            else:
                self._note(f"> mesh {FrameKind(frame.kind).name} {frame.position}")
        return True

    def publish_bulk(self, subject: str, *parts: bytes | memoryview) -> bool:
        return self.publish(subject, b"".join(parts))

    def on_change(self, callback: Callable[[bool], None]) -> None: ...

    def on_bulk_room(self, callback: Callable[[], None]) -> None: ...

    async def subscribe(
        self, subject: str, callback: Callable[[Message], object], *, queue: str = "", bulk: bool = False
    ) -> Any:
        raise AssertionError((subject, callback, queue, bulk))


class Chart:
    """One half whose association stands, between a peer and the mesh."""

    def __init__(self, *, half_close: bool = True) -> None:
        self.done: list[str] = []
        self._position = 0
        self.peer = ChartPeer(self.done.append, half_close=half_close)
        self.instance = ChartInstance(self.done.append)
        self.ended: list[str] = []
        self.half = AssociationHalf(
            instance=self.instance,
            peer=self.peer,
            identity=AssociationIdentity(
                association="a",
                home_zone=FRONT.zone,
                calling_ae="CLIENT",
                called_ae="TARGET",
                from_client=True,
                local=HalfAddress(FRONT, 1),
            ),
            on_end=self.ended.append,
        )
        self.half.establish(
            remote=HalfAddress(InstanceAddress("away", Role.SCU, "executor"), 2),
            window=SETTINGS.window,
            max_pdu=16384,
            accepted_contexts=CONTEXTS,
            max_length=16384,
        )

    def play(self, lines: Sequence[str]) -> None:
        """Let what stands left of `>` happen, and see what follows."""
        events = [index for index, line in enumerate(lines) if not _is_action(line)]
        for index, following in zip(events, [*events[1:], len(lines)], strict=True):
            self.done.clear()
            self._happen(lines[index])
            self.instance.courier.flush()
            assert self.done == list(lines[index + 1 : following]), f"after {lines[index]!r}"

    def _happen(self, line: str) -> None:
        who, _, what = line.partition(" > ")
        name, *numbers = what.split()
        if who == "time":
            self.instance.time += float(name)
            self.half.sweep(self.instance.time)
        elif who == "mesh":
            self._frame_comes(name, [int(number) for number in numbers])
        else:
            self._peer_says(name, [int(number) for number in numbers])

    def _peer_says(self, name: str, numbers: list[int]) -> None:
        user = self.peer.user
        assert user is not None
        if name in MESSAGES:
            message = MESSAGES[name]
            self.peer.bytes_received += len(message.command)
            user.pdvs_received([(message.context_id, 3, memoryview(message.command))])
            user.read_ended()
        elif name == "RELEASE_RQ":
            self.peer.release_requested = True
            user.release_requested()
        elif name == "RELEASE_RP":
            user.released()
        elif name == "ABORT":
            user.aborted(Abort(*numbers))
        elif name == "FIN":
            user.input_ended()
        elif name == "gone":
            user.closed()
        else:
            raise AssertionError(name)

    def _frame_comes(self, name: str, numbers: list[int]) -> None:
        kind = FrameKind["MESSAGE" if name in MESSAGES else name]
        payload, position, acknowledged, flags, context = b"", self._position, 0, 0, 0
        if kind == FrameKind.MESSAGE:
            message = MESSAGES[name]
            payload = len(message.command).to_bytes(4, "big") + message.command
            flags, context = 1, message.context_id
            self._position += len(message.command)
        elif kind == FrameKind.CLOSE:
            payload = bytes((Closing(numbers[0]),))
            self._position += 1
        elif kind == FrameKind.ACK:
            position = acknowledged = self.half.sender.outbound.position
            payload = encode_ack_body(AckBody(position, 0))
        elif kind == FrameKind.ABORT:
            payload = bytes(numbers) + (2).to_bytes(4, "big")
        else:
            self._position += 1
        self.half.frame_received(Frame(1, kind, flags, context, position, acknowledged, memoryview(payload)))


def _is_action(line: str) -> bool:
    return line.startswith(">") or line in ("kept", "forgotten")
