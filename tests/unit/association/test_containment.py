"""An error of ours while an association is opened ends that one, and not the process with all others."""

from __future__ import annotations

from unittest.mock import MagicMock, create_autospec

import anyio
import pytest

from dimse_mesh.association.acceptor import Acceptor
from dimse_mesh.association.admitted import Lead
from dimse_mesh.association.front_end import FrontEnd
from dimse_mesh.endpoint import Router, SocketPeer
from dimse_mesh.policy import Policy
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.runtime.settings_limits import AssociationLimits
from dimse_mesh.upper_layer import AssociateRQ


def test_an_error_while_opening_aborts_that_client_alone(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = create_autospec(ServiceContext, instance=True)
    context.settings, context.mesh, context.liveness = MagicMock(), MagicMock(), MagicMock()
    context.settings.association.limits = AssociationLimits()
    context.settings.encryption = None
    context.settings.routes = (object(),)  # no route: looking for one fails
    acceptor = create_autospec(Acceptor, instance=True)
    acceptor.peer = create_autospec(SocketPeer, instance=True)
    policy = create_autospec(Policy, instance=True)
    policy.admission.return_value = policy.opening.return_value = None

    monkeypatch.setattr("dimse_mesh.association.front_end.Acceptor", make := MagicMock())

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            front_end = FrontEnd(context, MagicMock(spec=Router, openings=None), tasks, policy)
            front_end.in_process(Lead.LIVE)
            make.call_args.kwargs["on_request"](acceptor, MagicMock(spec=AssociateRQ), b"")

    anyio.run(main)
    acceptor.peer.abort.assert_called_once()
    assert "the opening of an association raised AttributeError" in caplog.text
