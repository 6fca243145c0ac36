"""The information models of query and retrieve (PS3.4 §C.6, §K.6), and what is asked for when nothing is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from dimse_mesh.runtime.settings_errors import ConfigurationError


class Level(StrEnum):
    """Query/retrieve levels (PS3.4 §C.6), highest first."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


class ModelName(StrEnum):
    """How the command line spells the models."""

    STUDY = "study"
    PATIENT = "patient"
    WORKLIST = "worklist"


@dataclass(frozen=True, slots=True)
class Model:
    """SOP classes of a model; a worklist is only found."""

    find: str
    move: str = ""
    get: str = ""
    levels: tuple[Level, ...] = ()


MODELS = {
    ModelName.STUDY: Model(
        find="1.2.840.10008.5.1.4.1.2.2.1",
        move="1.2.840.10008.5.1.4.1.2.2.2",
        get="1.2.840.10008.5.1.4.1.2.2.3",
        levels=(Level.STUDY, Level.SERIES, Level.IMAGE),
    ),
    ModelName.PATIENT: Model(
        find="1.2.840.10008.5.1.4.1.2.1.1",
        move="1.2.840.10008.5.1.4.1.2.1.2",
        get="1.2.840.10008.5.1.4.1.2.1.3",
        levels=tuple(Level),
    ),
    ModelName.WORKLIST: Model(find="1.2.840.10008.5.1.4.31"),
}

UNIQUE_KEYS = {
    Level.PATIENT: "PatientID",
    Level.STUDY: "StudyInstanceUID",
    Level.SERIES: "SeriesInstanceUID",
    Level.IMAGE: "SOPInstanceUID",
}
"""The unique key of each level (PS3.4 §C.6.1.1, §C.6.2.1)."""

RETURN_KEYS = {
    Level.PATIENT: ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    Level.STUDY: (
        "StudyDate",
        "PatientName",
        "PatientID",
        "ModalitiesInStudy",
        "StudyDescription",
        "NumberOfStudyRelatedInstances",
        "StudyInstanceUID",
    ),
    Level.SERIES: (
        "Modality",
        "SeriesNumber",
        "SeriesDescription",
        "NumberOfSeriesRelatedInstances",
        "StudyInstanceUID",
        "SeriesInstanceUID",
    ),
    Level.IMAGE: ("InstanceNumber", "SOPClassUID", "SeriesInstanceUID", "SOPInstanceUID"),
}
"""What `find` asks for besides the user's own keys."""

WORKLIST_KEYS = (
    "ScheduledProcedureStepSequence.ScheduledProcedureStepStartDate",
    "ScheduledProcedureStepSequence.ScheduledProcedureStepStartTime",
    "ScheduledProcedureStepSequence.Modality",
    "ScheduledProcedureStepSequence.ScheduledStationAETitle",
    "PatientName",
    "PatientID",
    "AccessionNumber",
    "RequestedProcedureDescription",
)
"""The same for a worklist."""


def level_for(model: ModelName, level: Level | None, keys: Sequence[str]) -> Level:
    """Return the level to ask at: `level`, else the lowest of which `keys` name the unique key, else the highest.

    Raises:
        ConfigurationError: the model doesn't have it, or none at all.
    """
    levels = MODELS[model].levels
    if not levels:
        raise ConfigurationError([f"--model {model}: it has no levels, and can only be found"])
    if level is None:
        given = {key.partition("=")[0] for key in keys}
        return next((lower for lower in reversed(levels) if UNIQUE_KEYS[lower] in given), levels[0])
    if level not in levels:
        raise ConfigurationError([f"--level {level}: the {model} model has {', '.join(levels)}"])
    return level
