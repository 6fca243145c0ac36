"""The place that an AE's settings name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dimse_mesh.runtime.errors import StartError
from dimse_mesh.runtime.settings_scu import RemoteAe
from dimse_mesh.runtime.settings_storage import StorageSettings
from dimse_mesh.storage.association import StorageAssociation, StorageRules, Troubles
from dimse_mesh.storage.folder import Folder
from dimse_mesh.storage.layout import Layout
from dimse_mesh.storage.negotiation import Negotiated, accept
from dimse_mesh.storage.place import Place
from dimse_mesh.upper_layer import AssociateRQ


def open_place(settings: StorageSettings) -> Place:
    """Return the place. Whether it can be reached shows when it is used.

    Raises:
        StartError: a bucket, and the library for it is not installed.
    """
    if settings.folder is not None:
        return Folder(Path(settings.folder), timeout=settings.timeout)
    try:
        from dimse_mesh.storage.bucket import Bucket
    except ModuleNotFoundError as missing:
        if missing.name != "obstore":
            raise
        raise StartError("obstore is not installed: pip install 'dimse-mesh[storage]'") from missing
    return Bucket(settings)


@dataclass(frozen=True, slots=True)
class OpenedStorage:
    """An association that a place has accepted."""

    negotiated: Negotiated
    association: StorageAssociation


class StorageTarget:
    """An AE that is a place.

    Raises (from the constructor):
        StartError: as `open_place`.
    """

    def __init__(self, remote: RemoteAe) -> None:
        settings = remote.storage
        assert settings is not None
        self._place = open_place(settings)
        self._rules = StorageRules(Layout(settings.layout), settings.on_conflict)
        self._troubles = Troubles(remote.ae_title, settings.url)

    def associate(self, request: AssociateRQ, *, maximum_length: int) -> OpenedStorage:
        """Accept an association."""
        negotiated = accept(request, maximum_length=maximum_length)
        association = StorageAssociation(
            self._place,
            self._rules,
            contexts=negotiated.contexts,
            calling_ae=request.calling_ae,
            called_ae=request.called_ae,
            troubles=self._troubles,
        )
        return OpenedStorage(negotiated, association)
