"""What is made of files is made anew when they change, and stays what it was while they are wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dimse_mesh.runtime.errors import StartError
from dimse_mesh.runtime.reloaded import LOOK_SECONDS, Reloaded


class Watched:
    """A folder of numbers, and their sum."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.time = 0.0
        self.made = 0
        self.write("one", "1")
        self.sum = Reloaded(self._make, self.folder.iterdir, what="numbers", clock=lambda: self.time)

    def _make(self) -> int:
        self.made += 1
        try:
            return sum(int(file.read_text()) for file in self.folder.iterdir())
        except ValueError as error:
            raise StartError("no number") from error

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text)
        os.utime(path, ns=(0, self.made))  # two writes within one tick of the file system's clock


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_nothing_is_made_twice_of_the_same_files(watched: Watched) -> None:
    for _ in range(3):
        watched.time += LOOK_SECONDS
        assert watched.sum.now() == 1
    assert watched.made == 1


def test_a_change_is_found_at_the_next_look(watched: Watched) -> None:
    watched.write("one", "2")
    watched.time += LOOK_SECONDS / 2
    assert watched.sum.now() == 1
    watched.time += LOOK_SECONDS / 2
    assert watched.sum.now() == 2


def test_who_misses_something_looks_at_once(watched: Watched) -> None:
    watched.write("two", "2")
    assert watched.sum.now() == 1
    assert watched.sum.again() == 3
    assert watched.sum.now() == 3


def test_files_come_and_go(watched: Watched) -> None:
    watched.write("two", "2")
    (watched.folder / "one").rename(watched.folder / "first")
    assert watched.sum.again() == 3
    (watched.folder / "first").unlink()
    assert watched.sum.again() == 2


def test_the_last_one_that_was_good_is_used_on(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    watched.write("one", "x")
    assert watched.sum.again() == 1
    assert watched.sum.again() == 1
    assert caplog.text.count("no number; what was read before is used on") == 1
    watched.write("one", "7")
    assert watched.sum.again() == 7


def test_what_can_not_be_made_at_first_is_no_start(tmp_path: Path) -> None:
    def fail() -> None:
        raise StartError("no number")

    with pytest.raises(StartError):
        Reloaded(fail, tmp_path.iterdir, what="numbers")
