"""What stands in files, on command lines, in HTTP requests and in resources of Kubernetes."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import trustme
import yaml
from pydantic import TypeAdapter, ValidationError

from dimse_mesh.app.cohort_dates import parse_range
from dimse_mesh.app.cohort_list import COLUMNS, read_list, write_list
from dimse_mesh.app.cohort_query import load_query
from dimse_mesh.app.cohort_state import load_state, state_path
from dimse_mesh.app.dicom_file import NotDicomError, read_dicom_file
from dimse_mesh.app.identifier import build_identifier
from dimse_mesh.app.printable import printable
from dimse_mesh.audit.chain import (
    ChainLink,
    NotAnEntry,
    TrailEntry,
    entry_line,
    header_line,
    next_link,
    parse_entry,
)
from dimse_mesh.audit.codes import AuditedKind, AuditEvent
from dimse_mesh.audit.records import AuditedObject, AuditParticipant, AuditRecord
from dimse_mesh.audit.source import AuditSource
from dimse_mesh.audit.syslog import octet_counted, syslog_message
from dimse_mesh.audit.trail import AuditTrail, TrailError, TrailPlace, TrailReader
from dimse_mesh.audit.verify import BrokenChain, verify_file
from dimse_mesh.hooks.errors import HookRefusal
from dimse_mesh.hooks.paths import parse_path
from dimse_mesh.nats_server.build_info import parse_build_info
from dimse_mesh.operator.desired import desired_objects
from dimse_mesh.operator.names import Owner
from dimse_mesh.operator.secrets import parsed
from dimse_mesh.operator.zone import InvalidResourceError, parse_spec
from dimse_mesh.runtime.certificates import expiry_of
from dimse_mesh.runtime.health import HealthServer, parse_request
from dimse_mesh.runtime.settings import dump_complete, settings_from
from dimse_mesh.runtime.settings_errors import ConfigurationError
from dimse_mesh.runtime.settings_hooks import AttributePath
from dimse_mesh.runtime.settings_observability import HttpSettings
from dimse_mesh.runtime.yaml_file import read_yaml
from dimse_mesh.storage.file_meta import file_head
from dimse_mesh.storage.file_meta import parse_head as parse_file_head
from tests.fuzz.target import FuzzTarget

FOLDER = "DIMSE_MESH_FUZZ_FOLDER"
"""Environment variable: the folder for files."""
_PATHS: TypeAdapter[str] = TypeAdapter(AttributePath)
YAML = 4 * 1024
TODAY = datetime.date(2026, 11, 29)


@cache
def _folder(pid: int) -> Path:
    """Return a folder for this process's files, in memory where there is such a place.

    libFuzzer ends its process without a word to Python: there the folder is that of who has started it.
    """
    if FOLDER in os.environ:
        return Path(os.environ[FOLDER])
    memory = Path("/dev/shm")
    kept = tempfile.TemporaryDirectory(prefix=f"fuzz-{pid}-", dir=memory if memory.is_dir() else None)
    _KEPT.append(kept)
    return Path(kept.name)


_KEPT: list[tempfile.TemporaryDirectory[str]] = []
"""Until the process ends."""


def _file(name: str, data: bytes) -> Path:
    path = _folder(os.getpid()) / name
    path.write_bytes(data)
    return path


# --- configuration


def configuration(data: bytes) -> None:
    """Read a zone's file; one that is valid can be printed, and what is printed is valid."""
    path = _file("zone.yaml", data)
    with contextlib.suppress(ConfigurationError):
        settings = settings_from(read_yaml(path), source="zone.yaml")
        assert isinstance(yaml.safe_load(dump_complete(settings)), dict)


def resource(data: bytes) -> None:
    """Make the objects of a DimseProxy."""
    try:
        spec = json.loads(data)
    except (ValueError, RecursionError):
        return  # an API server stores nothing else than JSON
    if not isinstance(spec, dict):
        return
    owner = Owner(namespace="imaging", name="fuzzed", uid="1-2-3")
    with contextlib.suppress(InvalidResourceError):
        for item in desired_objects(owner, parse_spec(spec), default_image="dimse-mesh"):
            json.dumps(item)


def annotation(data: bytes) -> None:
    """Read the annotation of pods with the digests of their Secrets."""
    parsed(data.decode("utf-8", "replace"))


# --- files of commands


def dicom_file(data: bytes) -> None:
    """Read a DICOM file's meta information, as `send` does and as places do."""
    path = _file("image.dcm", data)
    with contextlib.suppress(NotDicomError):
        found = read_dicom_file(path)
        assert 0 <= found.offset <= len(data)
    head = parse_file_head(data)
    assert head is None or head.size <= len(data)


def cohort_list(data: bytes) -> None:
    """Read a list of studies; what was read can be written and read again."""
    path = _file("studies.csv", data)
    with contextlib.suppress(ConfigurationError):
        studies = read_list(path)
        write_list(path, studies)


def cohort_query(data: bytes) -> None:
    """Read a cohort's query, as YAML and as CSV."""
    for name in ("query.yaml", "query.csv"):
        with contextlib.suppress(ConfigurationError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            load_query(_file(name, data), ("PACS",))


def cohort_state(data: bytes) -> None:
    """Read how far a cohort was pulled."""
    listed = _folder(os.getpid()) / "state.csv"
    state_path(listed).write_bytes(data)
    with contextlib.suppress(ConfigurationError):
        load_state(listed)


def build_information(data: bytes) -> None:
    """Read what a binary says of itself."""
    parse_build_info(data)


def certificate(data: bytes) -> None:
    """Read when a certificate expires."""
    at = expiry_of(_file("tls.crt", data))
    assert at is None or isinstance(at, float)


def keys(data: bytes) -> None:
    """Read keys of queries, ranges of dates, and paths of hooks."""
    text = data.decode("utf-8", "replace")
    parse_range(text, TODAY)
    with contextlib.suppress(ConfigurationError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a value that breaks its VR's rules is sent as it is
        build_identifier([text])
    with contextlib.suppress(HookRefusal, ValidationError):
        parse_path(_PATHS.validate_python(text))
    assert printable(text).isprintable()


# --- audit trail


def audit_entry(data: bytes) -> None:
    """Read a line of an audit trail; what was read is written the same."""
    with contextlib.suppress(NotAnEntry):
        entry = parse_entry(data)
        assert parse_entry(entry_line(entry)) == entry


def audit_file(data: bytes) -> None:
    """Verify a file of an audit trail, read on from it, and go on writing behind it."""
    with tempfile.TemporaryDirectory(dir=_folder(os.getpid())) as name:
        directory = Path(name)
        newest = directory / f"{1:018d}.audit"
        newest.write_bytes(data)
        with contextlib.suppress(BrokenChain):
            verify_file(newest)
        trail = AuditTrail(directory, max_bytes=1 << 20, is_forwarded=True)
        (directory / "forwarded").write_bytes(data[-40:])
        with contextlib.suppress(TrailError):
            TrailReader(trail, TrailPlace()).take(100)
        trail.forwarded()
        trail.bytes_waiting()
        with contextlib.suppress(TrailError):
            trail.append([lambda number: b"%d" % number])


def audit_message(data: bytes) -> None:
    """Write what a peer calls itself into an audit message: one line of XML, whatever it is."""
    text = data.decode("utf-8", "replace")
    participant = AuditParticipant(user_id=text, requestor=True, ae_titles=(text,), name=text, host=text)
    item = AuditedObject(
        kind=next(iter(AuditedKind)), object_id=text, name=text, details={text: text}, instances={text: 1}
    )
    record = AuditRecord(
        event=AuditEvent.QUERY, participants=(participant,), objects=(item,), description=text, at=0.0
    )
    message = syslog_message(record, AuditSource("zone", "scu", host=text, pid=1), 1)
    assert b"\n" not in message
    assert octet_counted(message).endswith(message)
    ElementTree.fromstring(message.decode().partition("\ufeff")[2])


# --- HTTP


def health_request(data: bytes) -> None:
    """Read a request to the health server, and answer it."""
    server = HealthServer(
        HttpSettings(host="127.0.0.1", port=1),
        unready=lambda: None,
        exposition=lambda accept: ("text/plain", accept.encode()),
    )
    assert server.answer(parse_request(data)).startswith(b"HTTP/1.1 ")


# --- where fuzzing begins

_MODULE = bytes(16) + b"path\tx/y\nmod\tx/y\tv1\n" + bytes(16)
_BUILD = b"".join((b"\xff Go buildinf:\x08\x02", bytes(16), b"\x06go1.25", bytes((len(_MODULE),)), _MODULE))
_ZONE = b"""\
zone: hospital
nats: {servers: [nats://127.0.0.1:4222]}
association:
  listeners: [{host: 127.0.0.1, port: 11112}]
scu:
  remote_aes: [{ae_title: PACS, host: 127.0.0.1, port: 11113, max_associations: 2}]
routes: [{called: "*", to: {zone: cloud}, delivery: live}]
policy: {admission: [{networks: [10.0.0.0/8]}]}
"""
_RESOURCE = {
    "applicationEntityTitle": "PACS",
    "targetDimseHost": "127.0.0.1",
    "targetDimsePort": 11113,
    "natsUrl": "nats:4222",
    "natsSecure": True,
    "natsTokenSecret": "token",
    "natsSubjectRoot": "DIMSE",
    "natsSubjectChannel": "A",
    "proxy": {"image": "x"},
    "settings": {"association": {"max_associations": 3}},
}


def _examples(folder: str) -> Callable[[], Sequence[bytes]]:
    """Return our own examples of files below a folder, the small ones."""

    def read() -> Sequence[bytes]:
        root = Path(__file__).parents[2] / folder
        found = [path.read_bytes() for path in sorted(root.rglob("*.yaml"))]
        return [text for text in found if len(text) < 2048]

    return read


def _audit_lines() -> bytes:
    lines, link = header_line(ChainLink()), ChainLink()
    for message in (b"one", b"two"):
        link = next_link(link, message, b"")
        lines += entry_line(TrailEntry(link, message))
    return lines


def _dicom_files() -> Sequence[bytes]:
    head = file_head(
        sop_class="1.2", sop_instance="1.2.3", transfer_syntax="1.2.840.10008.1.2", source_ae="A"
    )
    return [head + b"data"]


@cache
def _certificate() -> bytes:
    return trustme.CA().issue_cert("localhost").cert_chain_pems[0].bytes()


TARGETS = (
    FuzzTarget(
        "configuration",
        "zones' files",
        configuration,
        lambda: [_ZONE, *_examples("examples")()],
        largest=YAML,
    ),
    FuzzTarget("resource", "DimseProxy resources", resource, lambda: [json.dumps(_RESOURCE).encode()]),
    FuzzTarget("annotation", "digests of Secrets in annotations", annotation, lambda: [b"a=1,b=2"]),
    FuzzTarget("dicom-file", "DICOM files", dicom_file, _dicom_files),
    FuzzTarget(
        "cohort-list",
        "lists of studies",
        cohort_list,
        lambda: [",".join(COLUMNS).encode() + b"\nyes,PACS,1.2.3,20200101,CT,x,1,2,3\n"],
    ),
    FuzzTarget(
        "cohort-query",
        "queries of a cohort",
        cohort_query,
        lambda: [
            b"find:\n- {PatientID: [1, 2], StudyDate: 20200101-}\npacs: [{ae_title: A}]\n",
            b"PatientID,StudyDate\n1,20200101\n",
        ],
        largest=YAML,
    ),
    FuzzTarget(
        "cohort-state", "states of a cohort", cohort_state, lambda: [b'{"version":1,"destination":"A"}']
    ),
    FuzzTarget("build-info", "build information of nats-server", build_information, lambda: [_BUILD]),
    FuzzTarget("certificate", "certificates", certificate, lambda: [_certificate()]),
    FuzzTarget(
        "keys",
        "keys of queries, ranges of dates, paths of hooks",
        keys,
        lambda: [
            b"PatientID=1\\2",
            b"RequestAttributesSequence[*].ScheduledProcedureStepID",
            b"(0019,SIEMENS MR HEADER,0C)",
            b"20200101-20210101",
            b"0010,0020=5",
        ],
    ),
    FuzzTarget(
        "audit-entry",
        "lines of an audit trail",
        audit_entry,
        lambda: [_audit_lines().split(b"\n")[1] + b"\n"],
    ),
    FuzzTarget("audit-file", "files of an audit trail", audit_file, lambda: [_audit_lines()]),
    FuzzTarget(
        "audit-message",
        "names of peers in audit messages",
        audit_message,
        lambda: [b"MODALITY", b'\x1b<&"\xff'],
    ),
    FuzzTarget(
        "health-request",
        "requests to the health server",
        health_request,
        lambda: [b"GET /metrics?x HTTP/1.1\r\nAccept: text/plain\r\n\r\n", b"HEAD /readyz HTTP/1.0\r\n\r\n"],
    ),
)
