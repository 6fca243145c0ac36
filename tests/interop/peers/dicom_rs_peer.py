"""dicom-rs's tools as clients and target."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tests.interop.peers.model import Call, Certificates, Directory, Outcome, Running, Service, Serving
from tests.interop.peers.tools import DICOM_RS_BIN, run
from tests.support.ports import reserve_port
from tests.support.process import Child


def missing() -> str | None:
    """Return why the tools can't be run, if so."""
    return (
        None
        if (DICOM_RS_BIN / "dicom-storescp").exists()
        else f"{DICOM_RS_BIN} doesn't hold dicom-rs's tools"
    )


def _tls(certificates: Certificates | None) -> tuple[str, ...]:
    if certificates is None:
        return ()
    return (
        *("--tls", "--key", str(certificates.key), "--cert", str(certificates.cert)),
        *("--add-certs", str(certificates.ca)),
    )


class DicomRsClient:
    """dicom-echoscu, dicom-storescu, dicom-findscu, dicom-movescu; TLS for dicom-storescu only."""

    name = "dicom-rs"
    services = frozenset((Service.ECHO, Service.STORE, Service.FIND, Service.MOVE))
    speaks_tls = True

    def perform(self, service: Service, call: Call) -> Outcome:
        """Run the program for this service."""
        where = f"127.0.0.1:{call.port}"
        titles = ("--called-ae-title", call.called, "--calling-ae-title", "DICOMRS")
        keys = (
            "-S",
            "-q",
            "QueryRetrieveLevel=STUDY",
            "-q",
            f"StudyInstanceUID={call.study}",
            "-q",
            "PatientID=",
        )
        match service:
            case Service.STORE:
                done = run(
                    (
                        *(DICOM_RS_BIN / "dicom-storescu", "-v", *titles, "--max-pdu-length", call.pdu),
                        *(*_tls(call.tls), where, *call.all_files()),
                    )
                )
                return Outcome(
                    done.code == 0, (done.code, done.output.count("Successfully stored")), done.output
                )
            case Service.FIND:
                done = run((DICOM_RS_BIN / "dicom-findscu", "-v", *titles, *keys, where))
                return Outcome(
                    done.code == 0, (done.code, *re.findall(r"Match #\d+", done.output)), done.output
                )
            case Service.MOVE:
                own = ("-p", reserve_port(), "-o", call.directory, "--move-destination", call.destination)
                done = run((DICOM_RS_BIN / "dicom-movescu", "-v", *titles, *keys, *own, where))
                return Outcome(done.code == 0, (done.code,), done.output)
            case _:
                done = run((DICOM_RS_BIN / "dicom-echoscu", "-v", *titles, where))
                return Outcome(done.code == 0, (done.code,), done.output)


class DicomRsTarget:
    """dicom-storescp."""

    name = "dicom-storescp (dicom-rs)"
    services = frozenset((Service.ECHO, Service.STORE))
    speaks_tls = True

    @contextmanager
    def serve(self, serving: Serving) -> Iterator[Running]:
        """Run it."""
        serving.directory.mkdir(parents=True, exist_ok=True)
        tls = (*_tls(serving.tls), "--allow-unauthenticated") if serving.tls is not None else ()
        command = (
            *(DICOM_RS_BIN / "dicom-storescp", "--promiscuous", "--non-blocking", "-v"),
            *("--calling-ae-title", serving.title, "--max-pdu-length", serving.pdu),
            *("-o", serving.directory, "-p", serving.port, *tls),
        )
        with Child([str(word) for word in command], log=serving.directory.with_suffix(".log")) as child:
            child.wait_for_port(serving.port)
            yield Directory(serving.directory)
