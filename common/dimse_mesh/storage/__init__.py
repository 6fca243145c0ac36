"""Places that objects are stored in, folders and S3 buckets, and the storage SCP that fills them."""

from dimse_mesh.storage.association import Answered, StorageAssociation
from dimse_mesh.storage.negotiation import accept
from dimse_mesh.storage.place import Place, PlaceError, Trouble
from dimse_mesh.storage.places import StorageTarget, open_place

__all__ = [
    "Answered",
    "Place",
    "PlaceError",
    "StorageAssociation",
    "StorageTarget",
    "Trouble",
    "accept",
    "open_place",
]
