"""The demo's N-* operations: a performed procedure step from begin to end, and storage commitment with its report."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from dimse_mesh.app.demo_mesh import ARCHIVE, MODALITY, DemoMesh
from dimse_mesh.app.demo_objects import association
from dimse_mesh.app.demo_peer import Received
from dimse_mesh.app.demo_report import Line, Report
from dimse_mesh.app.demo_samples import Sample
from dimse_mesh.app.dicom_query import DATA_SET_FOLLOWS
from dimse_mesh.app.identifier import QUERY_SYNTAXES, decode_identifier, encode_identifier
from dimse_mesh.client import DicomClient, DimseMessage, Proposal
from dimse_mesh.dimse import NO_DATA_SET, CommandField, CommandSet, Tag, response_to
from dimse_mesh.dimse.commitment import (
    COMMITMENT_SYNTAXES,
    REQUEST_COMMITMENT,
    STORAGE_COMMITMENT,
    STORAGE_COMMITMENT_INSTANCE,
)

MPPS = "1.2.840.10008.3.1.2.3.3"
MPPS_RETRIEVE = "1.2.840.10008.3.1.2.3.4"
_COMMITMENT = (Proposal(STORAGE_COMMITMENT, COMMITMENT_SYNTAXES),)


async def performed_procedure_step(report: Report, mesh: DemoMesh) -> None:
    """Begin a step, complete it, and read it back (PS3.4 Annex F)."""
    with report.operation("N-CREATE, N-SET, N-GET") as line:
        step = str(generate_uid())
        proposals = [Proposal(name, QUERY_SYNTAXES) for name in (MPPS, MPPS_RETRIEVE)]
        async with association(mesh.hospital_port, ARCHIVE, proposals) as client:
            begun, completed = Dataset(), Dataset()
            begun.PerformedProcedureStepStatus = "IN PROGRESS"
            begun.PerformedStationAETitle = MODALITY
            begun.Modality = "CT"
            completed.PerformedProcedureStepStatus = "COMPLETED"
            await _call(line, client, CommandField.N_CREATE_RQ, MPPS, step, data=begun)
            await _call(line, client, CommandField.N_SET_RQ, MPPS, step, data=completed)
            answer = await _call(line, client, CommandField.N_GET_RQ, MPPS_RETRIEVE, step)
            _, syntax = client.context(MPPS_RETRIEVE)
            there = decode_identifier(answer.data_set or b"", syntax)
        if there.get("PerformedProcedureStepStatus") != "COMPLETED":
            line.failures.append("the step read back isn't completed")
        if there.get("PerformedStationAETitle") != MODALITY:
            line.failures.append("the step read back isn't the one that was created")
        line.verdict = "begun, completed, read back"


async def commitment_on_same_association(report: Report, mesh: DemoMesh, samples: Sequence[Sample]) -> None:
    """Ask for commitment and stay: the report comes in the reverse role."""
    with report.operation("N-ACTION, N-EVENT-REPORT") as line:
        async with association(mesh.hospital_port, ARCHIVE, _COMMITMENT) as client:
            transaction = await _ask(line, client, samples)
            event = await client.next_request()
            await client.send(event.context_id, response_to(event.command, 0))
            _, syntax = client.context(STORAGE_COMMITMENT)
            _check(line, decode_identifier(event.data_set or b"", syntax), transaction, samples)
        line.verdict = "committed, same association"


async def commitment_on_new_association(
    report: Report, mesh: DemoMesh, samples: Sequence[Sample], received: Received
) -> None:
    """Ask for commitment and go: the archive calls the modality, from its zone to ours."""
    with report.operation("N-ACTION, N-EVENT-REPORT") as line:
        async with association(mesh.hospital_port, ARCHIVE, _COMMITMENT) as client:
            transaction = await _ask(line, client, samples)
        syntax, information = await received.report()
        _check(line, decode_identifier(information, syntax), transaction, samples)
        line.verdict = "committed, a new association"


async def _ask(line: Line, client: DicomClient, samples: Sequence[Sample]) -> str:
    wanted = Dataset()
    wanted.TransactionUID = generate_uid()
    wanted.ReferencedSOPSequence = []
    for sample in samples:
        item = Dataset()
        item.ReferencedSOPClassUID = sample.file.sop_class
        item.ReferencedSOPInstanceUID = sample.file.sop_instance
        wanted.ReferencedSOPSequence.append(item)
    instance = STORAGE_COMMITMENT_INSTANCE
    await _call(line, client, CommandField.N_ACTION_RQ, STORAGE_COMMITMENT, instance, data=wanted)
    line.count = 0
    return str(wanted.TransactionUID)


def _check(line: Line, information: Dataset, transaction: str, samples: Sequence[Sample]) -> None:
    committed = {str(item.ReferencedSOPInstanceUID) for item in information.get("ReferencedSOPSequence", ())}
    line.count = len(committed)
    if information.get("TransactionUID") != transaction:
        line.failures.append("the report is of another transaction")
    if committed != {sample.file.sop_instance for sample in samples}:
        line.failures.append(f"{len(committed)} of {len(samples)} objects are committed")


async def _call(
    line: Line,
    client: DicomClient,
    operation: CommandField,
    sop_class: str,
    sop_instance: str,
    *,
    data: Dataset | None = None,
) -> DimseMessage:
    """Send an N-* request and check the response's status."""
    context_id, syntax = client.context(sop_class)
    affected = operation is CommandField.N_CREATE_RQ  # PS3.7 §10.3: the others name what is requested
    request = CommandSet.build(
        {
            Tag.AffectedSOPClassUID if affected else Tag.RequestedSOPClassUID: sop_class,
            Tag.CommandField: operation,
            Tag.MessageID: client.next_message_id(),
            Tag.CommandDataSetType: NO_DATA_SET if data is None else DATA_SET_FOLLOWS,
            Tag.AffectedSOPInstanceUID if affected else Tag.RequestedSOPInstanceUID: sop_instance,
            **({Tag.ActionTypeID: REQUEST_COMMITMENT} if operation is CommandField.N_ACTION_RQ else {}),
        }
    )
    answer = await client.call(context_id, request, None if data is None else encode_identifier(data, syntax))
    line.count += 1
    if answer.command.status:
        line.failures.append(f"{operation.name}: status {answer.command.status:04X}H")
    return answer
