"""A program that acts on events: the very text of docs/events.md, with the key of a zone's user for it."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dimse_mesh.mesh import NatsSettings
from tests.support.process import Child, wait_until

PAGE = Path("docs/events.md")
PATIENCE = 60.0

Event = dict[str, Any]


def program(directory: Path, number: int = 0) -> Path:
    """Write one of the page's programs into a file."""
    found = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    path = directory / f"listen-{number}.py"
    path.write_text(found[number])
    return path


class Heard:
    """The events that a program has printed so far."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def all(self, kind: str = "", **fields: object) -> list[Event]:
        """Return the events of a kind that have these values."""
        found = []
        for line in self._child.output.splitlines():
            name, _, text = line.partition(" ")
            if text.startswith("{") and (not kind or name == kind):
                event: Event = json.loads(text)
                if fields.items() <= event.items():
                    found.append({"kind": name, **event})
        return found

    def wait_for(self, count: int, kind: str = "", **fields: object) -> list[Event]:
        """Return the events of a kind once there are so many."""
        wait_until(
            lambda: len(self.all(kind, **fields)) >= count,
            f"{count} events {kind} {fields}; there are {len(self.all(kind, **fields))}",
            timeout=PATIENCE,
        )
        return self.all(kind, **fields)

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Stop the program for the length of the block."""
        self._child.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._child.send_signal(signal.SIGCONT)

    def settles(self, condition: Callable[[list[Event]], bool], what: str) -> None:
        """Wait until what was heard fulfils a condition."""
        wait_until(lambda: condition(self.all()), what, timeout=PATIENCE)


@contextmanager
def listening(
    directory: Path, nats: NatsSettings, subject: str = "DIMSE.event.*.>", *, user: str = "events"
) -> Iterator[Heard]:
    """Run the page's program for the length of the block, from when it listens.

    Args:
        nats: how the services of a zone connect; their keys lie in a folder, and the user's beside them.
    """
    assert nats.nkey_seed is not None
    seed = nats.nkey_seed / f"{user}.nk"
    command = [sys.executable, str(program(directory)), nats.servers[0], str(seed), subject]
    child = Child(command, log=directory / f"heard-{user}-{nats.nkey_seed.name}.log")
    try:
        child.wait_for_line("^listening$")
        yield Heard(child)
    finally:
        child.stop()
