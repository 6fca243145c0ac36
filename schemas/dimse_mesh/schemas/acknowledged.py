"""The names of acknowledged objects: by them it is noticed that one is gone from the spool, and which one that was."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dimse_mesh.schemas.service import AeTitle, WireModel
from dimse_mesh.schemas.spool import ObjectId, StudyToken, Uid
from dimse_mesh.schemas.spool_subjects import RoutePriority

MOST_NAMES = 256
"""Names in one message."""


class ObjectName(WireModel):
    """Which object it was that a spool has acknowledged; what a dead letter says of it, were it gone."""

    sequence: Annotated[int, Field(ge=0)]
    """Of its manifest, as nats-server has acknowledged it."""
    object_id: ObjectId
    sop_class: Uid
    sop_instance: Uid
    transfer_syntax: Uid
    called_ae: AeTitle
    calling_ae: AeTitle
    study: StudyToken
    study_instance_uid: Uid = ""
    size: Annotated[int, Field(ge=0)]
    """Bytes of its data set."""
    received: float
    """Seconds since 1970."""
    priority: RoutePriority = RoutePriority.MEDIUM
    receipt: bool = False
    """Whether a receipt is written when it is settled."""
    receipt_for: tuple[Uid, Uid] | None = None
    """As in its manifest."""


class AcknowledgedObjects(WireModel):
    """The names of some objects of one spool; stands there until all of them are settled."""

    names: Annotated[tuple[ObjectName, ...], Field(max_length=MOST_NAMES)]
    written: float
    """Seconds since 1970."""
    receipts_kept: Annotated[float, Field(ge=0)] = 0.0
    """Seconds for which receipts are kept; that one is missing later tells nothing."""
