"""Takes records from a process's event loop, without ever making it wait, and has a thread write them."""

from __future__ import annotations

import logging
import time
from collections import deque
from functools import partial
from threading import Event, Lock, Thread
from typing import Final, NamedTuple

from dimse_mesh.audit.codes import AuditedKind, AuditEvent, AuditEventType
from dimse_mesh.audit.forwarder import AuditForwarder
from dimse_mesh.audit.records import AuditedObject, AuditOutcome, AuditParticipant, AuditRecord
from dimse_mesh.audit.repeats import Repeats
from dimse_mesh.audit.source import AuditSource
from dimse_mesh.audit.syslog import syslog_message
from dimse_mesh.audit.trail import AuditTrail, TrailError

log = logging.getLogger(__name__)

MOST_WAITING: Final = 10_000
"""Records that wait for the writing thread; more are dropped, and counted."""
IDLE_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 1.0
BATCH: Final = 500
STOP_SECONDS: Final = 2.0


class AuditNumbers(NamedTuple):
    """What a recorder counts, for metrics.

    Attributes:
        written: records that are on disk.
        lost: records that were lost, by code: `overflow`, they came faster than they could be written; `stopped`, the
            process ended before; `removed`, to make room, though the repository may not have got them.
        failing: whether the trail can't be written now.
        connected: whether the repository can be reached; None: there is none, or another process sends.
        waiting: bytes on disk that the repository has not got; None: there is none.
        limit: bytes on disk that the trail may take.
    """

    written: int
    lost: dict[str, int]
    failing: bool
    connected: bool | None
    waiting: int | None
    limit: int


class AuditRecorder:
    """The audit trail as the parts of a process see it.

    Args:
        source: of the records: this process.
        forwarder: sends the trail to a repository; None: there is none.
        is_logged: whether each record is a line of the log, too.
        most_waiting: see `MOST_WAITING`.
    """

    def __init__(
        self,
        trail: AuditTrail,
        source: AuditSource,
        *,
        forwarder: AuditForwarder | None = None,
        is_logged: bool = False,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._trail = trail
        self.source = source
        self._is_logged = is_logged
        self._forwarder = forwarder
        self._most_waiting = most_waiting
        self._waiting: deque[AuditRecord] = deque()
        self._repeats = Repeats()
        self._wake = Event()
        self._stopping = False
        self._writing = Lock()
        self._thread = Thread(target=self._run, name="audit-recorder", daemon=True)
        self._written = 0
        self._overflown = 0
        self._told_overflown = 0
        self._stopped = 0
        self._removed = 0
        self._failing = False

    def note(self, record: AuditRecord) -> None:
        """Take a record; it is on disk soon. Never waits."""
        if len(self._waiting) >= self._most_waiting:
            self._overflown += 1
            return
        self._waiting.append(record)
        self._wake.set()

    def write_now(self, record: AuditRecord) -> None:
        """Write a record, and wait until the disk has it.

        Raises:
            TrailError: it can't be written.
        """
        with self._writing:
            self._append([record])

    def start(self) -> None:
        """Begin to write, and to forward."""
        self._thread.start()
        if self._forwarder is not None:
            self._forwarder.start()

    def stop(self) -> None:
        """Write what is left, then forward what is left: some seconds at most. Blocks."""
        self._stopping = True
        self._wake.set()
        self._thread.join(STOP_SECONDS)
        self._stopped += len(self._waiting)
        if self._forwarder is not None:
            self._forwarder.stop()

    def numbers(self) -> AuditNumbers:
        """Return what was counted."""
        forwarder = self._forwarder
        return AuditNumbers(
            written=self._written,
            lost={"overflow": self._overflown, "stopped": self._stopped, "removed": self._removed},
            failing=self._failing,
            connected=None if forwarder is None else forwarder.connected,
            waiting=None if forwarder is None else self._trail.bytes_waiting(),
            limit=self._trail.max_bytes,
        )

    def _run(self) -> None:
        pending: list[AuditRecord] = []
        while True:
            stopping = self._stopping
            self._wake.wait(0 if stopping else IDLE_SECONDS)
            self._wake.clear()
            now = time.monotonic()
            while self._waiting and len(pending) < BATCH:
                record = self._waiting.popleft()
                if self._repeats.passes(record, now):
                    pending.append(record)
            pending += self._repeats.due(now, all_of_them=stopping)
            if self._overflown > self._told_overflown:
                pending.append(self._lost(self._overflown - self._told_overflown))
                self._told_overflown = self._overflown
            if pending and not self._wrote(pending):
                if stopping:
                    self._stopped += len(pending)
                    return
                time.sleep(RETRY_SECONDS)
                continue
            pending = []
            if self._waiting:
                self._wake.set()
            elif stopping:
                return

    def _wrote(self, records: list[AuditRecord]) -> bool:
        try:
            with self._writing:
                self._append(records)
        except TrailError as error:
            if not self._failing:
                log.error("audit records can't be written: %s; they are kept in memory", error.strerror)  # noqa: TRY400
            self._failing = True
            return False
        if self._failing:
            log.warning("audit records are written again")
        self._failing = False
        return True

    def _append(self, records: list[AuditRecord]) -> None:
        appended = self._trail.append([partial(syslog_message, record, self.source) for record in records])
        self._written += len(records)
        if self._is_logged:
            for record in records:
                _log(record)
        if appended.unforwarded:
            self._removed += appended.unforwarded
            log.error("%d audit records were removed before the repository had them", appended.unforwarded)

    def _lost(self, count: int) -> AuditRecord:
        return AuditRecord(
            event=AuditEvent.SECURITY_ALERT,
            types=(AuditEventType.AUDIT_RECORDING_STOPPED,),
            outcome=AuditOutcome.SERIOUS_FAILURE,
            description=f"{count} records were lost: they came faster than they could be written",
            participants=(AuditParticipant(user_id=str(self.source.pid), requestor=False),),
            objects=(AuditedObject(kind=AuditedKind.AUDIT_TRAIL, object_id=self.source.name),),
        )


def _log(record: AuditRecord) -> None:
    """Write a record as a line of the log: who did what, and how it ended. No details of objects, no query."""
    kinds = [kind.value.meaning for kind in record.types]
    fields = {
        "what": ", ".join([record.event.value.meaning, *kinds]),
        "who": ", ".join(f"{one.user_id} {one.host}".strip() for one in record.participants),
        "outcome": record.outcome.name.lower(),
        "why": record.description,
        "on": ", ".join(item.object_id for item in record.objects),
    }
    log.info("audit", extra={"fields": {name: value for name, value in fields.items() if value}})
