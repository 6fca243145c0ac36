"""Ctrl-C and --max: the target of the other zone gets C-CANCEL, and what it says then is the end."""

from __future__ import annotations

import signal
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.forking import COMMANDS
from tests.support.mesh import COMMAND, Ae, Mesh, two_zones
from tests.support.process import Child, wait_until
from tests.support.scripted import Server, ServerPeer
from tests.support.wire import (
    CT_STORAGE,
    Command,
    Message,
    Pdu,
    PduType,
    Status,
    Tag,
    response,
    role_selection,
    store_rq,
)

RUN: dict[str, tuple[str, ...]] = {
    "find": (),
    "move": ("--to", "HOME"),
    "get": ("--output", "got", "--sop-class", "CT"),
}


def answer(number: int) -> bytes:
    value = f"1.2.{number}".encode()
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HH2sH", 0x20, 0x0D, b"UI", len(value)) + value


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with two_zones(tmp_path_factory.mktemp("mesh"), pool=1) as mesh:
        yield mesh


@pytest.fixture
def target(mesh: Mesh) -> Ae:
    return mesh.aes["CLOUD01"]


def start(mesh: Mesh, folder: Path, command: str, *more: str) -> Child:
    arguments = [*RUN[command], "-k", "StudyInstanceUID=1.2", *more]
    hospital, nats = mesh.directory / "hospital.yaml", f"nats://127.0.0.1:{mesh.nats_port}"
    return Child(
        [*COMMAND, command, "CLOUD01", *arguments, "--config", str(hospital), "--nats", nats],
        log=folder / "log",
        cwd=folder,
        fork=COMMANDS,
    )


class Slow:
    """A target that answers once, and then only to C-CANCEL; `asked` fills when it has answered."""

    def __init__(self, port: int, *, heeds: bool = True) -> None:
        self.cancelled: list[int] = []
        self.asked: list[Message] = []
        self._heeds = heeds
        self.server = Server(self._script, port=port)

    def _script(self, peer: ServerPeer) -> None:
        peer.accept_association(extra=role_selection(CT_STORAGE, scu=0, scp=1))
        asked = peer.receive_message()
        if asked.field == Command.C_GET:
            peer.send_message(store_rq(1, "1.2.3", b"data", context_id=3))
            assert peer.receive_message().status == 0
        data = answer(1) if asked.field == Command.C_FIND else None
        peer.send_message(response(asked, Status.PENDING, data=data))
        self.asked.append(asked)
        cancel = peer.receive_message()
        assert cancel.field == Command.C_CANCEL
        self.cancelled.append(cancel.number(Tag.RESPONDED_MESSAGE_ID))
        if self._heeds:
            peer.send_message(response(asked, Status.CANCELLED))
            peer.serve(lambda _: ())
        else:
            ended = peer.receive()
            assert isinstance(ended, Pdu)
            assert ended.kind == PduType.ABORT


def wait_until_asked(slow: Slow) -> None:
    wait_until(lambda: bool(slow.asked), "the request")


@pytest.mark.parametrize("command", sorted(RUN))
def test_ctrl_c_cancels_at_the_target(mesh: Mesh, target: Ae, tmp_path: Path, command: str) -> None:
    slow = Slow(target.port)
    with slow.server, start(mesh, tmp_path, command) as child:
        wait_until_asked(slow)
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=20) == 130, child.describe()
    assert slow.cancelled == [slow.asked[0].number(Tag.MESSAGE_ID)]
    assert "cancelled" in child.output
    if command == "get":
        assert [path.name for path in (tmp_path / "got").iterdir()] == ["1.2.3.dcm"]


def test_second_ctrl_c_does_not_wait_for_the_target(mesh: Mesh, target: Ae, tmp_path: Path) -> None:
    slow = Slow(target.port, heeds=False)
    with slow.server, start(mesh, tmp_path, "move") as child:
        wait_until_asked(slow)
        child.send_signal(signal.SIGINT)
        wait_until(lambda: bool(slow.cancelled), "the C-CANCEL")
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=20) == 130, child.describe()


def test_max_cancels_and_succeeds(mesh: Mesh, target: Ae, tmp_path: Path) -> None:
    cancelled: list[Message] = []

    def script(peer: ServerPeer) -> None:
        peer.accept_association()
        asked = peer.receive_message()
        for number in range(10):
            peer.send_message(response(asked, Status.PENDING, data=answer(number)))
        cancelled.append(peer.receive_message())
        peer.send_message(response(asked, Status.CANCELLED))
        peer.serve(lambda _: ())

    with Server(script, port=target.port), start(mesh, tmp_path, "find", "--max", "3") as child:
        assert child.wait(timeout=20) == 0, child.describe()
    assert [message.field for message in cancelled] == [Command.C_CANCEL]
    assert "3 matches; there may be more" in child.output
    assert [f"1.2.{number}" in child.output.split() for number in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("command", sorted(RUN))
@pytest.mark.parametrize("failure", ["status", "abort"])
def test_failure_of_the_target_is_the_exit_code(
    mesh: Mesh, target: Ae, tmp_path: Path, command: str, failure: str
) -> None:
    def script(peer: ServerPeer) -> None:
        peer.accept_association(extra=role_selection(CT_STORAGE, scu=0, scp=1))
        asked = peer.receive_message()
        if failure == "abort":
            peer.send(bytes((PduType.ABORT, 0, 0, 0, 0, 4, 0, 0, 0, 0)))
            return
        peer.send_message(response(asked, 0xC001))
        peer.serve(lambda _: ())

    with Server(script, port=target.port), start(mesh, tmp_path, command) as child:
        assert child.wait(timeout=20) == 1, child.describe()
    assert ("status C001H" if failure == "status" else "aborted") in child.output


@pytest.mark.parametrize("command", sorted(RUN))
def test_ae_that_nobody_serves_is_told(mesh: Mesh, tmp_path: Path, command: str) -> None:
    child = start(mesh, tmp_path, command)
    with child:
        assert child.wait(timeout=20) == 1
    # Nobody listens at the AE's port.
    assert "rejected" in child.output
