"""Settings of an AE that is a place: a folder or an S3 bucket that objects are stored in."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Final, Self
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from dimse_mesh.runtime.settings_fields import Seconds, SettingsModel, TlsFile

LAYOUT_FIELDS: Final = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "SOPClassUID",
    "TransferSyntaxUID",
    "Modality",
    "StudyDate",
    "AccessionNumber",
    "PatientID",
    "SeriesNumber",
    "InstanceNumber",
    "CallingAE",
    "CalledAE",
)
"""What a layout may name between braces."""

_FIELD: Final = re.compile(r"\{([^{}]*)\}")
_FIXED: Final = re.compile(r"[A-Za-z0-9._/-]*")


def _layout(value: str) -> str:
    names = _FIELD.findall(value)
    for name in names:
        if name not in LAYOUT_FIELDS:
            raise ValueError(f"{{{name}}} is none of {', '.join(LAYOUT_FIELDS)}")
    if "SOPInstanceUID" not in names:
        raise ValueError("it must hold {SOPInstanceUID}: else two instances get one name")
    fixed = _FIELD.sub("x", value)
    if not _FIXED.fullmatch(fixed):
        raise ValueError("outside of braces it has letters, digits, '.', '_', '-' and '/' only")
    if any(part in {"", ".", ".."} or part.startswith(".") for part in fixed.split("/")):
        raise ValueError("it is a relative path, no part of which is empty or begins with '.'")
    return value


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError("a storage URL has no user, query or fragment: credentials stand in s3")
    match parts.scheme:
        case "file":
            if parts.netloc or not PurePosixPath(unquote(parts.path)).is_absolute() or parts.path == "/":
                raise ValueError("a folder is file:///path/of/the/folder")
        case "s3":
            if not parts.netloc:
                raise ValueError("a bucket is s3://bucket or s3://bucket/prefix")
        case _:
            raise ValueError("a storage URL begins with file:// or s3://")
    return value


StorageUrl = Annotated[str, AfterValidator(_url)]
LayoutTemplate = Annotated[str, AfterValidator(_layout), Field(max_length=512)]


class OnConflict(StrEnum):
    """What happens to an object whose SOP Instance UID is stored already, with another content."""

    REFUSE = "refuse"
    VERSION = "version"


class S3Settings(SettingsModel):
    """How to reach an S3 server; what isn't given comes from AWS's own environment variables or instance role."""

    endpoint: str | None = Field(
        default=None, pattern=r"^https?://\S+$", description="URL of the server; none: AWS"
    )
    region: str | None = Field(default=None, description="region; none: AWS_REGION, or us-east-1")
    access_key_id: str | None = Field(default=None, description="access key; none: from the environment")
    secret_access_key: SecretStr | None = Field(default=None, description="its secret")
    ca: TlsFile | None = Field(
        default=None, description="PEM file: authorities to trust; none: the usual ones"
    )

    @model_validator(mode="after")
    def _key_with_secret(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key go together: give both or neither")
        return self


class StorageSettings(SettingsModel):
    """A place that objects are stored in, instead of a peer."""

    url: StorageUrl = Field(description="file:///folder, or s3://bucket/prefix")
    layout: LayoutTemplate = Field(
        default="{StudyInstanceUID}/{SeriesInstanceUID}/{SOPInstanceUID}.dcm",
        description="name of an object; fields: " + ", ".join(LAYOUT_FIELDS),
    )
    on_conflict: OnConflict = Field(
        default=OnConflict.REFUSE,
        description="an instance that is there with another content: refuse it (0111H), or keep it as a version",
    )
    timeout: Seconds = Field(
        default=30.0, description="seconds for each answer of the place; then the object fails with A700H"
    )
    part_size: int = Field(
        default=8 << 20,
        ge=5 << 20,
        le=512 << 20,
        description="bytes: a larger object goes to S3 in parts of this size, three of which are held in memory",
    )
    s3: S3Settings = Field(default_factory=S3Settings, description="how to reach the S3 server")

    @property
    def folder(self) -> str | None:
        """The folder; None: it is a bucket."""
        parts = urlsplit(self.url)
        return unquote(parts.path) if parts.scheme == "file" else None

    @property
    def bucket(self) -> tuple[str, str]:
        """Bucket and prefix."""
        parts = urlsplit(self.url)
        return parts.netloc, parts.path.strip("/")
