"""What `dimse-mesh priors` keeps on disk: new studies that wait, and studies that were moved. UIDs and AE titles only.

A new study is noted before anything is done for it, a move before it is asked for. So whatever is killed whenever,
nothing is forgotten, and what was being moved is known to have been begun.
"""

from __future__ import annotations

import fcntl
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dimse_mesh.runtime.errors import StartError

_TABLES = """
CREATE TABLE IF NOT EXISTS arrivals (
  study TEXT, ae TEXT, state TEXT, attempts INTEGER, next_attempt REAL, arrived REAL, why TEXT,
  PRIMARY KEY (study, ae)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS waiting ON arrivals (next_attempt) WHERE state = 'waiting';
CREATE TABLE IF NOT EXISTS moves (
  study TEXT, destination TEXT, state TEXT, at REAL, PRIMARY KEY (study, destination)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS position (one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER);
"""


@dataclass(frozen=True, slots=True)
class WaitingStudy:
    """A new study whose priors are to be fetched.

    Attributes:
        ae: where it has arrived.
        attempts: that have failed.
    """

    study: str
    ae: str
    attempts: int


class PriorsState:
    """The file. One process at a time has it.

    Raises (from the constructor):
        StartError: it can't be used, or another process has it.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock: IO[bytes] = path.with_name(f"{path.name}.lock").open("ab")
        except OSError as error:
            raise StartError(f"{path}: can't be used: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._base = sqlite3.connect(path, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            self._lock.close()
            if isinstance(error, BlockingIOError):
                raise StartError(f"{path}: another dimse-mesh priors works with it") from error
            raise StartError(f"{path}: can't be used: {error}") from error
        try:
            self._base.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;" + _TABLES)
        except sqlite3.Error as error:
            self.close()
            raise StartError(f"{path}: can't be used: {error}") from error

    def close(self) -> None:
        """Let another process have it."""
        self._base.close()
        self._lock.close()

    @property
    def position(self) -> int:
        """Sequence number of the next event to read."""
        row = self._base.execute("SELECT sequence FROM position").fetchone()
        return int(row[0]) if row else 1

    def arrived(self, study: str, ae: str, *, position: int | None = None) -> bool:
        """Note that an object of a study has arrived; tell whether the study is new here.

        It isn't when it was noted before, or when it is here because we had it moved.

        Args:
            position: sequence number of the next event; None: the event has none.
        """
        self._base.execute("BEGIN IMMEDIATE")
        try:
            if position is not None:
                self._base.execute("INSERT OR REPLACE INTO position VALUES (1, ?)", (position,))
            moved = self._base.execute(
                "SELECT 1 FROM moves WHERE study = ? AND destination = ?", (study, ae)
            ).fetchone()
            added = 0
            if moved is None:
                added = self._base.execute(
                    "INSERT OR IGNORE INTO arrivals VALUES (?, ?, 'waiting', 0, 0, ?, '')",
                    (study, ae, time.time()),
                ).rowcount
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")
        return added > 0

    def read_to(self, position: int) -> None:
        """Note how far the events were read."""
        self._base.execute("INSERT OR REPLACE INTO position VALUES (1, ?)", (position,))

    def due(self, now: float, *, but: set[tuple[str, str]]) -> WaitingStudy | None:
        """Return a study whose turn it is, not one of those that are being worked on; None: there is none."""
        rows = self._base.execute(
            "SELECT study, ae, attempts FROM arrivals WHERE state = 'waiting' AND next_attempt <= ?"
            " ORDER BY next_attempt, arrived LIMIT ?",
            (now, len(but) + 1),
        )
        return next((WaitingStudy(*row) for row in rows if (row[0], row[1]) not in but), None)

    def ended(self, waiting: WaitingStudy, state: str, why: str = "") -> None:
        """Note that nothing more is to be done for a new study."""
        self._base.execute(
            "UPDATE arrivals SET state = ?, attempts = ?, why = ? WHERE study = ? AND ae = ?",
            (state, waiting.attempts + 1, why, waiting.study, waiting.ae),
        )

    def put_off(self, waiting: WaitingStudy, until: float, why: str) -> None:
        """Note that an attempt has failed."""
        self._base.execute(
            "UPDATE arrivals SET attempts = ?, next_attempt = ?, why = ? WHERE study = ? AND ae = ?",
            (waiting.attempts + 1, until, why, waiting.study, waiting.ae),
        )

    def move_state(self, study: str, destination: str, *, since: float) -> str:
        """Return what is known of a move: `begun`, `done`, or nothing; `since`: what ended before doesn't count."""
        row = self._base.execute(
            "SELECT state, at FROM moves WHERE study = ? AND destination = ?", (study, destination)
        ).fetchone()
        if row is None or (row[0] == "done" and row[1] < since):
            return ""
        return str(row[0])

    def move(self, study: str, destination: str, state: str) -> None:
        """Note that a study is being moved, or was."""
        self._base.execute(
            "INSERT OR REPLACE INTO moves VALUES (?, ?, ?, ?)", (study, destination, state, time.time())
        )

    def counts(self) -> dict[str, int]:
        """Return how many new studies, and moves, are in which state."""
        found = {
            f"new studies {state}": int(count)
            for state, count in self._base.execute("SELECT state, COUNT(*) FROM arrivals GROUP BY state")
        }
        return found | {
            f"priors {state}": int(count)
            for state, count in self._base.execute("SELECT state, COUNT(*) FROM moves GROUP BY state")
        }
