"""The files of a trail: whole after a kill, bounded, and what is missing or changed shows."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from dimse_mesh.app.audit_verify import verify_paths
from dimse_mesh.audit import AuditTrail, BrokenChain, TrailError, verify_file, verify_trail
from dimse_mesh.audit.extent import TrailExtent, read_extent, write_extent
from dimse_mesh.audit.trail import LEAST_FILE, TrailPlace, TrailReader
from tests.support.audit import messages_in

KEY = b"k" * 32
SMALL = 16 * LEAST_FILE
"""Bytes: a trail of the smallest files."""
LINE = 1000


def message(number: int, *, size: int = 20) -> bytes:
    return f"record {number} ".encode().ljust(size, b".")


def trail_in(directory: Path, *, key: bytes = KEY, is_forwarded: bool = False) -> AuditTrail:
    return AuditTrail(directory, max_bytes=SMALL, key=key, is_forwarded=is_forwarded)


def fill(trail: AuditTrail, count: int, *, size: int = 20) -> int:
    """Append so many records, in batches; return how many were removed unforwarded."""
    removed = 0
    for _ in range(0, count, 50):
        removed += trail.append([partial(message, size=size)] * min(50, count)).unforwarded
    return removed


def test_what_was_written_verifies_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    fill(trail_in(tmp_path), 3)
    fill(trail_in(tmp_path), 2)
    whole = verify_trail(tmp_path, KEY)
    assert (whole.begins.number, whole.ends.number) == (0, 5)
    assert messages_in(tmp_path) == [message(number) for number in range(1, 6)]


@pytest.mark.parametrize("change", ["flipped", "removed", "swapped", "renumbered"])
def test_a_changed_or_missing_record_shows(tmp_path: Path, change: str) -> None:
    fill(trail_in(tmp_path), 5)
    (path,) = tmp_path.glob("*.audit")
    lines = path.read_bytes().splitlines(True)
    match change:
        case "flipped":
            lines[3] = lines[3].replace(b"record", b"Record")
        case "removed":
            del lines[3]
        case "swapped":
            lines[2], lines[3] = lines[3], lines[2]
        case "renumbered":
            del lines[3]
            lines[3] = lines[3].replace(b"4 ", b"3 ", 1)
    path.write_bytes(b"".join(lines))
    with pytest.raises(BrokenChain, match=r":4: |:3: "):
        verify_trail(tmp_path, KEY)


def cut(directory: Path, count: int) -> None:
    """Remove so many of the newest records."""
    path = max(directory.glob("*.audit"))
    path.write_bytes(b"".join(path.read_bytes().splitlines(True)[:-count]))


def test_a_cut_end_shows_and_for_ever(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(trail_in(tmp_path), 5)
    cut(tmp_path, 2)
    with pytest.raises(BrokenChain, match=r"ends with record 3: records 4 to 5 were removed"):
        verify_trail(tmp_path, KEY)
    fill(trail_in(tmp_path), 2)
    assert "audit records 4 to 5 are missing" in caplog.text
    with pytest.raises(BrokenChain, match=r"begins after record 5, the file before it ends with record 3"):
        verify_trail(tmp_path, KEY)


@pytest.mark.parametrize("how", ["all", "newest", "oldest"])
def test_whole_files_that_are_gone_show(tmp_path: Path, how: str) -> None:
    fill(trail_in(tmp_path), 150, size=LINE)
    files = sorted(tmp_path.glob("*.audit"))
    assert len(files) > 1
    for path in {"all": files, "newest": files[-1:], "oldest": files[:1]}[how]:
        path.unlink()
    with pytest.raises(BrokenChain, match="were removed"):
        verify_trail(tmp_path, KEY)


@pytest.mark.parametrize("how", ["removed", "damaged", "forged"])
def test_where_nothing_says_how_far_it_reached_it_is_not_whole(tmp_path: Path, how: str) -> None:
    fill(trail_in(tmp_path), 5)
    extent = tmp_path / "extent"
    match how:
        case "removed":
            extent.unlink()
        case "damaged":
            extent.write_text("5")
        case "forged":  # consistent with what is left, by somebody without the key
            write_extent(tmp_path, TrailExtent(1, read_extent(tmp_path, KEY).last), b"other")
    with pytest.raises(BrokenChain, match="nobody can tell whether"):
        verify_trail(tmp_path, KEY)
    fill(trail_in(tmp_path), 1)
    assert verify_trail(tmp_path, KEY).ends.number == 6


def test_the_command_compares_with_what_the_repository_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An older copy of the whole folder was put back: nothing in it shows that."""
    fill(trail_in(tmp_path), 5)
    (tmp_path / "key").write_bytes(KEY)
    (tmp_path / "key").chmod(0o600)
    assert verify_paths([tmp_path], tmp_path / "key", received=5) == 0
    assert "whole, records 1 to 5" in capsys.readouterr().out
    assert verify_paths([tmp_path], tmp_path / "key", received=6) == 1
    assert "ends with record 5, and the repository has record 6" in capsys.readouterr().err


def test_records_that_are_written_meanwhile_and_files_that_make_room_are_not_missed(tmp_path: Path) -> None:
    trail = trail_in(tmp_path)
    for _ in range(40):
        fill(trail, 50, size=LINE)
        verify_trail(tmp_path, KEY)
    assert verify_trail(tmp_path, KEY).begins.number > 0


def test_a_chain_with_a_key_is_not_forged_without_it(tmp_path: Path) -> None:
    fill(trail_in(tmp_path, key=b"x" * 32), 3)
    with pytest.raises(BrokenChain, match="or the key is another"):
        verify_trail(tmp_path, KEY)


def test_a_missing_file_shows(tmp_path: Path) -> None:
    fill(trail_in(tmp_path), 400, size=LINE)
    files = sorted(tmp_path.glob("*.audit"))
    assert len(files) > 3
    files[1].unlink()
    with pytest.raises(BrokenChain, match="it begins after record"):
        verify_trail(tmp_path, KEY)
    for path in (files[0], *files[2:]):
        verify_file(path, KEY)


@pytest.mark.parametrize("cut", [1, 10, 60, 80])
def test_a_line_that_was_not_written_to_its_end_is_cut_off(tmp_path: Path, cut: int) -> None:
    fill(trail_in(tmp_path), 2)
    extent = (tmp_path / "extent").read_bytes()
    fill(trail_in(tmp_path), 1)
    (path,) = tmp_path.glob("*.audit")
    path.write_bytes(path.read_bytes()[:-cut])
    (tmp_path / "extent").write_bytes(extent)  # it tells of a record when that is on disk
    fill(trail_in(tmp_path), 1)
    assert verify_trail(tmp_path, KEY).ends.number == 3
    assert messages_in(tmp_path)[-1] == message(3)


def test_a_file_without_a_whole_header_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / f"{1:018d}.audit").write_bytes(b"# dimse-mesh au")
    fill(trail_in(tmp_path), 2)
    assert verify_trail(tmp_path, KEY).ends.number == 2


def test_what_is_no_trail_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / f"{1:018d}.audit").write_bytes(b"something else\n")
    with pytest.raises(TrailError, match="set the folder aside"):
        fill(trail_in(tmp_path), 1)


def test_a_trail_is_bounded_and_counts_what_its_repository_lacks(tmp_path: Path) -> None:
    trail = trail_in(tmp_path, is_forwarded=True)
    removed = fill(trail, 3000, size=LINE)
    assert sum(path.stat().st_size for path in trail.files()) <= SMALL + 50 * (LINE + 100)
    whole = verify_trail(tmp_path, KEY)
    assert removed == whole.begins.number > 0
    assert whole.ends.number == 3000
    reader = TrailReader(trail, TrailPlace())
    assert reader.take(1)[0][1] == message(whole.begins.number + 1, size=LINE)


def test_a_trail_is_for_its_owner_alone(tmp_path: Path) -> None:
    fill(trail_in(tmp_path / "new"), 1)
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "new").iterdir())


def test_a_reader_reads_each_record_once_over_files(tmp_path: Path) -> None:
    trail = trail_in(tmp_path)
    reader = TrailReader(trail, TrailPlace())
    got: list[bytes] = []
    for _ in range(6):
        fill(trail, 100, size=LINE)
        while taken := reader.take(33):
            got += [text for _, text in taken]
            reader.place = taken[-1][0]
    assert got == [message(number, size=LINE) for number in range(1, 601)]


def test_what_was_forwarded_is_remembered_unless_the_trail_is_another(tmp_path: Path) -> None:
    trail = trail_in(tmp_path)
    fill(trail, 300, size=LINE)
    place = TrailReader(trail, TrailPlace()).take(200)[-1][0]
    trail.note_forwarded(place)
    assert trail.forwarded() == place
    assert 0 < trail.bytes_waiting() < 120 * (LINE + 100)
    for path in (*trail.files(), tmp_path / "extent"):
        path.unlink()
    fill(trail, 1)
    assert trail.forwarded() == TrailPlace()


def test_only_one_process_forwards(tmp_path: Path) -> None:
    with trail_in(tmp_path).forwarding() as first, trail_in(tmp_path).forwarding() as second:
        assert (first, second) == (True, False)
    with trail_in(tmp_path).forwarding() as again:
        assert again


PROCESS = """
import sys
from pathlib import Path
from dimse_mesh.audit import AuditTrail
trail = AuditTrail(Path(sys.argv[1]), max_bytes=1 << 24, is_forwarded=False)
for _ in range(100):
    trail.append([lambda number: b"record %d by %s" % (number, sys.argv[2].encode())] * 2)
"""


def test_processes_write_one_chain_together(tmp_path: Path) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(tmp_path), name]) for name in ("a", "b", "c")
    ]
    assert [child.wait(60) for child in running] == [0, 0, 0]
    assert verify_trail(tmp_path).ends.number == 600
    for name in (b"a", b"b", b"c"):
        assert sum(text.endswith(b"by " + name) for text in messages_in(tmp_path)) == 200
