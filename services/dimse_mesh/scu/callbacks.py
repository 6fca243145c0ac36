"""Tells the front-ends of the zone what a target may soon call back for, under AE titles that we have rewritten."""

from __future__ import annotations

from collections.abc import Callable

from dimse_mesh.dimse import CommandField, CommandHead, CommandSet
from dimse_mesh.dimse.commitment import STORAGE_COMMITMENT
from dimse_mesh.endpoint import AssociationIdentity
from dimse_mesh.mesh import Mesh, pack
from dimse_mesh.mesh.liveness import Liveness
from dimse_mesh.schemas.addresses import Role
from dimse_mesh.schemas.callbacks import CallbackNotice
from dimse_mesh.schemas.subjects import Kind
from dimse_mesh.upper_layer import AssociateRQ

_WATCHED = frozenset((CommandField.C_MOVE_RQ, CommandField.N_ACTION_RQ))


class CallbackTeller:
    """Watches the requests to targets."""

    def __init__(self, mesh: Mesh, liveness: Liveness) -> None:
        self._mesh = mesh
        self._liveness = liveness

    def watch(
        self, identity: AssociationIdentity, request: AssociateRQ
    ) -> Callable[[CommandHead, memoryview], None] | None:
        """Return what is to be told of each request to a target; None: its AE titles are the client's.

        Args:
            identity: of the association, with the titles that the client has said.
            request: the A-ASSOCIATE-RQ that the target got.
        """
        if (request.called_ae, request.calling_ae) == (identity.called_ae, identity.calling_ae):
            return None

        def passed_on(head: CommandHead, command: memoryview) -> None:
            if head.command_field not in _WATCHED:
                return
            destination = None
            if head.command_field == CommandField.C_MOVE_RQ:
                destination = CommandSet.parse(command).move_destination or ""
            elif head.sop_class != STORAGE_COMMITMENT:
                return
            self._tell(
                CallbackNotice.model_construct(
                    target_title=request.called_ae,
                    client_title=request.calling_ae,
                    called_ae=identity.called_ae,
                    calling_ae=identity.calling_ae,
                    message_id=head.message_id,
                    destination=None if destination is None else destination[:16],
                )
            )

        return passed_on

    def _tell(self, notice: CallbackNotice) -> None:
        for instance in self._liveness.instances:
            address = instance.address
            if address.role is Role.ASSOCIATION and address.zone == self._mesh.address.zone:
                self._mesh.publish(self._mesh.subjects.to(address, Kind.CALLBACK), pack(notice))
