"""An application entity that sends stored files as they are.

pynetdicom's C-GET and C-MOVE take data sets and encode them anew, which is lawful, and not what was stored. Its
`send_c_store` can take a file instead, so that is what it is given here, where the peer accepts its transfer syntax.
"""

from __future__ import annotations

from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom.association import Association

from dimse_mesh.app.archive.associations import PreparedEntity
from dimse_mesh.app.archive.catalog import Catalog


class VerbatimEntity(PreparedEntity):
    """An AE whose associations, those that it opens, send what `catalog` holds from its files."""

    def __init__(self, ae_title: str, catalog: Catalog) -> None:
        super().__init__(ae_title=ae_title)
        self.maximum_pdu_size = 0
        self._catalog = catalog

    def associate(self, *arguments: Any, **keywords: Any) -> Association:
        """Associate as pynetdicom does."""
        association = super().associate(*arguments, **keywords)
        send_verbatim(association, self._catalog)
        return association


def send_verbatim(association: Association, catalog: Catalog) -> None:
    """Have `association` send, instead of a data set, the file of its SOP instance."""
    as_given = association.send_c_store

    def send_c_store(dataset: Any, *arguments: Any, **keywords: Any) -> Dataset:
        stored = catalog.get(str(dataset.SOPInstanceUID)) if isinstance(dataset, Dataset) else None
        if stored is None:
            return as_given(dataset, *arguments, **keywords)
        try:
            return as_given(stored.path, *arguments, **keywords)
        except ValueError:  # no context of its transfer syntax: encode it anew, if that can be done
            return as_given(dcmread(stored.path), *arguments, **keywords)

    association.send_c_store = send_c_store  # type: ignore[method-assign]  # its own C-GET and C-MOVE call it
