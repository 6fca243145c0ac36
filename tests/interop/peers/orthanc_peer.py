"""Orthanc as client and target."""

from __future__ import annotations

import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.interop.peers.model import Call, Certificates, Outcome, Running, Service, Serving, Stored, digest
from tests.support.files import take_apart
from tests.support.orthanc import Orthanc


def _tls(certificates: Certificates) -> dict[str, object]:
    return {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(certificates.cert),
        "DicomTlsPrivateKey": str(certificates.key),
        "DicomTlsTrustedCertificates": str(certificates.ca),
        "DicomTlsRemoteCertificateRequired": False,
    }


class OrthancClient:
    """A running Orthanc, told over HTTP what to ask its one modality for."""

    name = "Orthanc"
    services = frozenset((Service.ECHO, Service.STORE, Service.FIND, Service.MOVE))
    speaks_tls = True

    def perform(self, service: Service, call: Call) -> Outcome:
        """Start one, ask it, stop it."""
        tls = {} if call.tls is None else {**_tls(call.tls), "DicomTlsEnabled": False}
        settings: dict[str, object] = {
            "MaximumPduLength": call.pdu,
            "DicomModalities": {
                "target": {
                    "AET": call.called,
                    "Host": "127.0.0.1",
                    "Port": call.port,
                    "UseDicomTls": call.tls is not None,
                }
            },
            **tls,
        }
        with Orthanc.start(
            call.directory, ae_title="ORTHANCSCU", settings=settings, verbose=False
        ) as orthanc:
            try:
                return Outcome(True, self._ask(orthanc, service, call))
            except urllib.error.HTTPError as error:
                return Outcome(False, (error.code,), error.read().decode(errors="replace"))

    def _ask(self, orthanc: Orthanc, service: Service, call: Call) -> tuple[object, ...]:
        match service:
            case Service.STORE:
                for path in call.all_files():
                    orthanc.post("/instances", path.read_bytes())
                answer = orthanc.post(
                    "/modalities/target/store", {"Resources": orthanc.get("/instances"), "Permissive": True}
                )
                return (answer["InstancesCount"], answer["FailedInstancesCount"])
            case Service.FIND:
                return (len(orthanc.get(f"/queries/{self._query(orthanc, call)}/answers")),)
            case Service.MOVE:
                query = self._query(orthanc, call)
                orthanc.post(f"/queries/{query}/answers/0/retrieve", call.destination.encode())
                return ()
            case _:
                return (orthanc.post("/modalities/target/echo", {}),)

    def _query(self, orthanc: Orthanc, call: Call) -> str:
        asked = {"Level": "Study", "Query": {"StudyInstanceUID": call.study, "PatientID": ""}}
        answer: str = orthanc.post("/modalities/target/query", asked)["ID"]
        return answer


@dataclass(frozen=True, slots=True)
class _Running:
    orthanc: Orthanc
    serving: Serving

    def stored(self) -> Stored:
        """Return what it holds, in the transfer syntax that it was given."""
        found: Stored = {}
        for instance in self.orthanc.get("/instances"):
            path = self.serving.directory / f"{instance}.dcm"
            path.write_bytes(self.orthanc.get_bytes(f"/instances/{instance}/file"))
            taken = take_apart(path)
            found[taken.sop_instance] = (taken.transfer_syntax, digest(taken.data))
        return dict(sorted(found.items()))


class OrthancTarget:
    """An Orthanc that takes everything."""

    name = "Orthanc"
    services = frozenset(Service)
    speaks_tls = True

    @contextmanager
    def serve(self, serving: Serving) -> Iterator[Running]:
        """Run it."""
        tls = {} if serving.tls is None else _tls(serving.tls)
        settings = {"MaximumPduLength": serving.pdu, "UnknownSopClassAccepted": True, **tls}
        with Orthanc.start(
            serving.directory,
            ae_title=serving.title,
            dicom_port=serving.port,
            modalities={title: (title, port) for title, port in serving.destinations.items()},
            settings=settings,
            verbose=False,
        ) as orthanc:
            yield _Running(orthanc, serving)
