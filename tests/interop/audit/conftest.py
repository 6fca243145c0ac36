"""A repository: a real rsyslog over TLS, with certificates of both sides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.audit import Rsyslog
from tests.support.certificates import write_pair


@dataclass(frozen=True, slots=True)
class Site:
    """A repository, and what its clients need."""

    rsyslog: Rsyslog
    cert: Path
    key: Path

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return `audit.repository`."""
        tls = {"ca": str(self.rsyslog.ca), "cert": str(self.cert), "key": str(self.key)}
        return {"host": "localhost", "port": self.rsyslog.port, "tls": tls, **more}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A repository that doesn't run yet."""
    ca = trustme.CA()
    own = ca.issue_cert("dimse-mesh")
    cert, key = tmp_path / "own.pem", tmp_path / "own.key"
    write_pair(own, cert, key)
    rsyslog = Rsyslog(tmp_path / "rsyslog", ca)
    yield Site(rsyslog, cert, key)
    rsyslog.stop()
