"""The part of the custom resource that says with which zones data sets are encrypted."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from dimse_mesh.operator.fields import ObjectName, ResourceModel, Token
from dimse_mesh.runtime.settings_encryption import PublicKeyText
from dimse_mesh.schemas.association import MOST_OFFERS

KeyFile = Annotated[str, Field(max_length=253, pattern=r"^[-._a-zA-Z0-9]+\.(key|next)$")]


class ZonePublicKeys(ResourceModel):
    """What is known of another zone."""

    zone: Token = Field(description="Its name (channel).")
    public_keys: list[PublicKeyText] = Field(
        min_length=1,
        max_length=8,
        description="Its public keys, 32 bytes in base64: the first one is sealed to, all are accepted.",
    )


class Encryption(ResourceModel):
    """End-to-end encryption of data sets (docs/encryption.md)."""

    keys_secret: ObjectName = Field(
        description="Secret with this zone's private keys, as `dimse-mesh encryption-keys` makes the files."
    )
    key_files: list[KeyFile] = Field(
        default_factory=lambda: ["1.key"],
        min_length=1,
        max_length=8,
        description="Keys of that Secret: the last `NAME.key` seals, all open.",
    )
    zones: list[ZonePublicKeys] = Field(
        default_factory=list,
        max_length=MOST_OFFERS - 1,
        description="Zones with which associations are encrypted or refused.",
    )
    required: bool = Field(
        default=False, description="Whether associations with all other zones are refused, too."
    )

    def section(self, folder: str) -> dict[str, Any]:
        """Return the section of a zone's file.

        Args:
            folder: where the private keys stand in the container.
        """
        zones = {known.zone: list(known.public_keys) for known in self.zones}
        return {"keys": folder, "zones": zones, "required": self.required}
