"""One C-FIND of a cohort: study keys to answers, on an association of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from dimse_mesh.app.answer import QueryAnswer, read_answer
from dimse_mesh.app.dicom_query import Query
from dimse_mesh.app.identifier import QUERY_SYNTAXES, build_identifier, encode_identifier, parse_path
from dimse_mesh.app.printable import printable
from dimse_mesh.app.query_models import MODELS, Level, ModelName
from dimse_mesh.app.way_in import Door
from dimse_mesh.client import Proposal
from dimse_mesh.dimse import CommandField, Status

STUDY_KEYS: Final = (
    "StudyInstanceUID",
    "StudyDate",
    "ModalitiesInStudy",
    "StudyDescription",
    "AccessionNumber",
    "PatientID",
    "NumberOfStudyRelatedInstances",
)
_CUT_SHORT: Final = frozenset(
    (Status.QUERY_MATCHING_REACHED_RESPONSE_LIMIT, Status.FIND_OUT_OF_RESOURCES, Status.CANCEL)
)
"""Final statuses of those that don't give everything. Orthanc says FE00H, though nobody has cancelled."""


@dataclass(slots=True)
class Matches:
    """What a PACS answers.

    Attributes:
        cut_short: whether it has, or may have, more.
    """

    answers: list[QueryAnswer] = field(default_factory=list)
    status: int = 0
    cut_short: bool = False


async def find_matches(door: Door, ae_title: str, keys: Mapping[str, str], *, limit: int = 0) -> Matches:
    """Ask a PACS for studies; `limit`: it gives no more than so many.

    Raises:
        AssociationError: it can't be asked.
    """
    sop_class = MODELS[ModelName.STUDY].find
    identifier = build_identifier([f"{key}={value}" for key, value in keys.items()], Level.STUDY, STUDY_KEYS)
    matches = Matches()
    async with door.association(ae_title, [Proposal(sop_class, QUERY_SYNTAXES)]) as client:
        query = Query(client, CommandField.C_FIND_RQ, sop_class)
        async for response in query.responses(encode_identifier(identifier, query.transfer_syntax)):
            matches.status = response.status
            if response.command.is_pending:
                matches.answers.append(
                    read_answer(response.identifier, query.transfer_syntax, whole=response.whole)
                )
    matches.cut_short = matches.status in _CUT_SHORT or 0 < limit <= len(matches.answers)
    return matches


def value_of(answer: QueryAnswer, keyword: str) -> str:
    """Return an attribute's values as one line of text; empty: it isn't there."""
    value = "\\".join(text for text in answer.texts(parse_path(keyword)) if text).strip("\0 ")
    return "" if value == "?" else printable(value)


def count_of(answer: QueryAnswer) -> int | None:
    """Return how many instances the PACS has of a study; None: it doesn't say."""
    value = value_of(answer, "NumberOfStudyRelatedInstances").strip()
    return int(value) if value.isascii() and value.isdigit() else None
