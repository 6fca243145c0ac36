"""What arrives becomes a file under its UID, whole or not at all, and nowhere else."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import anyio
import pytest

from dimse_mesh.app.dicom_file import read_dicom_file
from dimse_mesh.app.received_files import ReceivedFiles, Room
from dimse_mesh.app.retrieval import storage_class, storage_proposals
from dimse_mesh.app.uid import is_uid
from dimse_mesh.dimse import NO_DATA_SET, Status, Tag, store_request
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
    (line,) = files.failures
    assert "its SOP Instance UID" in line
    assert receive(files, "1.2.3", [b"ab"]) == Status.SUCCESS


def test_object_that_does_not_end_leaves_nothing(tmp_path: Path) -> None:
    files = ReceivedFiles(tmp_path)
    receive(files, "1.2.3", [b"ab"], end=False)
    assert len(list(tmp_path.iterdir())) == 1
    files.close()
    assert list(tmp_path.iterdir()) == []


def test_link_in_the_folder_is_neither_replaced_nor_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "1.2.3.dcm").symlink_to(outside)
    assert receive(ReceivedFiles(folder), "1.2.3", [b"ab"]) == Status.SUCCESS
    assert outside.read_text() == "untouched"
    assert (folder / "1.2.3.dcm").is_symlink()
    assert read_dicom_file(folder / "1.2.3-2.dcm").read() == b"ab"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: read_dicom_file(path).read() for path in folder.iterdir()}


def test_two_objects_of_one_uid_are_both_kept(tmp_path: Path) -> None:
    files = ReceivedFiles(tmp_path)
    for content in (b"one", b"two", b"three"):
        assert receive(files, "1.2.3", [content]) == Status.SUCCESS
    assert contents(tmp_path) == {"1.2.3.dcm": b"one", "1.2.3-2.dcm": b"two", "1.2.3-3.dcm": b"three"}
    assert files.sizes == {"1.2.3": 3, "1.2.3-2": 3, "1.2.3-3": 5}
    assert [line.split("; ")[1] for line in files.notes] == [
        "this one is in 1.2.3-2.dcm",
        "this one is in 1.2.3-3.dcm",
    ]
    assert files.failures == []


def test_object_that_comes_twice_is_kept_once_and_said_to_have_come_again(tmp_path: Path) -> None:
    files = ReceivedFiles(tmp_path)
    for content in (b"one", b"two", b"one", b"two"):
        assert receive(files, "1.2.3", [content]) == Status.SUCCESS
    assert contents(tmp_path) == {"1.2.3.dcm": b"one", "1.2.3-2.dcm": b"two"}
    assert len(files.notes) == 3


def test_same_bytes_in_another_transfer_syntax_are_another_object(tmp_path: Path) -> None:
    files = ReceivedFiles(tmp_path)
    receive(files, "1.2.3", [b"ab"])
    receive(files, "1.2.3", [b"ab"], syntax="1.2.840.10008.1.2")
    assert len(contents(tmp_path)) == 2


def test_second_run_adds_what_has_changed_and_replaces_nothing(tmp_path: Path) -> None:
    receive(ReceivedFiles(tmp_path), "1.2.3", [b"old"])
    again = ReceivedFiles(tmp_path)
    assert receive(again, "1.2.3", [b"old"]) == Status.SUCCESS
    assert (again.sizes, again.notes) == ({"1.2.3": 3}, [])
    changed = ReceivedFiles(tmp_path)
    assert receive(changed, "1.2.3", [b"new"]) == Status.SUCCESS
    assert contents(tmp_path) == {"1.2.3.dcm": b"old", "1.2.3-2.dcm": b"new"}


def test_file_systems_without_hard_links_lose_nothing_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    files = ReceivedFiles(tmp_path)
    for content in (b"one", b"two"):
        assert receive(files, "1.2.3", [content]) == Status.SUCCESS
    assert contents(tmp_path) == {"1.2.3.dcm": b"one", "1.2.3-2.dcm": b"two"}


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664)])
def test_file_has_the_mode_that_the_umask_allows(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        receive(ReceivedFiles(tmp_path), "1.2.3", [b"ab"])
    finally:
        os.umask(before)
    assert (tmp_path / "1.2.3.dcm").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("pieces", [1, 50])
def test_disk_that_fails_in_the_middle_fails_one_object_and_leaves_nothing_of_it(
    tmp_path: Path, pieces: int
) -> None:
    """A file size limit fails as a full disk does: while writing, and again when the rest is written at the end."""
    files = ReceivedFiles(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        assert receive(files, "1.2.3", [bytes(5000)] * pieces) == Status.STORAGE_OUT_OF_RESOURCES
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
    assert files.failures == ["1.2.3: File too large"]
    assert receive(files, "1.2.4", [b"ab"]) == Status.SUCCESS


def test_object_without_a_data_set_is_refused(tmp_path: Path) -> None:
    files = ReceivedFiles(tmp_path)
    bare = store_request(1, sop_class=CT, sop_instance="1.2.3").replace({Tag.CommandDataSetType: NO_DATA_SET})
    anyio.run(files.begin, bare, EXPLICIT)
    assert anyio.run(files.end) == Status.STORAGE_CANNOT_UNDERSTAND
    assert list(tmp_path.iterdir()) == []
    assert files.failures == ["1.2.3: it came without a data set"]


def test_line_of_a_refused_object_shows_its_uid_and_steers_no_terminal(tmp_path: Path) -> None:
    files = ReceivedFiles(tmp_path)
    request = store_request(1, sop_class=CT, sop_instance="1")
    for uid in (b"1.2.3\xfc\x1b[2J", b"9" * 5000, b""):
        anyio.run(files.begin, request.replace({Tag.AffectedSOPInstanceUID: uid}), EXPLICIT)
        assert anyio.run(files.end) == Status.INVALID_OBJECT_INSTANCE
    first, second, third = files.failures
    assert "'1.2.3\xfc\\x1b[2J'" in first
    assert len(second) < 250
    assert "(empty)" in third
    assert all(line.isprintable() for line in files.failures)


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


def test_get_takes_so_many_files_and_no_more(tmp_path: Path) -> None:
    files = ReceivedFiles(tmp_path, Room(files=2))
    said = [receive(files, f"1.2.{number}", [b"abcd"]) for number in range(3)]
    assert said == [Status.SUCCESS, Status.SUCCESS, Status.STORAGE_OUT_OF_RESOURCES]
    assert files.failures == ["1.2.2: 2 files are taken, --max-files"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.2.0.dcm", "1.2.1.dcm"]


def test_get_takes_so_many_bytes_and_leaves_nothing_of_what_goes_beyond(tmp_path: Path) -> None:
    files = ReceivedFiles(tmp_path, Room(octets=10))
    assert receive(files, "1.2.0", [b"abcd", b"efgh"]) == Status.SUCCESS
    assert receive(files, "1.2.1", [b"ab", b"cd", b"ef"]) == Status.STORAGE_OUT_OF_RESOURCES
    assert receive(files, "1.2.2", [b"ab"]) == Status.SUCCESS
    assert files.failures == ["1.2.1: it goes beyond 10 bytes, --max-bytes"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.2.0.dcm", "1.2.2.dcm"]
