"""pynetdicom as client and target."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pynetdicom
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.uid import UID
from pynetdicom import AE, AllStoragePresentationContexts, build_role, evt
from pynetdicom.association import Association
from pynetdicom.events import Event

from tests.interop.peers.model import Call, Certificates, Outcome, Running, Service, Serving, Stored, digest
from tests.support.files import real_files
from tests.support.pynet import entity, scp, was_rejected
from tests.support.wire import STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE, VERIFICATION

_SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")


def _data_set(event: Event) -> bytes:
    """Return the data set of a C-STORE as it came."""
    request: Any = event.request
    raw: bytes = request.DataSet.getvalue()
    return raw


@dataclass(slots=True)
class _Kept:
    """What an SCP has received, as it came, and as data sets to retrieve."""

    digests: Stored = field(default_factory=dict)
    data_sets: dict[str, Dataset] = field(default_factory=dict)

    def stored(self) -> Stored:
        """Return the digests."""
        return dict(sorted(self.digests.items()))

    def take(self, event: Event) -> int:
        """Handle a C-STORE."""
        request: Any = event.request
        uid = str(request.AffectedSOPInstanceUID)
        self.digests[uid] = (str(event.context.transfer_syntax), digest(_data_set(event)))
        data_set = event.dataset
        data_set.file_meta = event.file_meta
        self.data_sets[uid] = data_set
        return 0x0000


class PynetdicomClient:
    """pynetdicom's Association as a program would use it."""

    name = "pynetdicom"
    services = frozenset(Service)
    speaks_tls = True

    def perform(self, service: Service, call: Call) -> Outcome:
        """Associate, ask, release."""
        ae = entity("PYNETSCU", max_pdu=call.pdu)
        kept = _Kept()
        steps: dict[Service, Callable[[Association], tuple[object, ...]]] = {
            Service.ECHO: lambda assoc: (_status(assoc.send_c_echo()),),
            Service.STORE: lambda assoc: tuple(_store(assoc, call)),
            Service.FIND: lambda assoc: _answers(assoc.send_c_find(_key(call), STUDY_ROOT_FIND)),
            Service.GET: lambda assoc: (
                *_answers(assoc.send_c_get(_key(call), STUDY_ROOT_GET)),
                kept.stored(),
            ),
            Service.MOVE: lambda assoc: _answers(
                assoc.send_c_move(_key(call), call.destination, STUDY_ROOT_MOVE)
            ),
        }
        roles = _propose(ae, service, call)
        assoc = ae.associate(
            "127.0.0.1",
            call.port,
            ae_title=call.called,
            ext_neg=roles,
            evt_handlers=[(evt.EVT_C_STORE, kept.take)],
            tls_args=None if call.tls is None else (_client_context(call.tls), "127.0.0.1"),
        )
        if not assoc.is_established:
            return Outcome(False, ("rejected" if was_rejected(assoc) else "aborted",))
        facts = steps[service](assoc)
        assoc.release()
        return Outcome(facts != () and facts[-1] != "no answer", facts)


def _propose(ae: AE, service: Service, call: Call) -> list[Any]:
    """Propose what the service needs, and return the roles for it."""
    match service:
        case Service.ECHO:
            ae.add_requested_context(VERIFICATION)
        case Service.STORE:
            seen = set()
            for syntax, files in call.files.items():
                for path in files:
                    pair = (str(dcmread(path, stop_before_pixels=True, force=True).SOPClassUID), syntax)
                    if pair not in seen and not seen.add(pair):  # type: ignore[func-returns-value]  # the idiom
                        ae.add_requested_context(*pair)
        case Service.FIND:
            ae.add_requested_context(STUDY_ROOT_FIND)
        case Service.MOVE:
            ae.add_requested_context(STUDY_ROOT_MOVE)
        case Service.GET:
            ae.add_requested_context(STUDY_ROOT_GET)
            uids = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.7")
            for uid in uids:
                ae.add_requested_context(uid, list(_SYNTAXES))
            return [build_role(UID(uid), scp_role=True) for uid in uids]
    return []


def _status(answer: Dataset) -> object:
    return f"{answer.Status:04X}" if "Status" in answer else "no answer"


def _store(assoc: Association, call: Call) -> Iterator[object]:
    for path in call.all_files():
        try:
            yield _status(assoc.send_c_store(path))
        except ValueError:  # its context was refused
            yield "not accepted"


def _answers(responses: Iterator[tuple[Dataset, Dataset | None]]) -> tuple[object, ...]:
    return tuple(_status(status) for status, _ in responses)


def _key(call: Call) -> Dataset:
    key = Dataset()
    key.QueryRetrieveLevel = "STUDY"
    key.StudyInstanceUID = call.study
    key.PatientID = ""
    return key


def _client_context(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificates.ca)
    context.load_cert_chain(certificates.cert, certificates.key)
    return context


class PynetdicomTarget:
    """An SCP of pynetdicom's that keeps what it gets in memory."""

    name = "pynetdicom"
    services = frozenset(Service)
    speaks_tls = True

    @contextmanager
    def serve(self, serving: Serving) -> Iterator[Running]:
        """Serve in threads of this process."""
        kept = _Kept()

        def matching(event: Event) -> list[Dataset]:
            study = event.identifier.get("StudyInstanceUID", "")
            return [one for one in kept.data_sets.values() if one.get("StudyInstanceUID") == study]

        def find(event: Event) -> Iterator[tuple[int, Dataset | None]]:
            for one in matching(event)[:1]:
                answer = Dataset()
                answer.QueryRetrieveLevel = "STUDY"
                answer.StudyInstanceUID = one.StudyInstanceUID
                answer.PatientID = one.PatientID
                yield 0xFF00, answer

        def get(event: Event) -> Iterator[object]:
            found = matching(event)
            yield len(found)
            for one in found:
                yield 0xFF00, one

        def move(event: Event) -> Iterator[object]:
            found = matching(event)
            port = serving.destinations.get(str(event.move_destination).strip())
            if port is None:
                yield None, None
                return
            yield "127.0.0.1", port, {"contexts": _contexts_for(found)}
            yield len(found)
            for one in found:
                yield 0xFF00, one

        ae = entity(serving.title, max_pdu=serving.pdu)
        ae.requested_contexts = []
        storage = {str(context.abstract_syntax) for context in AllStoragePresentationContexts}
        contexts = [(uid, list(real_files())) for uid in sorted(storage)]
        contexts += [
            (uid, list(_SYNTAXES)) for uid in (VERIFICATION, STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE)
        ]
        handlers = [
            (evt.EVT_C_STORE, kept.take),
            (evt.EVT_C_FIND, find),
            (evt.EVT_C_GET, get),
            (evt.EVT_C_MOVE, move),
        ]
        secured = None if serving.tls is None else _server_context(serving.tls)
        with scp(ae, handlers, port=serving.port, contexts=contexts, tls=secured):
            yield kept


def _contexts_for(data_sets: list[Dataset]) -> list[Any]:
    pairs = {(str(one.SOPClassUID), str(one.file_meta.TransferSyntaxUID)) for one in data_sets}
    return [pynetdicom.build_context(*pair) for pair in sorted(pairs)]


def _server_context(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.cert, certificates.key)
    return context
