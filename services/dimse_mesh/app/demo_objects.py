"""The demo's C-* operations: store the samples, find them, get them back, have them moved back; every byte compared."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from pydicom.dataset import Dataset

from dimse_mesh.app.demo_mesh import ARCHIVE, ECHO, MODALITY, DemoMesh
from dimse_mesh.app.demo_peer import Digest, Received
from dimse_mesh.app.demo_report import Line, Report
from dimse_mesh.app.demo_samples import Sample
from dimse_mesh.app.dicom_query import Query
from dimse_mesh.app.file_sender import store_file
from dimse_mesh.app.identifier import QUERY_SYNTAXES, decode_identifier, encode_identifier
from dimse_mesh.app.query_models import MODELS, ModelName
from dimse_mesh.client import VERIFICATION, DicomClient, Proposal, connect_tcp
from dimse_mesh.dimse import CommandField, CommandSet

ECHOES = 200
MODEL = MODELS[ModelName.STUDY]


@asynccontextmanager
async def association(port: int, called_ae: str, proposals: Sequence[Proposal]) -> AsyncIterator[DicomClient]:
    """Open an association as the modality; release it at the end."""
    client = await connect_tcp("127.0.0.1", port)
    try:
        await client.associate(called_ae=called_ae, calling_ae=MODALITY, proposals=proposals)
        yield client
        await client.release()
    finally:
        client.close()


async def echo(report: Report, mesh: DemoMesh) -> None:
    """Measure C-ECHO against a bare responder, straight and through the mesh."""
    with report.operation("C-ECHO") as line:
        direct = await _median(mesh.echo_port)
        through = await _median(mesh.hospital_port)
        line.count = ECHOES
        line.verdict = f"{through * 1e3:.2f} ms each, {direct * 1e3:.2f} ms direct"


async def _median(port: int) -> float:
    times: list[float] = []
    async with association(port, ECHO, [VERIFICATION]) as client:
        for _ in range(ECHOES):
            began = time.perf_counter()
            await client.echo()
            times.append(time.perf_counter() - began)
    return statistics.median(times)


async def store(report: Report, mesh: DemoMesh, samples: Sequence[Sample]) -> None:
    """Store, each in its own transfer syntax; then look at what the archive has written."""
    with report.operation("C-STORE") as line:
        pairs = contexts_of(samples)
        proposals = [Proposal(sop_class, (syntax,)) for sop_class, syntax in pairs]
        async with association(mesh.hospital_port, ARCHIVE, proposals) as client:
            for sample in samples:
                status = await store_file(client, sample.file)
                line.count += 1
                line.size = (line.size or 0) + sample.file.size
                if status:
                    line.failures.append(f"{sample.file.path.name}: status {status:04X}H")
        compare(line, samples, mesh.stored())
        line.verdict = f"identical, {len({syntax for _, syntax in pairs})} syntaxes"


async def find(report: Report, mesh: DemoMesh, samples: Sequence[Sample]) -> None:
    """Find every study, and add up what the archive says that it holds of them."""
    with report.operation("C-FIND") as line:
        question = Dataset()
        question.QueryRetrieveLevel = "STUDY"
        question.StudyInstanceUID = None
        question.NumberOfStudyRelatedInstances = None
        objects: dict[str, int] = {}
        async with association(mesh.hospital_port, ARCHIVE, [Proposal(MODEL.find, QUERY_SYNTAXES)]) as client:
            query = Query(client, CommandField.C_FIND_RQ, MODEL.find)
            status = -1
            async for response in query.responses(encode_identifier(question, query.transfer_syntax)):
                status = response.status
                if response.identifier is not None:
                    answer = decode_identifier(response.identifier, query.transfer_syntax)
                    objects[str(answer.StudyInstanceUID)] = int(answer.NumberOfStudyRelatedInstances)
        _check_status(line, status)
        line.count = len(objects)
        if set(objects) != {sample.study for sample in samples}:
            line.failures.append("the studies found are not those that were stored")
        if sum(objects.values()) != len(samples):
            line.failures.append(f"{len(samples)} objects stored, {sum(objects.values())} found")
        line.verdict = "studies, every object counted"


class Digests:
    """Takes C-GET's sub-operations."""

    def __init__(self) -> None:
        self.objects: dict[str, Digest] = {}
        self.size = 0
        self._hash = hashlib.sha256()
        self._name = self._syntax = ""

    async def begin(self, request: CommandSet, transfer_syntax: str) -> None:
        """Begin an object."""
        self._name, self._syntax = request.affected_sop_instance_uid or "", transfer_syntax
        self._hash = hashlib.sha256()

    async def write(self, fragment: memoryview) -> None:
        """Take the next piece of its data set."""
        self.size += len(fragment)
        self._hash.update(fragment)

    async def end(self) -> int:
        """Note it."""
        self.objects[self._name] = (self._syntax, self._hash.hexdigest())
        return 0


async def get(report: Report, mesh: DemoMesh, samples: Sequence[Sample]) -> None:
    """Get everything back on the association that asks."""
    with report.operation("C-GET") as line:
        proposals = [
            Proposal(MODEL.get, QUERY_SYNTAXES),
            *(Proposal(sop_class, (syntax,), as_scp=True) for sop_class, syntax in contexts_of(samples)),
        ]
        digests = Digests()
        async with association(mesh.hospital_port, ARCHIVE, proposals) as client:
            query = Query(client, CommandField.C_GET_RQ, MODEL.get, storage=digests)
            await _retrieve(line, query, samples)
        line.size = digests.size
        compare(line, samples, digests.objects)
        line.verdict = "identical"


async def move(report: Report, mesh: DemoMesh, samples: Sequence[Sample], received: Received) -> None:
    """Have the archive send everything to the modality, from its zone to ours."""
    with report.operation("C-MOVE") as line:
        async with association(mesh.hospital_port, ARCHIVE, [Proposal(MODEL.move, QUERY_SYNTAXES)]) as client:
            query = Query(client, CommandField.C_MOVE_RQ, MODEL.move, destination=MODALITY)
            await _retrieve(line, query, samples)
        line.size = received.bytes_received
        compare(line, samples, received.objects)
        line.verdict = "identical, cloud to hospital"


def contexts_of(samples: Sequence[Sample]) -> list[tuple[str, str]]:
    """Return each SOP class with each transfer syntax that it has."""
    return list(dict.fromkeys((sample.file.sop_class, sample.file.transfer_syntax) for sample in samples))


async def _retrieve(line: Line, query: Query, samples: Sequence[Sample]) -> None:
    wanted = Dataset()
    wanted.QueryRetrieveLevel = "STUDY"
    wanted.StudyInstanceUID = sorted({sample.study for sample in samples})
    status = -1
    async for response in query.responses(encode_identifier(wanted, query.transfer_syntax)):
        status, line.count = response.status, response.counts.completed or 0
    _check_status(line, status)
    if line.count != len(samples):
        line.failures.append(f"{line.count} of {len(samples)} sub-operations completed")


def _check_status(line: Line, status: int) -> None:
    if status:
        line.failures.append(f"status {status:04X}H")


def compare(line: Line, samples: Sequence[Sample], there: Mapping[str, Digest]) -> None:
    """Note every sample that isn't there byte for byte, in its own transfer syntax."""
    for sample in samples:
        if there.get(sample.file.sop_instance) != sample.digest:
            line.failures.append(f"{sample.file.path.name}: not there byte-identical")
