"""Settings of hooks: what is changed in an object of a durable route before its destination gets it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from dimse_mesh.runtime.settings_fields import SettingsModel

_STEP = (
    r"(?:[A-Za-z][A-Za-z0-9]*"  # a keyword
    r"|\([0-9A-Fa-f]{4},[0-9A-Fa-f]{4}\)"  # a tag
    r"|\([0-9A-Fa-f]{3}[13579BDFbdf],[^,()]{1,64},[0-9A-Fa-f]{2}\))"  # a private element: group, creator, element
    r"(?:\[(?:\*|[0-9]{1,6})\])?"
)
_PATH = re.compile(rf"{_STEP}(?:\.{_STEP})*")
_ENTRY_POINT = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def _attribute_path(value: str) -> str:
    if not _PATH.fullmatch(value):
        raise ValueError(
            f"{value!r} is no attribute: a keyword (PatientID), a tag ((0010,0020)), a private element "
            "((0019,CREATOR,0C)), or a path of them (RequestAttributesSequence[*].StudyInstanceUID)"
        )
    if value.startswith(("PixelData", "FloatPixelData", "DoubleFloatPixelData", "(7FE0,", "(7fe0,")):
        raise ValueError(f"{value}: pixel data is for a python hook with pixel_data: true")
    return value


def _entry_point(value: str) -> str:
    if not _ENTRY_POINT.fullmatch(value):
        raise ValueError(f"{value!r} is no entry point: package.module:function")
    return value


AttributePath = Annotated[str, AfterValidator(_attribute_path)]
EntryPoint = Annotated[str, AfterValidator(_entry_point)]
KeyFile = Annotated[Path, AfterValidator(Path.absolute)]
"""May be given relative to where the service is started: the process of the hooks has another folder."""
Scalar = str | int | float
Value = Scalar | tuple[Scalar, ...] | None


class PrivateValue(SettingsModel):
    """The value of an element whose representation no dictionary knows."""

    vr: str = Field(pattern=r"^[A-Z]{2}$", description="value representation, LO for example")
    value: Value = Field(description="one value, a list of values, or null: present and empty")


class MapHook(SettingsModel):
    """Replaces values by others."""

    attribute: AttributePath = Field(description="whose values are looked up")
    values: dict[str, str] = Field(min_length=1, description="new values by old ones")
    otherwise: str | None = Field(
        default=None, description="the new value of one that is not listed; none: it stays as it is"
    )
    strict: bool = Field(default=False, description="a value that is not listed fails the hook")


class HashHook(SettingsModel):
    """Replaces values by a keyed hash: the same value always becomes the same; without the key nobody can undo it."""

    attributes: tuple[AttributePath, ...] = Field(min_length=1, description="UIDs become UIDs, others text")
    key_file: KeyFile = Field(description="file of at least 32 bytes that only its owner can read")
    prefix: str = Field(default="", max_length=32, description="before the hash, not for UIDs")
    length: int = Field(default=16, ge=8, le=52, description="characters of the hash, not for UIDs")


class ProfileOption(StrEnum):
    """Options of the Basic Application Level Confidentiality Profile (PS3.15 §E.3) that are offered."""

    RETAIN_UIDS = "retain-uids"
    RETAIN_DEVICE_IDENTITY = "retain-device-identity"
    RETAIN_INSTITUTION_IDENTITY = "retain-institution-identity"
    RETAIN_PATIENT_CHARACTERISTICS = "retain-patient-characteristics"
    RETAIN_LONGITUDINAL_FULL_DATES = "retain-longitudinal-full-dates"
    RETAIN_LONGITUDINAL_MODIFIED_DATES = "retain-longitudinal-modified-dates"
    RETAIN_SAFE_PRIVATE = "retain-safe-private"
    CLEAN_DESCRIPTORS = "clean-descriptors"
    CLEAN_STRUCTURED_CONTENT = "clean-structured-content"


class BurnedIn(StrEnum):
    """What becomes of objects whose pixels may show who the patient is."""

    REFUSE = "refuse"
    """Dead letter if Burned In Annotation (0028,0301) says YES."""
    REFUSE_UNLESS_NO = "refuse-unless-no"
    """Dead letter unless it says NO."""
    ALLOW = "allow"
    """Let them pass: somebody else sees to them."""


class DeidentifyHook(SettingsModel):
    """De-identification by the Basic Application Level Confidentiality Profile (PS3.15 Annex E)."""

    key_file: KeyFile = Field(description="file of at least 32 bytes that only its owner can read")
    options: frozenset[ProfileOption] = Field(default=frozenset(), description="options of PS3.15 §E.3")
    pseudonyms: tuple[AttributePath, ...] = Field(
        default=("PatientID", "PatientName"),
        description="top-level attributes that get a keyed hash where the profile has them emptied",
    )
    descriptors: tuple[str, ...] = Field(
        default=(),
        description="clean-descriptors: patterns (regular expressions, of the whole value) that are safe to keep",
    )
    safe_private: tuple[AttributePath, ...] = Field(
        default=(),
        description="retain-safe-private: private elements (group,creator,element) beside those of PS3.15 §E.3.10",
    )
    burned_in: BurnedIn = Field(
        default=BurnedIn.REFUSE, description="objects whose pixels may show who the patient is"
    )

    @model_validator(mode="after")
    def _options_agree(self) -> Self:
        options = self.options
        if {
            ProfileOption.RETAIN_LONGITUDINAL_FULL_DATES,
            ProfileOption.RETAIN_LONGITUDINAL_MODIFIED_DATES,
        } <= options:
            raise ValueError("options: dates are retained in full or modified, not both")
        if (ProfileOption.CLEAN_DESCRIPTORS in options) != bool(self.descriptors):
            raise ValueError(
                "descriptors: clean-descriptors keeps the values that match these patterns, and nothing else; "
                "give both or neither"
            )
        for pattern in self.descriptors:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"descriptors: {pattern!r} is no regular expression: {error}") from None
        return self


class Hook(SettingsModel):
    """One step. Exactly one of the first seven fields is given."""

    set: dict[AttributePath, Value | PrivateValue] | None = Field(
        default=None, description="values by attribute; null: present and empty"
    )
    remove: tuple[AttributePath, ...] | None = Field(default=None, description="attributes to remove")
    copy_: dict[AttributePath, AttributePath] | None = Field(
        default=None, alias="copy", description="attributes to copy, by the one that they are copied to"
    )
    map: MapHook | None = Field(default=None, description="replace values by a table")
    hash: HashHook | None = Field(default=None, description="replace values by a keyed hash")
    deidentify: DeidentifyHook | None = Field(default=None, description="de-identify after PS3.15 Annex E")
    python: EntryPoint | None = Field(
        default=None, description="package.module:function: takes a pydicom Dataset and returns one"
    )
    pixel_data: bool = Field(
        default=False, description="python: it is given pixel data too, so larger objects fail it"
    )

    @field_validator("set", mode="before")
    @classmethod
    def _no_truth_values(cls, value: Any) -> Any:
        for path, given in value.items() if isinstance(value, Mapping) else ():
            if isinstance(given, bool):  # it would become a number
                why = "true and false are no values of DICOM; as words they stand in quotes"
                raise ValueError(f"{why}: {path}")  # noqa: TRY004 - pydantic wants it
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in HOOK_KINDS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("a hook is one of set, remove, copy, map, hash, deidentify, python")
        if self.pixel_data and self.python is None:
            raise ValueError("pixel_data is for python hooks")
        return self


HOOK_KINDS = ("set", "remove", "copy_", "map", "hash", "deidentify", "python")


class HooksSettings(SettingsModel):
    """Limits of the process that runs hooks."""

    deadline: float = Field(default=30.0, gt=0, le=3600, description="seconds for the hooks of one object")
    memory: int = Field(
        default=1 << 30,
        ge=128 << 20,
        le=1 << 40,
        description="bytes of address space that the process may have",
    )
    max_bytes: int = Field(
        default=64 << 20,
        ge=1 << 20,
        le=2 << 30,
        description="bytes of an object that hooks are given (pixel data isn't); larger ones are dead letters",
    )
