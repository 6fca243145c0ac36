"""`get` from targets that send odd objects: what can be kept is kept, what can't is named, nothing else is lost."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from dimse_mesh.app.dicom_file import read_dicom_file
from tests.support.mesh import Mesh, two_zones
from tests.support.scripted import Server, ServerPeer
from tests.support.wire import CT_STORAGE, Command, Message, Tag, request, response, role_selection, store_rq
from tests.unit.app.test_cli import dimse_mesh

PENDING = 0xFF00
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
            yield response(asked, PENDING)
        failed = sum(status != 0 for status in self.statuses)
        more: dict[int, int | str | bytes] = {COMPLETED: len(self.statuses) - failed, FAILED: failed}
        yield response(asked, self._final, more=more)


def get(mesh: Mesh, sender: Sender, folder: Path) -> tuple[int, str]:
    ae = mesh.aes["CLOUD01"]
    with Server(sender, port=ae.port):
        result = dimse_mesh(
            "get",
            ae.title,
            "-k",
            "StudyInstanceUID=1.2",
            "--output",
            folder,
            "--config",
            mesh.directory / "hospital.yaml",
            "--nats",
            f"nats://127.0.0.1:{mesh.nats_port}",
        )
    return result.returncode, result.stdout + result.stderr


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
