"""Sends a trail to a repository: one process at a time, from where the last one stopped.

Syslog has no acknowledgement: a repository that dies takes with it what it had not read, or not stored yet, and its
sender can't know. So a record counts as received only when the connection has stood for `settled_after` seconds since
it was sent, or when the repository has answered the orderly end of the connection, which it reads behind it; else it
is sent again. The repository may get a record twice, with the same sequenceId and the same text, and misses none.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections import deque
from threading import Event, Thread
from typing import Final

from dimse_mesh.audit.repository import Repository, RepositoryConnection
from dimse_mesh.audit.trail import AuditTrail, TrailError, TrailPlace, TrailReader

log = logging.getLogger(__name__)

INTERVAL: Final = 0.25
"""Seconds between two looks at the trail."""
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 15.0
BATCH: Final = 256
"""Messages that are read and sent at once."""
STOP_SECONDS: Final = 3.0
LAST_SECONDS: Final = 1.0
"""How long a process that stops waits for the one that forwards."""
LAST_INTERVAL: Final = 0.05


class AuditForwarder:
    """A thread that sends the trail whenever no other process does.

    Args:
        settled_after: seconds, see above.
    """

    def __init__(self, trail: AuditTrail, repository: Repository, *, settled_after: float) -> None:
        self._trail = trail
        self._repository = repository
        self._settled_after = settled_after
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="audit-forwarder", daemon=True)
        self.connected: bool | None = None
        """Whether the repository can be reached; None: another process sends."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Send what is there, if that takes no longer than `STOP_SECONDS`."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        pause = FIRST_PAUSE
        told = False
        stops_at: float | None = None
        while stops_at is None or time.monotonic() < stops_at:
            try:
                with self._trail.forwarding() as ours:
                    if ours:
                        self.connected = False
                        connection = self._repository.connect()
                        self.connected, told, pause = True, False, FIRST_PAUSE
                        log.info(
                            "audit records go to %s port %d", self._repository.host, self._repository.port
                        )
                        self._forward(connection)
                        return
                    self.connected, pause = None, FIRST_PAUSE
            except (OSError, ValueError) as error:
                self.connected = False
                if not told:
                    log.warning(
                        "the audit repository %s port %d can't be reached: %s; records are kept",
                        self._repository.host,
                        self._repository.port,
                        _words(error),
                    )
                    told = True
                if self._stopping.is_set():
                    return
            if stops_at is not None:  # another process may be about to stop, too: then the rest is ours
                time.sleep(LAST_INTERVAL)
            elif self._stopping.wait(pause):
                stops_at = time.monotonic() + LAST_SECONDS
            pause = min(2 * pause, LONGEST_PAUSE)

    def _forward(self, connection: RepositoryConnection) -> None:
        """Send until told to stop, and all there is.

        Raises:
            OSError: the connection is lost.
        """
        reader = TrailReader(self._trail, self._trail.forwarded())
        unsettled: deque[tuple[float, TrailPlace]] = deque()
        try:
            while True:
                stopping = self._stopping.is_set()
                connection.check()
                batch = reader.take(BATCH)
                if batch:
                    connection.send([message for _, message in batch])
                    reader.place = batch[-1][0]
                    unsettled.append((time.monotonic(), reader.place))
                self._settle(unsettled)
                if not batch:
                    if stopping:
                        break
                    self._stopping.wait(INTERVAL)
            if unsettled and connection.finish():
                self._trail.note_forwarded(unsettled[-1][1])
        finally:
            connection.close()

    def _settle(self, unsettled: deque[tuple[float, TrailPlace]]) -> None:
        settled: TrailPlace | None = None
        while unsettled and time.monotonic() - unsettled[0][0] >= self._settled_after:
            settled = unsettled.popleft()[1]
        if settled is not None:
            self._trail.note_forwarded(settled)


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not the right one: {error.verify_message}"
    if isinstance(error, TrailError):
        return str(error)
    return getattr(error, "strerror", None) or type(error).__name__
