"""DCMTK's storescu as a modality that never rests: stock, with what it prints as its books."""

from __future__ import annotations

import subprocess
import threading
from collections import deque
from itertools import count, cycle
from pathlib import Path
from typing import Self

from tests.durable.books import Books
from tests.support.dcmtk import BIN
from tests.support.files import synthetic, write_file
from tests.support.process import require_tool

SIZES = (2_000, 150_000, 30_000, 1_500_000)
OBJECTS = 24
"""Objects that one association is to carry."""
ANSWERED = "Received Store Response (Success)"
AGAIN_AFTER = 0.1


class Scanner:
    """Stores its objects in order; what was not answered with success is first on the next association."""

    def __init__(
        self, directory: Path, port: int, books: Books, *, called: str, calling: str, study: int
    ) -> None:
        self.calling = calling
        self.broken = 0
        """Associations that ended before everything on them was answered."""
        self._command = [
            require_tool(f"{BIN}/storescu"),
            "-v",
            *("-to", "10", "-ta", "60", "-td", "60"),
            *("-aet", calling, "-aec", called, "127.0.0.1", str(port)),
        ]
        self._directory = directory
        self._books = books
        self._study = study
        self._numbers = count(1)
        self._sizes = cycle(SIZES)
        self._waiting: deque[tuple[str, Path]] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"scanner {calling}", daemon=True)

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let the association that stands end by itself."""
        self._stop.set()
        self._thread.join(120)
        assert not self._thread.is_alive(), f"{self.calling} hangs"

    def _run(self) -> None:
        while not self._stop.is_set():
            while len(self._waiting) < OBJECTS:
                self._make()
            if not self._associate():
                self.broken += 1
                self._stop.wait(AGAIN_AFTER)

    def _make(self) -> None:
        number = next(self._numbers)
        content = synthetic(number, next(self._sizes), study=self._study)
        self._books.send(content.sop_instance, content.data)
        path = write_file(self._directory / f"{number}.dcm", content)
        self._waiting.append((content.sop_instance, path))

    def _associate(self) -> bool:
        """Send what waits on one association; tell whether all of it was answered with success."""
        paths = [str(path) for _, path in self._waiting]
        with subprocess.Popen(
            [*self._command, *paths],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as sending:
            assert sending.stdout is not None
            for line in sending.stdout:
                if ANSWERED in line:  # it halts at the first answer that is another
                    instance, path = self._waiting.popleft()
                    self._books.acknowledge(self.calling, instance)
                    path.unlink()
        return not self._waiting
