"""`echo` and `send` through a running mesh to a scripted archive in another zone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from dimse_mesh.app.dicom_file import NotDicomError, read_dicom_file
from dimse_mesh.app.file_sender import pieces
from dimse_mesh.app.send import batches
from tests.support.mesh import Ae, Mesh, zone_config
from tests.support.scripted import Server
from tests.unit.app.test_cli import dimse_mesh

FEW = {"instances": {"store": 1, "scu": 1, "association": 0, "query_retrieve": 0, "n_service": 0}}


def sample(name: str) -> Path:
    import pydicom.data

    return Path(pydicom.data.__file__).parent / "test_files" / name


@pytest.fixture(scope="module")
def archive() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def mesh(archive: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    directory = tmp_path_factory.mktemp("mesh")
    config = zone_config("cloud", remote_aes=[Ae("ARCHIVE", archive.port, "cloud")], more=FEW)
    with Mesh.start(directory, [config]) as mesh:
        yield mesh


def run(mesh: Mesh, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return dimse_mesh(*arguments, "--nats", f"nats://127.0.0.1:{mesh.nats_port}")


def test_echo_reaches_an_ae_of_another_zone(mesh: Mesh) -> None:
    result = run(mesh, "echo", "ARCHIVE", "--count", "3")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("ARCHIVE: alive;")


def test_echo_of_an_unknown_ae_says_so(mesh: Mesh) -> None:
    result = run(mesh, "echo", "NOBODY")
    assert result.returncode == 1
    assert "called-ae-title-not-recognized" in result.stdout
    assert result.stderr == ""


def test_send_stores_files_and_folders(mesh: Mesh, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no DICOM")
    (tmp_path / "deeper").mkdir()
    for name in ("CT_small.dcm", "MR_small_RLE.dcm"):
        (tmp_path / "deeper" / name).write_bytes(sample(name).read_bytes())
    result = run(mesh, "send", "ARCHIVE", tmp_path, sample("JPEG2000.dcm"))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "3 stored (0 with a warning), 0 failed, 1 other files skipped" in result.stdout
    assert "RLE Lossless" in result.stdout


def test_send_of_what_is_no_dicom_file_fails(mesh: Mesh, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("no DICOM")
    result = run(mesh, "send", "ARCHIVE", file, sample("CT_small.dcm"))
    assert result.returncode == 1
    assert f"failed: {file}: not a DICOM file" in result.stdout
    assert "1 stored" in result.stdout


def test_send_uses_the_handlers_of_the_zone_that_it_is_given(mesh: Mesh, tmp_path: Path) -> None:
    file = tmp_path / "cloud.yaml"
    file.write_text(f"zone: cloud\nnats: {{servers: ['nats://127.0.0.1:{mesh.nats_port}']}}\n")
    result = dimse_mesh("send", "ARCHIVE", sample("CT_small.dcm"), "--config", file)
    assert result.returncode == 0, result.stdout + result.stderr


def test_files_are_cut_into_batches_of_at_most_128_contexts() -> None:
    from dataclasses import replace

    file = read_dicom_file(sample("CT_small.dcm"))
    files = [replace(file, sop_class=f"1.2.{number}") for number in range(130)] + [file]
    (contexts, first), (rest, second) = batches(files)
    assert (len(contexts), len(first)) == (128, 128)
    assert (len(rest), len(second)) == (3, 3)


@pytest.mark.parametrize("cut", [0, 131, 132, 140, 200])
def test_damaged_file_is_refused(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "cut.dcm"
    file.write_bytes(sample("CT_small.dcm").read_bytes()[:cut])
    with pytest.raises(NotDicomError):
        read_dicom_file(file)


def test_fifo_is_refused_at_once(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.dcm"
    os.mkfifo(fifo)
    with pytest.raises(NotDicomError, match="regular"):
        read_dicom_file(fifo)


def test_uid_that_is_none_fails_its_file_alone(mesh: Mesh, tmp_path: Path) -> None:
    bad = tmp_path / "[bold]\x1b[31m.dcm"
    bad.write_bytes(
        sample("CT_small.dcm").read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.x\0", 1)
    )
    result = run(mesh, "send", "ARCHIVE", bad, sample("CT_small.dcm"))
    assert result.returncode == 1
    assert "1 stored" in result.stdout
    assert "[bold]\\x1b[31m.dcm: the file meta information holds a UID that isn't one" in result.stdout


def test_file_that_becomes_shorter_is_never_sent_as_whole(tmp_path: Path) -> None:
    path = tmp_path / "short.dcm"
    path.write_bytes(sample("CT_small.dcm").read_bytes())
    file = read_dicom_file(path)
    os.truncate(path, file.offset + 10)

    async def send() -> list[bytes]:
        return [piece async for piece in pieces(file, None)]

    with pytest.raises(OSError, match="shorter"):
        anyio.run(send)


def test_file_is_read_as_pydicom_reads_it() -> None:
    from pydicom.filereader import _read_file_meta_info, read_preamble

    for path in sorted(sample("").glob("*.dcm")):
        try:
            file = read_dicom_file(path)
        except NotDicomError:
            continue
        with path.open("rb") as opened:
            read_preamble(opened, force=False)
            meta = _read_file_meta_info(opened)
            assert file.offset == opened.tell()
        assert file.sop_class == meta.MediaStorageSOPClassUID
        assert file.transfer_syntax == meta.TransferSyntaxUID
        assert file.offset + file.size == path.stat().st_size
