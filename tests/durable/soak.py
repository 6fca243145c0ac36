"""Stock clients store while whatever there is breaks: the table of docs/delivery.md."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.durable.apart import sites
from tests.durable.archive import Archive
from tests.durable.books import Balance, Books
from tests.durable.faults import Faults, Row, Stage
from tests.durable.scanner import Scanner
from tests.durable.site import ARCHIVE
from tests.fault.relay import Relay
from tests.support.process import wait_until

CLIENTS = ("CT1", "MR1")
PATIENCE = 180.0
"""Seconds that the last objects may take."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a soak found."""

    rows: Sequence[Row]
    balance: Balance
    left: int
    """Messages that were in the spool when everything was delivered: pieces for the keeper to remove."""
    seconds: float

    def __str__(self) -> str:
        """Return it as docs/delivery.md has it."""
        balance = self.balance
        lines = [
            "| fault | times | clients' associations broken | longest pause of a client "
            "| what is stored after it is delivered within |",
            "|---|--:|--:|--:|--:|",
        ]
        lines += [
            f"| {row.what} | {row.times} | {row.broken} | {_spread(row.paused)} | {_spread(row.delivered)} |"
            for row in self.rows
            if row.times
        ]
        lines += [
            "",
            f"In {self.seconds:.0f} s: {sum(row.times for row in self.rows)} faults, "
            f"{balance.acknowledged} objects acknowledged, {len(balance.lost)} lost, "
            f"{len(balance.damaged)} damaged, {len(balance.disordered)} clients' out of order, "
            f"{balance.again} delivered more than once, identical each time. When all was delivered, {self.left} "
            "pieces were left in the spool; the keeper removed them.",
        ]
        return "\n".join(lines)


def _spread(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.1f} s, {max(seconds):.1f} s"


def soak(
    directory: Path,
    *,
    faults: int,
    longest: float = 3.0,
    until_empty: bool = True,
    seed: int = 1,
    say: Callable[[str], None] = print,
) -> Report:
    """Break something so often while two clients store; then wait until everything acknowledged is delivered.

    Args:
        longest: seconds that what is broken is gone at most.
        until_empty: wait until nothing is left in the spool: no dead letter, no piece that a kill has left.
    """
    began = time.monotonic()
    books = Books()
    archive = Archive(books)
    with ExitStack() as stack:
        stack.callback(archive.kill)
        target_link = stack.enter_context(Relay(archive.port))
        where = stack.enter_context(sites(directory, target=target_link.port))
        client_link = stack.enter_context(Relay(where.entry))
        scanners = tuple(
            Scanner(
                directory / calling, client_link.port, books, called=ARCHIVE, calling=calling, study=study
            )
            for study, calling in enumerate(CLIENTS, 1)
        )
        tried = Faults(
            Stage(where, archive, target_link, client_link, books, scanners),
            random.Random(seed),
            longest=longest,
        )
        with ExitStack() as clients:
            for scanner in scanners:
                clients.enter_context(scanner)
            tried.heal(Row("nothing yet"), began)
            for number, row in enumerate(tried.some(faults), 1):
                say(
                    f"{time.monotonic() - began:6.1f} s  {number}/{faults}  {row.what}: "
                    f"clients paused for {row.paused[-1]:.1f} s, delivered after {row.delivered[-1]:.1f} s"
                )
        books.wait_for_arrival(books.everything(), timeout=PATIENCE)
        left = where.kept()
        if until_empty:
            try:
                wait_until(lambda: where.kept() == 0, "nothing is left in the spool", timeout=PATIENCE)
            except AssertionError as error:
                raise AssertionError(f"{error}; there are {where.kinds()}; {books.balance()}") from None
    return Report(tried.rows, books.balance(), left, time.monotonic() - began)
