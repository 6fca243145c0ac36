"""Tells by events of the associations of a front-end's clients."""

from __future__ import annotations

import time
from collections.abc import Callable

from dimse_mesh.events import EventPublisher, event_publisher, new_event_id
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.runtime.routing import Delivery
from dimse_mesh.schemas.addresses import Role
from dimse_mesh.schemas.events import AssociationEnded, AssociationOpened, AssociationRejected, EventKind
from dimse_mesh.upper_layer import AssociateRJ, AssociateRQ


def says_nothing(_: str) -> None:
    """Say nothing of the end of an association."""


class AssociationEvents:
    """Of one front-end. Where its zone publishes no events, nothing is said; neither by a command."""

    def __init__(self, context: ServiceContext) -> None:
        is_service = context.mesh.address.role is Role.ASSOCIATION
        self._publisher: EventPublisher | None = event_publisher(context) if is_service else None

    def opened(
        self, association: str, *, calling_ae: str, called_ae: str, delivery: Delivery
    ) -> Callable[[str], None]:
        """Tell that an association stands; what is returned tells that it is over, and takes the code of its end."""
        publisher = self._publisher
        if publisher is None:
            return says_nothing
        began = time.time()
        publisher.publish(
            EventKind.ASSOCIATION_OPENED,
            AssociationOpened.model_construct(
                id=new_event_id(),
                at=began,
                association=association,
                calling_ae=calling_ae,
                called_ae=called_ae,
                delivery=delivery.value,
            ),
        )

        def ended(code: str) -> None:
            now = time.time()
            publisher.publish(
                EventKind.ASSOCIATION_ENDED,
                AssociationEnded.model_construct(
                    id=new_event_id(),
                    at=now,
                    association=association,
                    calling_ae=calling_ae,
                    called_ae=called_ae,
                    delivery=delivery.value,
                    code=code,
                    seconds=max(0.0, round(now - began, 3)),
                ),
            )

        return ended

    def rejected(self, request: AssociateRQ, rejection: AssociateRJ, code: str) -> None:
        """Tell that a client got an A-ASSOCIATE-RJ."""
        if self._publisher is not None:
            self._publisher.publish(
                EventKind.ASSOCIATION_REJECTED,
                AssociationRejected.model_construct(
                    id=new_event_id(),
                    at=time.time(),
                    calling_ae=request.calling_ae,
                    called_ae=request.called_ae,
                    code=code,
                    result=rejection.result,
                    source=rejection.source,
                    reason=rejection.reason,
                ),
            )
