"""A line between the zones that is down half of the time: clients notice nothing, and nothing is lost."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

from tests.durable.apart import sites
from tests.durable.archive import Archive
from tests.durable.books import Books
from tests.durable.scanner import Scanner
from tests.durable.site import ARCHIVE
from tests.fault.outage import outage

CUTS, SECONDS = 6, 0.6


def test_a_line_that_is_down_half_of_the_time(tmp_path: Path) -> None:
    books = Books()
    archive = Archive(books)
    with ExitStack() as stack:
        stack.callback(archive.kill)
        where = stack.enter_context(sites(tmp_path, target=archive.port))
        with Scanner(tmp_path / "CT1", where.entry, books, called=ARCHIVE, calling="CT1", study=1) as scanner:
            books.wait_for_arrival(set(books.wait_for_more({"CT1": 0}, timeout=60).values()), timeout=60)
            for _ in range(CUTS):
                before = books.counts()
                outage(where.line.cut, where.line.heal, seconds=SECONDS)
                books.wait_for_more(before, timeout=60)
                time.sleep(SECONDS)  # as long as it was down
        books.wait_for_arrival(books.everything(), timeout=120)
    books.balance().check()
    assert scanner.broken == 0
