"""Types that the settings share: AE titles, ports, durations, sizes, TLS material."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FilePath

MAX_SECONDS = 7 * 24 * 3600.0


class SettingsModel(BaseModel):
    """Base of every section: immutable, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)


def ae_title(value: str) -> str:
    """Return an AE title without its padding.

    Raises:
        ValueError: it can be none.
    """
    # PS3.5 §6.2, VR AE: at most 16 characters of the default repertoire, no control character, no backslash,
    # leading and trailing spaces not significant, not only spaces.
    title = value.strip(" ")
    if not title:
        raise ValueError("an AE title has 1 to 16 characters that are not all spaces")
    if len(title) > 16:
        raise ValueError(f"an AE title has at most 16 characters, this one has {len(title)}")
    if any(not " " <= character <= "~" or character == "\\" for character in title):
        raise ValueError("an AE title has printable ASCII characters only, and no backslash")
    return title


def _ae_pattern(value: str) -> str:
    pattern = value.strip(" ")  # as a peer's own title, which is compared with it
    if not pattern:
        raise ValueError("a pattern is an AE title with *, ? or [...] as wildcards; * alone matches all")
    return pattern if set("*?[") & set(pattern) else ae_title(pattern)


def _token(value: str) -> str:
    if not value or any(character in " .*>" or not character.isprintable() for character in value):
        raise ValueError("a name is one or more printable characters without space, '.', '*' or '>'")
    return value


def _subject_root(value: str) -> str:
    for token in value.split("."):
        _token(token)
    if value.startswith(("$", "_INBOX")):
        raise ValueError("subjects that start with '$' or '_INBOX' belong to NATS itself")
    return value


AeTitle = Annotated[str, AfterValidator(ae_title)]
AePattern = Annotated[str, AfterValidator(_ae_pattern)]
Token = Annotated[str, AfterValidator(_token)]
SubjectRoot = Annotated[str, AfterValidator(_subject_root)]
Host = Annotated[str, Field(min_length=1, pattern=r"^\S+$")]
ListenPort = Annotated[int, Field(ge=0, le=65535)]
"""0 lets the system choose a free one."""
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=MAX_SECONDS, allow_inf_nan=False)]
SecondsOrOff = Annotated[float, Field(ge=0, le=MAX_SECONDS, allow_inf_nan=False)]
"""0 means off."""
PduLength = Annotated[int, Field(ge=4096, le=2 << 20)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
CountOrUnlimited = Annotated[int, Field(ge=0, le=1_000_000)]
"""0 means no limit."""
TlsFile = FilePath


class TlsProfile(StrEnum):
    """Which TLS is spoken (PS3.15 Annex B)."""

    BCP_195 = "bcp-195"
    """B.12: BCP 195 with RFC 8996 and RFC 9325: TLS 1.2 and 1.3, forward secrecy, authenticated encryption."""
    BCP_195_MODIFIED = "bcp-195-modified"
    """B.13: the same versions, with ChaCha20 and CCM beside GCM."""
    LEGACY = "legacy"
    """None of the standard's any more: also TLS 1.0, RSA key exchange and CBC."""


def pair_of_files(cert: Path | None, key: Path | None) -> None:
    """Check that a certificate and its key are given together.

    Raises:
        ValueError: one is given without the other.
    """
    if (cert is None) != (key is None):
        raise ValueError("cert and key go together: give both or neither")
