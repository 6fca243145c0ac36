"""What nats-server's permissions did not let us do, in words for people. A refused publish raises nothing anywhere."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass

from dimse_mesh.mesh.errors import NotPermitted, report
from dimse_mesh.schemas.addresses import InstanceAddress

log = logging.getLogger(__name__)

MOST_VIOLATIONS = 1000
"""Missing permissions that are told of."""
_TEXT = re.compile(
    r'permissions violation for (publish|subscription) to "([^"]*)"(?: using queue "([^"]*)")?', re.IGNORECASE
)
_RANDOM = re.compile(r"\b[0-9a-f]{16,}\b")
"""Ids of instances and tokens of requests: of as many as there are one is told of."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A subject that our user may not publish to, or subscribe to (in a queue group, perhaps)."""

    publishing: bool
    subject: str
    queue: str = ""

    @classmethod
    def of(cls, text: str) -> Violation | None:
        """Return what an -ERR of nats-server says; None: something else."""
        match = _TEXT.search(text)
        if match is None:
            return None
        return cls(match[1].lower() == "publish", match[2], match[3] or "")

    @property
    def kind(self) -> str:
        """What it has in common with others that need the same permission."""
        return f"{self.publishing} {_RANDOM.sub('*', self.subject)} {self.queue}"

    def describe(self, who: InstanceAddress) -> str:
        """Return one line that names subject, role and zone, and what to do."""
        what = "publish to" if self.publishing else "subscribe to"
        group = f" in queue group {self.queue}" if self.queue else ""
        return (
            f"NATS does not let role {who.role.value} of zone {who.zone} {what} {self.subject}{group}: "
            "its user lacks the permission (dimse-mesh nats-config prints what each role needs)"
        )


class Violations:
    """What our user was found to lack since the connections stood last.

    Args:
        who: our instance.
    """

    def __init__(self, who: InstanceAddress) -> None:
        self._who = who
        self._listeners: list[Callable[[str, NotPermitted], None]] = []
        self._told: set[str] = set()
        self._unheard: dict[str, str] = {}
        """Subscriptions that were refused, by kind, and a line about each."""

    @property
    def unheard(self) -> str | None:
        """A line about a subscription that was refused; None: all that was asked for is heard."""
        return next(iter(self._unheard.values()), None)

    def on_refused(self, callback: Callable[[str, NotPermitted], None]) -> None:
        """Call `callback(subject, why)` for every publish that is refused."""
        self._listeners.append(callback)

    def note(self, text: str) -> None:
        """Take note of an -ERR of nats-server: say once what is missing, and tell whoever waits because of it."""
        violation = Violation.of(text)
        if violation is None:
            log.error("NATS refused, on connection %s: %s", self._who, text)
            return
        why = violation.describe(self._who)
        if violation.kind not in self._told and len(self._told) < MOST_VIOLATIONS:
            self._told.add(violation.kind)
            log.error("%s", why)
        if not violation.publishing:
            self._unheard[violation.kind] = why
            return
        for callback in self._listeners:
            try:
                callback(violation.subject, NotPermitted(why))
            except Exception as exc:  # noqa: BLE001 - the connection and the other callbacks go on
                report("whoever is told of a refusal", exc)

    def take_back(self, subscription: Violation) -> bool:
        """Tell whether a subscription was refused; if so it is given up, and nobody misses it."""
        refused = subscription.kind in self._told
        if refused:
            self._unheard.pop(subscription.kind, None)
        return refused

    def clear(self) -> None:
        """Forget all of them: the connection is down, and everything is asked for again when it stands."""
        self._unheard.clear()
        self._told.clear()
