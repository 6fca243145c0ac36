"""Settings of the end-to-end encryption between zones (docs/encryption.md)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from dimse_mesh.runtime.settings_fields import SettingsModel, Token
from dimse_mesh.schemas.association import MOST_OFFERS

PublicKeyText = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{43}=$")]
"""32 bytes in base64."""


class RouteEncryption(StrEnum):
    """What a route asks of the encryption."""

    REQUIRED = "required"
    """Whatever zone the destination is in, nothing of an association goes there unless it is encrypted."""


class PublicKeyFile(SettingsModel):
    """A file of a zone's public keys, which is read anew when it changes."""

    file: Path = Field(description="one public key a line: the first one is sealed to, all are accepted")


class EncryptionSettings(SettingsModel):
    """Data sets are encrypted from zone to zone."""

    keys: Path = Field(
        description="folder of this zone's private keys, as dimse-mesh encryption-keys makes them; read anew "
        "when it changes"
    )
    zones: Mapping[Token, tuple[PublicKeyText, ...] | PublicKeyFile] = Field(
        default_factory=dict,
        max_length=MOST_OFFERS - 1,
        description="public keys of other zones, one or a list, or a file of them that is read anew when it "
        "changes: the first one is sealed to, all are accepted. Associations with these zones, in both directions, are "
        "encrypted or refused",
    )
    required: bool = Field(
        default=False, description="whether associations with all other zones are refused, too"
    )

    @field_validator("zones", mode="before")
    @classmethod
    def _one_key_or_several(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {zone: [keys] if isinstance(keys, str) else keys for zone, keys in value.items()}
        return value

    @field_validator("zones")
    @classmethod
    def _each_zone_has_a_key(
        cls, value: Mapping[str, tuple[str, ...] | PublicKeyFile]
    ) -> Mapping[str, tuple[str, ...] | PublicKeyFile]:
        for zone, keys in value.items():
            if keys == ():
                raise ValueError(f"zone {zone!r} has no public key")
        return value
