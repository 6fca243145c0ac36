"""Odd answers of targets: what can be kept or shown is, what can't is named, and nothing else is lost."""

from __future__ import annotations

import json
import stat
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from dimse_mesh.app.dicom_file import read_dicom_file
from tests.support.mesh import Mesh, two_zones
from tests.support.scripted import Server, ServerPeer
from tests.support.wire import (
    CT_STORAGE,
    Command,
    Message,
    Status,
    Tag,
    request,
    response,
    role_selection,
    store_rq,
)
from tests.unit.app.test_cli import dimse_mesh

COMPLETED, FAILED = 0x1021, 0x1022


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with two_zones(tmp_path_factory.mktemp("mesh"), pool=1) as mesh:
        yield mesh


class Sender:
    """A target that answers a C-GET with these C-STORE requests and this final response."""

    def __init__(self, objects: Iterable[Message], final: int = 0) -> None:
        self.statuses: list[int] = []
        self._objects = objects
        self._final = final

    def __call__(self, peer: ServerPeer) -> None:
        """Serve an association."""
        peer.accept_association(extra=role_selection(CT_STORAGE, scu=0, scp=1))
        peer.serve(lambda message: self._answers(peer, message))

    def _answers(self, peer: ServerPeer, asked: Message) -> Iterable[Message]:
        assert asked.field == Command.C_GET
        assert peer.request is not None
        context_id = next(item.id for item in peer.request.contexts if item.abstract == CT_STORAGE)
        for item in self._objects:
            peer.send_message(Message(context_id, item.command, item.data))
            self.statuses.append(peer.receive_message().status)
            yield response(asked, Status.PENDING)
        failed = sum(status != 0 for status in self.statuses)
        more: dict[int, int | str | bytes] = {COMPLETED: len(self.statuses) - failed, FAILED: failed}
        yield response(asked, self._final, more=more)


def run(
    mesh: Mesh, script: Callable[[ServerPeer], None], command: str, *arguments: str | Path
) -> CompletedProcess[str]:
    """Run a command in the hospital's zone against a target of the cloud's."""
    ae = mesh.aes["CLOUD01"]
    config, nats = mesh.directory / "hospital.yaml", f"nats://127.0.0.1:{mesh.nats_port}"
    with Server(script, port=ae.port):
        return dimse_mesh(command, ae.title, *arguments, "--config", config, "--nats", nats)


def get(mesh: Mesh, sender: Sender, folder: Path) -> tuple[int, str]:
    result = run(mesh, sender, "get", "-k", "StudyInstanceUID=1.2", "--output", folder)
    return result.returncode, result.stdout + result.stderr


def answering(*answers: bytes | None, **final: Any) -> Callable[[ServerPeer], None]:
    """Return a script of a target that answers a C-FIND or C-MOVE with these identifiers and a final response."""

    def answer(asked: Message) -> Iterable[Message]:
        for identifier in answers:
            yield response(asked, Status.PENDING, data=identifier)
        yield response(asked, **final)

    def script(peer: ServerPeer) -> None:
        peer.accept_association()
        peer.serve(answer)

    return script


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: read_dicom_file(path).read() for path in folder.iterdir()}


def test_two_objects_of_one_uid_become_two_files(mesh: Mesh, tmp_path: Path) -> None:
    sender = Sender(
        [store_rq(1, "1.2.3", b"one "), store_rq(2, "1.2.3", b"two "), store_rq(3, "1.2.4", b"it")]
    )
    code, said = get(mesh, sender, tmp_path)
    assert code == 0, said
    assert sender.statuses == [0, 0, 0]
    assert contents(tmp_path) == {"1.2.3.dcm": b"one ", "1.2.3-2.dcm": b"two ", "1.2.4.dcm": b"it"}
    assert "3 files" in said
    assert "1.2.3-2.dcm" in said.splitlines()[1]


def test_uid_of_other_characters_fails_one_object_and_loses_no_other(mesh: Mesh, tmp_path: Path) -> None:
    bad: dict[int, int | str | bytes] = {
        Tag.AFFECTED_SOP_INSTANCE: "1.2.\u00fc3".encode("latin-1") + b"\0",
        Tag.PRIORITY: 0,
    }
    objects = [
        store_rq(1, "1.2.3", b"one "),
        request(Command.C_STORE, 2, CT_STORAGE, data=b"two ", more=bad),
        request(Command.C_STORE, 3, CT_STORAGE, data=b"nameless"),
        request(Command.C_STORE, 4, CT_STORAGE, more={Tag.AFFECTED_SOP_INSTANCE: "1.2.5"}),
        store_rq(5, "1.2.6", b"last"),
    ]
    sender = Sender(objects, 0xB000)
    code, said = get(mesh, sender, tmp_path / "got")
    assert code == 1, said
    assert sender.statuses == [0, 0x0117, 0x0117, 0xC000, 0]
    assert contents(tmp_path / "got") == {"1.2.3.dcm": b"one ", "1.2.6.dcm": b"last"}
    assert "failed: '1.2.\u00fc3': its SOP Instance UID" in said
    assert "failed: (empty): its SOP Instance UID" in said
    assert "failed: 1.2.5: it came without a data set" in said
    assert "status B000H" in said


def test_files_are_as_readable_as_any_other_file_of_the_user(mesh: Mesh, tmp_path: Path) -> None:
    code, said = get(mesh, Sender([store_rq(1, "1.2.3", b"one ")]), tmp_path)
    assert code == 0, said
    usual = tmp_path / "usual"
    usual.touch()
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "1.2.3.dcm", usual)]
    assert modes[0] == modes[1]


GOOD = element(0x20, 0x0D, b"UI", b"1.2\0") + element(0x20, 0x1208, b"IS", b"12")
ODD_NUMBER = element(0x20, 0x0D, b"UI", b"1.3\0") + element(0x20, 0x1208, b"IS", b"12a ")
CUT_OFF = element(0x20, 0x0D, b"UI", b"1.4\0") + element(0x20, 0x1208, b"IS", b"12")[:-1]


def test_find_gives_every_answer_as_json_whatever_is_wrong_with_one(mesh: Mesh) -> None:
    script = answering(GOOD, ODD_NUMBER, CUT_OFF, b"\xff\xff", None, GOOD)
    found = run(mesh, script, "find", "--json", "-k", "StudyInstanceUID")
    assert found.returncode == 0, found.stderr
    answers = [json.loads(line) for line in found.stdout.splitlines()]
    uids = [answer.get("0020000D", {}).get("Value", [None])[0] for answer in answers]
    assert uids == ["1.2", "1.3", "1.4", None, None, "1.2"]
    assert answers[1]["00201208"] == {"vr": "IS", "Value": ["12a"]}
    marked = [line.split(": ")[0] for line in found.stderr.splitlines() if line.startswith("match ")]
    assert marked == ["match 2", "match 3", "match 4", "match 5"]
    assert "6 matches" in found.stderr


def test_find_prints_every_answer_whatever_is_wrong_with_one(mesh: Mesh) -> None:
    script = answering(GOOD, ODD_NUMBER, CUT_OFF, b"\xff\xff", GOOD)
    found = run(mesh, script, "find", "-k", "StudyInstanceUID")
    assert found.returncode == 0, found.stderr
    rows = [line.split() for line in found.stdout.splitlines()]
    assert [row[-2:] for row in rows] == [
        ["StudyInstanceUID", "Instances"],
        ["1.2", "12"],
        ["1.3", "12a"],
        ["1.4", "1"],
        ["?", "?"],
        ["1.2", "12"],
    ]


def test_find_that_fails_shows_what_came_before_and_why_the_target_failed(mesh: Mesh) -> None:
    comment = b"out of \x1b[2Jit "
    script = answering(ODD_NUMBER, status=0xA700, more={0x0902: comment, 0x0901: b"\x10\0\x20"})
    found = run(mesh, script, "find", "-k", "StudyInstanceUID")
    assert found.returncode == 1, found.stderr
    assert "1.3" in found.stdout
    assert r"status A700H (1 matches): out of \x1b[2Jit" in found.stderr


@pytest.mark.parametrize(
    ("final", "code"),
    [
        ({"more": {COMPLETED: b"\2\0\7\0"}}, 0),
        ({"more": {COMPLETED: 2, FAILED: b"\0\0\1\0"}}, 0),
        ({"more": {COMPLETED: 2}, "data": b"\x08\0\x58"}, 0),
        ({"status": 0xB000, "more": {COMPLETED: b"\2\0\7\0", FAILED: 1}}, 1),
    ],
)
def test_move_ends_as_its_final_status_says(mesh: Mesh, final: dict[str, Any], code: int) -> None:
    moved = run(mesh, answering(**final), "move", "--to", "HOSPITAL01", "-k", "StudyInstanceUID=1.2")
    assert moved.returncode == code, moved.stdout + moved.stderr
    assert "2 completed" in moved.stdout


def test_move_names_what_was_not_sent(mesh: Mesh) -> None:
    failed = element(0x08, 0x58, b"UI", b"1.2.3\\1.2.4")
    script = answering(status=0xB000, data=failed + b"\1", more={COMPLETED: 1, FAILED: 2})
    moved = run(mesh, script, "move", "--to", "HOSPITAL01", "-k", "StudyInstanceUID=1.2")
    assert moved.returncode == 1
    assert {"not sent: 1.2.3", "not sent: 1.2.4"} < set(moved.stdout.splitlines())
    assert "1 bytes at the end are no element" in moved.stdout
