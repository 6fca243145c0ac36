"""The encryption that a zone's settings ask for, with the keys that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dimse_mesh.encryption.errors import UnusableKey
from dimse_mesh.runtime.errors import StartError
from dimse_mesh.runtime.reloaded import Reloaded
from dimse_mesh.runtime.settings import ZoneSettings
from dimse_mesh.runtime.settings_encryption import EncryptionSettings, PublicKeyFile

if TYPE_CHECKING:
    from dimse_mesh.encryption.associations import AssociationEncryption
    from dimse_mesh.encryption.keys import ZoneKeys
    from dimse_mesh.encryption.objects import ObjectEncryption


def association_encryption(settings: ZoneSettings) -> AssociationEncryption | None:
    """Return the encryption of a zone's associations; None: it has none.

    Raises:
        StartError: a key is unusable, or the library is not installed.
    """
    if settings.encryption is None:
        return None
    keys = _zone_keys(settings, settings.encryption)
    from dimse_mesh.encryption.associations import AssociationEncryption

    return AssociationEncryption(keys, required=settings.encryption.required)


def object_encryption(settings: ZoneSettings) -> ObjectEncryption | None:
    """Return the encryption of the objects of durable routes; None: it has none.

    Raises:
        StartError: as `association_encryption`.
    """
    if settings.encryption is None:
        return None
    keys = _zone_keys(settings, settings.encryption)
    from dimse_mesh.encryption.objects import ObjectEncryption

    return ObjectEncryption(keys, required=settings.encryption.required)


def _zone_keys(settings: ZoneSettings, wanted: EncryptionSettings) -> Reloaded[ZoneKeys]:
    """Return a zone's keys, which are read anew when their files change.

    Raises:
        StartError: one is unusable, or the library is not installed.
    """
    try:
        from dimse_mesh.encryption.keys import ZoneKeys, key_files
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "cryptography":
            raise
        raise StartError("cryptography is not installed: pip install 'dimse-mesh[encryption]'") from missing
    others = {
        zone: known.file if isinstance(known, PublicKeyFile) else known
        for zone, known in wanted.zones.items()
    }

    def read() -> ZoneKeys:
        try:
            return ZoneKeys.load(settings.zone, wanted.keys, others)
        except UnusableKey as error:
            raise StartError(f"encryption: {error}") from error

    return Reloaded(read, lambda: key_files(wanted.keys, others.values()), what="encryption keys")
