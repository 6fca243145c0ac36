"""DCMTK's programs as clients and targets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tests.interop.peers.model import (
    Call,
    Certificates,
    Directory,
    Outcome,
    Running,
    Service,
    Serving,
    stored_files,
)
from tests.interop.test_dcmtk_store import PROPOSE
from tests.support import dcmtk
from tests.support.files import data_sets

ALL = frozenset(Service)


def _tls(certificates: Certificates | None, *more: str) -> tuple[str, ...]:
    if certificates is None:
        return ()
    own = ("+tls", str(certificates.key), str(certificates.cert))
    return (*own, "+cf", str(certificates.ca), *more)


class DcmtkClient:
    """echoscu, storescu, findscu, getscu, movescu."""

    name = "DCMTK"
    services = ALL
    speaks_tls = True

    def perform(self, service: Service, call: Call) -> Outcome:
        """Run the program for this service."""
        common = ("-v", "-to", 20, "-aec", call.called, *_tls(call.tls))
        where = ("127.0.0.1", call.port)
        study = ("-S", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={call.study}")
        pdu = ("-pdu", call.pdu)
        match service:
            case Service.ECHO:
                return _outcome(dcmtk.run("echoscu", *common, *pdu, *where))
            case Service.STORE:
                results = [
                    dcmtk.run("storescu", *common, *pdu, "-R", "-nh", PROPOSE[syntax], *where, *files)
                    for syntax, files in call.files.items()
                    if syntax in PROPOSE
                ]
                return Outcome(
                    all(result.code == 0 for result in results),
                    tuple(sorted(_statuses(result.output)) for result in results),
                    "".join(result.output for result in results),
                )
            case Service.FIND:
                result = dcmtk.run(
                    "findscu", *common, *pdu, "-X", "-od", call.directory, *study, "-k", "PatientID", *where
                )
                return _outcome(result, len(list(call.directory.iterdir())))
            case Service.GET:
                result = dcmtk.run("getscu", *common, *pdu, "+B", "-od", call.directory, *study, *where)
                return _outcome(result, stored_files(data_sets(call.directory)))
            case Service.MOVE:
                return _outcome(dcmtk.run("movescu", *common, *pdu, "-aem", call.destination, *study, *where))


def _statuses(output: str) -> list[str]:
    return re.findall(r"Received \w+ Response \((.*)\)", output)


def _outcome(result: dcmtk.Result, *facts: object) -> Outcome:
    return Outcome(result.code == 0, (result.code, *_statuses(result.output), *facts), result.output)


class Storescp:
    """storescp, which takes every transfer syntax."""

    name = "storescp (DCMTK)"
    services = frozenset((Service.ECHO, Service.STORE))
    speaks_tls = True

    @contextmanager
    def serve(self, serving: Serving) -> Iterator[Running]:
        """Run it."""
        child, _ = dcmtk.storescp(
            serving.directory,
            port=serving.port,
            ae_title=serving.title,
            more=("+xa", "-pm", "-pdu", serving.pdu, *_tls(serving.tls, "-ic")),
            env=dcmtk.NO_DELAY,
        )
        with child:
            yield Directory(serving.directory)


class Dcmqrscp:
    """dcmqrscp, an archive."""

    name = "dcmqrscp (DCMTK)"
    services = ALL
    speaks_tls = False

    @contextmanager
    def serve(self, serving: Serving) -> Iterator[Running]:
        """Run it."""
        child, _ = dcmtk.dcmqrscp(
            serving.directory,
            ae_title=serving.title,
            destinations=serving.destinations,
            port=serving.port,
            max_pdu=serving.pdu,
            env=dcmtk.NO_DELAY,
        )
        with child:
            yield Directory(serving.directory / "storage")
