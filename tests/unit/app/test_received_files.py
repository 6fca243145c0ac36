"""What arrives becomes a file under its UID, whole or not at all, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from dimse_mesh.app.dicom_file import read_dicom_file
from dimse_mesh.app.received_files import ReceivedFiles
from dimse_mesh.app.retrieval import storage_class, storage_proposals
from dimse_mesh.app.uid import is_uid
from dimse_mesh.dimse import Status, store_request
from dimse_mesh.runtime.settings_errors import ConfigurationError

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
NOT_UIDS = [
    "",
    ".",
    "..",
    "../1.2",
    "1.2/../../3",
    "1..2",
    ".1",
    "1.",
    "1.2\n",
    "1.a",
    "1" * 65,
    "\u0661.\u0662",
    "1\0",
]


def receive(
    files: ReceivedFiles, instance: str, pieces: list[bytes], *, end: bool = True, syntax: str = EXPLICIT
) -> int | None:
    async def run() -> int | None:
        await files.begin(store_request(1, sop_class=CT, sop_instance=instance), syntax)
        for piece in pieces:
            await files.write(memoryview(piece))
        return await files.end() if end else None

    return anyio.run(run)


def test_file_holds_what_came(tmp_path: Path) -> None:
    files = ReceivedFiles(tmp_path)
    assert receive(files, "1.2.3", [b"ab", b"cdef"]) == Status.SUCCESS
    file = read_dicom_file(tmp_path / "1.2.3.dcm")
    assert (file.sop_class, file.sop_instance, file.transfer_syntax) == (CT, "1.2.3", EXPLICIT)
    assert file.read() == b"abcdef"
    assert files.sizes == {"1.2.3": 6}


@pytest.mark.parametrize("text", NOT_UIDS)
def test_what_is_no_uid_is_recognised(text: str) -> None:
    assert not is_uid(text)


@pytest.mark.parametrize("instance", ["..", "../1.2", "1.2/../../3", "/etc/passwd", ""])
def test_name_that_is_no_uid_becomes_no_path(tmp_path: Path, instance: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    files = ReceivedFiles(folder)
    assert receive(files, instance, [b"ab"]) == Status.INVALID_OBJECT_INSTANCE
    assert list(tmp_path.rglob("*")) == [folder]
    assert files.failures == ["an object: its UIDs are none"]
    assert receive(files, "1.2.3", [b"ab"]) == Status.SUCCESS


def test_object_that_does_not_end_leaves_nothing(tmp_path: Path) -> None:
    files = ReceivedFiles(tmp_path)
    receive(files, "1.2.3", [b"ab"], end=False)
    assert len(list(tmp_path.iterdir())) == 1
    files.close()
    assert list(tmp_path.iterdir()) == []


def test_link_in_the_folder_is_replaced_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "1.2.3.dcm").symlink_to(outside)
    assert receive(ReceivedFiles(folder), "1.2.3", [b"ab"]) == Status.SUCCESS
    assert outside.read_text() == "untouched"
    assert not (folder / "1.2.3.dcm").is_symlink()


def test_folder_that_cannot_be_written_is_out_of_resources(tmp_path: Path) -> None:
    files = ReceivedFiles(tmp_path / "none")
    assert receive(files, "1.2.3", [b"ab"]) == Status.STORAGE_OUT_OF_RESOURCES
    assert files.failures[0].startswith("1.2.3: ")


@pytest.mark.parametrize("instance", ["1.2.03", "0.00.1"])
def test_uid_with_leading_zeros_is_kept_without_a_warning(tmp_path: Path, instance: str) -> None:
    assert receive(ReceivedFiles(tmp_path), instance, [b""]) == Status.SUCCESS


def test_usual_proposals_leave_room_for_the_query() -> None:
    proposals = storage_proposals()
    assert len(proposals) == 127
    assert all(proposal.as_scp for proposal in proposals)
    contexts = [(p.abstract_syntax, p.transfer_syntaxes) for p in proposals]
    assert len(set(contexts)) == len(contexts)


def test_named_sop_class_gets_every_transfer_syntax() -> None:
    proposals = storage_proposals(["CT"])
    assert {proposal.abstract_syntax for proposal in proposals} == {CT}
    assert len(proposals) > 20


@pytest.mark.parametrize("word", ["CT", "CTImageStorage", CT])
def test_sop_class_by_keyword_or_uid(word: str) -> None:
    assert storage_class(word) == CT


def test_unknown_sop_classes_are_told() -> None:
    with pytest.raises(ConfigurationError) as caught:
        storage_proposals(["CTI", "Verification"])
    assert len(caught.value.problems) == 2
    with pytest.raises(ConfigurationError):
        storage_proposals(["CT", "MR", "XRayAngiographic", "SecondaryCapture", "UltrasoundMultiFrame"])
