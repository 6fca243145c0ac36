"""What priors ask of a PACS: a study, a patient's studies, body parts (C-FIND), and to move a study (C-MOVE)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Final

from dimse_mesh.app.answer import QueryAnswer, read_answer
from dimse_mesh.app.cohort_ask import count_of, value_of
from dimse_mesh.app.dicom_query import Query
from dimse_mesh.app.identifier import QUERY_SYNTAXES, build_identifier, encode_identifier
from dimse_mesh.app.priors_rules import StudyFacts
from dimse_mesh.app.query_models import MODELS, Level, ModelName
from dimse_mesh.app.uid import is_uid
from dimse_mesh.app.way_in import Door
from dimse_mesh.client import AssociationError, Proposal
from dimse_mesh.dimse import CommandField, StatusCategory, category

_STUDY_KEYS: Final = (
    "StudyInstanceUID",
    "PatientID",
    "StudyDate",
    "ModalitiesInStudy",
    "NumberOfStudyRelatedInstances",
)
_SERIES_KEYS: Final = ("SeriesInstanceUID", "BodyPartExamined")


class PacsRefusal(AssociationError):
    """A PACS answers with a status of failure."""


async def study_facts(door: Door, ae_title: str, study: str) -> StudyFacts | None:
    """Ask for one study; None: the PACS doesn't have it.

    Raises:
        AssociationError: it can't be asked.
    """
    answers = await _find(door, ae_title, {"StudyInstanceUID": study}, Level.STUDY, _STUDY_KEYS)
    return next((one for one in map(_facts, answers) if one is not None and one.study == study), None)


async def studies_of(door: Door, ae_title: str, patient: str) -> list[StudyFacts]:
    """Ask for the studies of a patient.

    Raises:
        AssociationError: the PACS can't be asked.
    """
    answers = await _find(door, ae_title, {"PatientID": patient}, Level.STUDY, _STUDY_KEYS)
    return [one for one in map(_facts, answers) if one is not None]


async def body_parts(door: Door, ae_title: str, study: str) -> frozenset[str]:
    """Ask which body parts a study's series have; nothing: they don't say.

    Raises:
        AssociationError: the PACS can't be asked.
    """
    answers = await _find(door, ae_title, {"StudyInstanceUID": study}, Level.SERIES, _SERIES_KEYS)
    return frozenset(filter(None, (value_of(answer, "BodyPartExamined").strip() for answer in answers)))


async def move_study(door: Door, ae_title: str, study: str, destination: str) -> str:
    """Have a study moved; return why not all of it was, or nothing.

    Raises:
        AssociationError: the association was lost before the final response.
    """
    sop_class = MODELS[ModelName.STUDY].move
    identifier = build_identifier([f"StudyInstanceUID={study}"], Level.STUDY)
    why = "no final response"
    async with door.association(ae_title, [Proposal(sop_class, QUERY_SYNTAXES)]) as client:
        query = Query(client, CommandField.C_MOVE_RQ, sop_class, destination=destination)
        async for response in query.responses(encode_identifier(identifier, query.transfer_syntax)):
            if not response.command.is_pending:
                failed = response.counts.failed or 0
                bad = category(response.status) is not StatusCategory.SUCCESS or failed
                why = f"C-MOVE: status {response.status:04X}H, {failed} sub-operations failed" if bad else ""
    return why


async def _find(
    door: Door, ae_title: str, keys: Mapping[str, str], level: Level, wanted: tuple[str, ...]
) -> list[QueryAnswer]:
    sop_class = MODELS[ModelName.STUDY].find
    identifier = build_identifier([f"{key}={value}" for key, value in keys.items()], level, wanted)
    answers: list[QueryAnswer] = []
    async with door.association(ae_title, [Proposal(sop_class, QUERY_SYNTAXES)]) as client:
        query = Query(client, CommandField.C_FIND_RQ, sop_class)
        async for response in query.responses(encode_identifier(identifier, query.transfer_syntax)):
            if response.command.is_pending:
                answers.append(read_answer(response.identifier, query.transfer_syntax, whole=response.whole))
            elif category(response.status) is StatusCategory.FAILURE:
                raise PacsRefusal(f"C-FIND: status {response.status:04X}H")
    return answers


def _facts(answer: QueryAnswer) -> StudyFacts | None:
    study = value_of(answer, "StudyInstanceUID")
    if not is_uid(study):
        return None
    return StudyFacts(
        study=study,
        patient=value_of(answer, "PatientID"),
        date=_date(value_of(answer, "StudyDate")),
        modalities=frozenset(filter(None, value_of(answer, "ModalitiesInStudy").split("\\"))),
        instances=count_of(answer),
    )


def _date(text: str) -> date | None:
    try:
        return datetime.strptime(text.strip(), "%Y%m%d").date()
    except ValueError:
        return None
