"""An application entity that sends stored files as they are.

pynetdicom's C-GET and C-MOVE take data sets and encode them anew, which is lawful, and not what was stored. Its
`send_c_store` can take a file instead, so that is what it is given here, where the peer accepts its transfer syntax.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association

from dimse_mesh.app.archive.catalog import Catalog


class VerbatimEntity(AE):
    """An AE whose associations, those that it opens, send what `catalog` holds from its files."""

    def __init__(self, ae_title: str, catalog: Catalog) -> None:
        super().__init__(ae_title=ae_title)
        self.maximum_pdu_size = 0
        self._catalog = catalog

    def associate(self, *arguments: Any, **keywords: Any) -> Association:
        """Associate as pynetdicom does."""
        association = super().associate(*arguments, **keywords)
        association._reactor_checkpoint = Checkpoint(association)  # type: ignore[assignment]
        send_verbatim(association, self._catalog)
        return association


class Checkpoint:
    """Where the thread of an association waits while another one sends on it, and takes the response.

    In place of pynetdicom's event: pynetdicom 3.0.4 takes that thread for waiting when it is about to, though it may
    have found nothing to wait for just before. Then it takes the response away, and who has sent waits for 30 s.

    Args:
        association: one that was asked for here: nothing is sent on it by its own thread.
    """

    def __init__(self, association: Association) -> None:
        self._association = association
        self._changed = threading.Condition()
        self._is_open = True
        self._has_waiter = False

    def wait(self) -> None:
        """Wait until it is open."""
        with self._changed:
            self._has_waiter = True
            self._changed.wait_for(lambda: self._is_open)
            self._has_waiter = False

    def set(self) -> None:
        """Open it."""
        with self._changed:
            self._is_open = True
            self._changed.notify_all()

    def clear(self) -> None:
        """Close it; return when the thread waits, or has ended."""
        with self._changed:
            self._is_open = False
        while not self._has_waiter and self._association.is_alive():
            time.sleep(0.0001)


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
