"""Audit messages held against DICOM's schema, and a real rsyslog that receives them."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
from functools import cache
from pathlib import Path
from typing import Final

import pytest
import trustme
from lxml import etree

from dimse_mesh.audit.chain import parse_entry
from tests.support.certificates import write_pair
from tests.support.ports import reserve_port
from tests.support.process import Child, require_tool

_SCHEMA: Final = Path("tests/interop/audit/audit-message.rng")
_DRIVER: Final = "rsyslog/lmnsd_ossl.so"
_HEADER: Final = re.compile(
    r"<(?P<priority>\d+)>1 (?P<at>\S+) (?P<host>\S+) dimse-mesh (?P<pid>\d+) DICOM\+RFC3881 "
    r'\[meta sequenceId="(?P<sequence>\d+)"\] \ufeff<\?xml version="1\.0" encoding="UTF-8"\?>(?P<xml><AuditMessage.*)'
)
"""RFC 5424 §6."""


class Told:
    """One syslog message, taken apart; its XML is valid."""

    def __init__(self, message: bytes) -> None:
        found = _HEADER.fullmatch(message.decode())
        assert found, message
        self.sequence = int(found["sequence"])
        self.severity = int(found["priority"]) % 8
        self.facility = int(found["priority"]) // 8
        self.root = valid(found["xml"])

    @property
    def event(self) -> str:
        """Return the meanings of event and types: `Security Alert/Node Authentication`."""
        codes = self.root.xpath("EventIdentification/EventID | EventIdentification/EventTypeCode")
        return "/".join(code.get("displayName") for code in codes)

    @property
    def outcome(self) -> str:
        """Return EventOutcomeIndicator."""
        return str(self.root.xpath("string(EventIdentification/@EventOutcomeIndicator)"))

    @property
    def why(self) -> str:
        """Return EventOutcomeDescription."""
        return str(self.root.xpath("string(EventIdentification/EventOutcomeDescription)"))

    @property
    def users(self) -> list[str]:
        """Return the UserIDs of the participants."""
        return [str(value) for value in self.root.xpath("ActiveParticipant/@UserID")]

    @property
    def source(self) -> str:
        """Return AuditSourceID."""
        return str(self.root.xpath("string(AuditSourceIdentification/@AuditSourceID)"))

    @property
    def details(self) -> dict[str, str]:
        """Return the details of all objects."""
        found = self.root.xpath("ParticipantObjectIdentification/ParticipantObjectDetail")
        return {one.get("type"): base64.b64decode(one.get("value")).decode() for one in found}

    @property
    def instances(self) -> dict[str, int]:
        """Return the number of instances by SOP class."""
        found = self.root.xpath("ParticipantObjectIdentification/ParticipantObjectDescription/SOPClass")
        return {one.get("UID"): int(one.get("NumberOfInstances")) for one in found}


def valid(xml: str) -> etree._Element:
    """Return the root of an audit message.

    Raises:
        AssertionError: it is not valid by the schema of PS3.15 A.5.1.1.
    """
    root, schema = etree.fromstring(xml.encode()), _schema()
    assert schema.validate(root), f"{schema.error_log}\n{xml}"
    return root


@cache
def _schema() -> etree.RelaxNG:
    return etree.RelaxNG(etree.parse(_SCHEMA))


def messages_in(directory: Path) -> list[bytes]:
    """Return the messages of a trail."""
    lines = [
        line for path in sorted(directory.glob("*.audit")) for line in path.read_bytes().splitlines(True)
    ]
    return [parse_entry(line).message for line in lines if not line.startswith(b"#")]


class Rsyslog:
    """A real rsyslogd that takes TLS connections of those who show a certificate, and writes what it gets to a file."""

    def __init__(self, directory: Path, ca: trustme.CA) -> None:
        self._program = require_tool(shutil.which("rsyslogd") or "/usr/sbin/rsyslogd")
        if not any(Path("/usr/lib").glob(f"*/{_DRIVER}")):
            pytest.skip("rsyslog-openssl is not installed: .ci/run says so")
        self._directory = directory
        directory.mkdir()
        self.port = reserve_port()
        self.file = directory / "received"
        self.ca = directory / "ca.pem"
        ca.cert_pem.write_to_path(self.ca)
        own = ca.issue_cert("localhost")
        write_pair(own, directory / "cert.pem", directory / "key.pem")
        (directory / "rsyslog.conf").write_text(self._configuration())
        self._starts = 0
        self._child: Child | None = None

    def _configuration(self) -> str:
        return f"""
global(workDirectory="{self._directory}" maxMessageSize="64k" defaultNetstreamDriver="ossl"
       defaultNetstreamDriverCAFile="{self.ca}" defaultNetstreamDriverCertFile="{self._directory}/cert.pem"
       defaultNetstreamDriverKeyFile="{self._directory}/key.pem")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="x509/certvalid")
template(name="raw" type="string" string="%rawmsg%\\n")
input(type="imtcp" address="127.0.0.1" port="{self.port}")
action(type="omfile" file="{self.file}" template="raw")
"""

    def start(self) -> None:
        """Start it; return when it listens."""
        self._starts += 1
        self._child = Child(
            [
                self._program,
                "-n",
                "-f",
                str(self._directory / "rsyslog.conf"),
                "-i",
                str(self._directory / "pid"),
            ],
            log=self._directory / f"log-{self._starts}",
        )

    def stop(self) -> None:
        """End it in order."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def kill(self) -> None:
        """End it at once."""
        assert self._child is not None
        os.kill(self._child.pid, signal.SIGKILL)
        self._child.stop()
        self._child = None

    def pause(self) -> None:
        """Let it read nothing more."""
        assert self._child is not None
        os.kill(self._child.pid, signal.SIGSTOP)

    def unread(self) -> int:
        """Return how many bytes of its clients wait in the kernel for it to read them."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        own = f":{self.port:04X}"
        return sum(
            int(row[4].partition(":")[2], 16) for row in rows if row[1].endswith(own) and row[3] == "01"
        )

    def received(self) -> list[bytes]:
        """Return what it has written, whole lines."""
        if not self.file.exists():
            return []
        return [line[:-1] for line in self.file.read_bytes().splitlines(True) if line.endswith(b"\n")]
