"""The encryption that a zone's settings ask for, with the keys that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dimse_mesh.encryption.errors import UnusableKey
from dimse_mesh.runtime.errors import StartError
from dimse_mesh.runtime.settings import ZoneSettings

if TYPE_CHECKING:
    from dimse_mesh.encryption.associations import AssociationEncryption


def association_encryption(settings: ZoneSettings) -> AssociationEncryption | None:
    """Return the encryption of a zone's associations; None: it has none.

    Raises:
        StartError: a key is unusable, or the library is not installed.
    """
    wanted = settings.encryption
    if wanted is None:
        return None
    try:
        from dimse_mesh.encryption.associations import AssociationEncryption
        from dimse_mesh.encryption.keys import ZoneKeys
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "cryptography":
            raise
        raise StartError("cryptography is not installed: pip install 'dimse-mesh[encryption]'") from missing
    try:
        keys = ZoneKeys.load(settings.zone, wanted.keys, wanted.zones)
    except UnusableKey as error:
        raise StartError(f"encryption: {error}") from error
    return AssociationEncryption(keys, required=wanted.required)
