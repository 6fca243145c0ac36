"""Who reports: the process that writes audit records."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class AuditSource:
    """A process (AuditSourceIdentification, and the header of its syslog messages).

    Attributes:
        zone: of the mesh.
        service: role of the process.
        site: AuditEnterpriseSiteID; empty: none.
    """

    zone: str
    service: str
    site: str = ""
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)

    @property
    def name(self) -> str:
        """AuditSourceID: unique within the site."""
        return f"{self.zone}.{self.service}@{self.host}"
