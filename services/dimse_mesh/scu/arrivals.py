"""Sees which objects the AEs of this zone get, and of which study; tells by events which they answer that they have."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dimse_mesh.dimse import CommandField, CommandHead, CommandSet, StatusCategory, category
from dimse_mesh.endpoint import AssociationIdentity
from dimse_mesh.endpoint.peer import PeerWatch
from dimse_mesh.events import EventPublisher, event_uid, new_event_id
from dimse_mesh.schemas.events import EventKind, ObjectStored
from dimse_mesh.spool import study_instance_uid
from dimse_mesh.upper_layer import AssociateAC, significant_uid

LONGEST_HEAD: Final = 64 * 1024
"""Bytes of a data set in which its Study Instance UID is looked for."""
_STORED: Final = frozenset((StatusCategory.SUCCESS, StatusCategory.WARNING))


@dataclass(slots=True)
class _Sent:
    """An object that the AE has got, and not answered yet."""

    sop_class: str
    sop_instance: str
    transfer_syntax: str
    study: str = ""


class ArrivalWatch:
    """Of one association with an AE of this zone.

    Args:
        events: None: they aren't wanted.
        on_study: called with the Study Instance UID of each object that the AE gets.
        ae: the AE's title in the configuration.
        syntaxes: transfer syntax by id of the accepted presentation contexts.
    """

    def __init__(
        self,
        events: EventPublisher | None,
        on_study: Callable[[str], None] | None,
        identity: AssociationIdentity,
        ae: str,
        syntaxes: dict[int, str],
    ) -> None:
        self._events = events
        self._on_study = on_study
        self._identity = identity
        self._ae = ae
        self._syntaxes = syntaxes
        self._sent: dict[int, _Sent] = {}
        self._begun: _Sent | None = None

    def request_passed_on(self, head: CommandHead, command: bytes | memoryview, context_id: int) -> None:
        """Note an object that the AE gets."""
        self._begun = None
        if head.command_field != CommandField.C_STORE_RQ:
            return
        instance = CommandSet.parse(command).affected_sop_instance_uid
        sent = _Sent(event_uid(head.sop_class), event_uid(instance), self._syntaxes.get(context_id, ""))
        self._sent[head.message_id] = self._begun = sent

    def data_passed_on(self, piece: bytes | memoryview) -> None:
        """Look for the study in an object's first piece."""
        if self._begun is not None:
            study = study_instance_uid(bytes(piece[:LONGEST_HEAD]), self._begun.transfer_syntax)
            self._begun.study = event_uid(study)
            if self._on_study is not None:
                self._on_study(study)
            self._begun = None

    def answered(self, head: CommandHead) -> None:
        """Publish that the AE has an object."""
        sent = self._sent.pop(head.responded_to, None)
        if self._events is None or sent is None or category(head.status) not in _STORED:
            return
        identity = self._identity
        self._events.publish(
            EventKind.OBJECT_STORED,
            ObjectStored.model_construct(
                id=new_event_id(),
                at=time.time(),
                ae=self._ae,
                calling_ae=identity.calling_ae,
                called_ae=identity.called_ae,
                from_zone=identity.home_zone,
                association=identity.association,
                sop_class=sent.sop_class,
                sop_instance=sent.sop_instance,
                study=sent.study,
                status=head.status,
                delivery="live",
            ),
        )


def arrival_watch(
    events: EventPublisher | None,
    on_study: Callable[[str], None] | None,
    identity: AssociationIdentity,
    ae: str,
    accepted: AssociateAC,
) -> PeerWatch | None:
    """Return what watches an association with an AE of this zone, that has accepted these contexts; None: nothing."""
    if events is None and on_study is None:
        return None
    syntaxes = {
        context.context_id: significant_uid(context.transfer_syntax)
        for context in accepted.presentation_contexts
        if context.accepted
    }
    return ArrivalWatch(events, on_study, identity, ae, syntaxes)
