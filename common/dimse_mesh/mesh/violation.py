"""What nats-server's permissions did not let us do, in words for people. A refused publish raises nothing anywhere."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dimse_mesh.schemas.addresses import InstanceAddress

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
