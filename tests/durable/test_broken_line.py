"""A line between the zones that is down half of the time: clients notice nothing, and nothing is lost or missed."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from dimse_mesh.schemas.spool import QueuePause
from tests.durable.apart import sites
from tests.durable.archive import Archive
from tests.durable.books import Books
from tests.durable.scanner import Scanner
from tests.durable.site import ARCHIVE
from tests.fault.outage import outage

CUTS, SECONDS = 6, 0.6


@pytest.mark.parametrize("delay", [0.0, 0.04])
def test_a_line_that_is_down_half_of_the_time(tmp_path: Path, delay: float) -> None:
    books = Books()
    archive = Archive(books)
    with ExitStack() as stack:
        stack.callback(archive.kill)
        where = stack.enter_context(sites(tmp_path, target=archive.port))

        def heal() -> None:
            where.line.heal()
            where.line.delay = delay  # seconds; over a long line reads of the queue overlap

        heal()
        with Scanner(tmp_path / "CT1", where.entry, books, called=ARCHIVE, calling="CT1", study=1) as scanner:
            books.wait_for_arrival(set(books.wait_for_more({"CT1": 0}, timeout=60).values()), timeout=60)
            for _ in range(CUTS):
                before = books.counts()
                outage(where.line.cut, heal, seconds=SECONDS)
                books.wait_for_more(before, timeout=60)
                time.sleep(SECONDS)  # as long as it was down
        books.wait_for_arrival(books.everything(), timeout=120)
    books.balance().check()
    assert scanner.broken == 0


def test_a_queue_hears_what_an_operator_said_while_the_line_was_down(tmp_path: Path) -> None:
    books = Books()
    archive = Archive(books)
    with ExitStack() as stack:
        stack.callback(archive.kill)
        where = stack.enter_context(sites(tmp_path, target=archive.port))
        where.set_pause(QueuePause(paused=True, reason="it moves"))
        with Scanner(tmp_path / "CT1", where.entry, books, called=ARCHIVE, calling="CT1", study=1):
            books.wait_for_more({"CT1": 0}, timeout=60)
        end = time.monotonic() + 60
        while "it moves" not in where.sentence():
            assert time.monotonic() < end
            time.sleep(0.1)
        where.line.cut()
        where.set_pause(QueuePause(paused=False))
        where.line.heal()
        books.wait_for_arrival(books.everything(), timeout=120)
    books.balance().check()
