"""dcmjs-dimse as client and target."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.interop.peers.model import Call, Certificates, Directory, Outcome, Running, Service, Serving
from tests.interop.peers.tools import NODE_MODULES, run
from tests.support.process import Child
from tests.support.wire import EXPLICIT_LE, IMPLICIT_LE

_NATIVE = (IMPLICIT_LE, EXPLICIT_LE)
"""It decodes and encodes again what it sends: of compressed images some never end."""
_SCRIPTS = Path(__file__).parent / "dcmjs"
_ENV = {"NODE_PATH": str(NODE_MODULES)}


def missing() -> str | None:
    """Return why it can't be run, if so."""
    if shutil.which("node") is None:
        return "node is not installed"
    return None if (NODE_MODULES / "dcmjs-dimse").exists() else f"{NODE_MODULES} doesn't hold dcmjs-dimse"


def _tls(certificates: Certificates | None) -> dict[str, str] | None:
    if certificates is None:
        return None
    return {"ca": str(certificates.ca), "cert": str(certificates.cert), "key": str(certificates.key)}


class DcmjsClient:
    """A program on dcmjs-dimse's Client."""

    name = "dcmjs-dimse"
    services = frozenset(Service)
    speaks_tls = True

    def perform(self, service: Service, call: Call) -> Outcome:
        """Run it."""
        said = {
            "service": service.value,
            "port": call.port,
            "called": call.called,
            "pdu": call.pdu,
            "tls": _tls(call.tls),
            "study": call.study,
            "destination": call.destination,
            "files": [(syntax, str(path)) for syntax in _NATIVE for path in call.files.get(syntax, ())],
        }
        done = run(("node", _SCRIPTS / "client.js", json.dumps(said)), env=_ENV)
        lines = [line for line in done.output.splitlines() if line.startswith("{")]
        facts = json.loads(lines[-1]) if lines else {}
        return Outcome(done.code == 0, (done.code, json.dumps(facts, sort_keys=True)), done.output)


class DcmjsTarget:
    """A program on dcmjs-dimse's Server."""

    name = "dcmjs-dimse"
    services = frozenset((Service.ECHO, Service.STORE, Service.FIND))
    speaks_tls = True

    @contextmanager
    def serve(self, serving: Serving) -> Iterator[Running]:
        """Run it."""
        serving.directory.mkdir(parents=True, exist_ok=True)
        said = {
            "port": serving.port,
            "pdu": serving.pdu,
            "directory": str(serving.directory),
            "tls": _tls(serving.tls),
        }
        command = ["node", str(_SCRIPTS / "target.js"), json.dumps(said)]
        with Child(command, log=serving.directory.with_suffix(".log"), env=_ENV) as child:
            child.wait_for_port(serving.port)
            yield Directory(serving.directory)
