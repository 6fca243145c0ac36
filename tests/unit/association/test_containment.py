"""An error of ours while an association is opened ends that one, and not the process with all others."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from typing import Any
from unittest.mock import MagicMock, create_autospec

import anyio
import anyio.lowlevel
import pytest
import trustme

from dimse_mesh.association.acceptor import Acceptor
from dimse_mesh.association.admitted import Lead
from dimse_mesh.association.door import FrontDoor
from dimse_mesh.association.durable import DurableFrontEnd
from dimse_mesh.association.front_end import FrontEnd
from dimse_mesh.association.opening import Opener, Refused
from dimse_mesh.association.tls_entrance import TlsEntrance
from dimse_mesh.endpoint import Router, SocketPeer
from dimse_mesh.endpoint.time_shares import TimeShares
from dimse_mesh.endpoint.tls_trouble import TlsTroubles
from dimse_mesh.mesh import MeshUnavailable
from dimse_mesh.policy import Policy
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.runtime.settings_limits import AssociationLimits
from dimse_mesh.schemas.association import OpenRequest
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


def test_an_error_of_a_durable_route_ends_that_association_alone(caplog: pytest.LogCaptureFixture) -> None:
    acceptor = create_autospec(Acceptor, instance=True)
    acceptor.peer = create_autospec(SocketPeer, instance=True)
    context = MagicMock()
    context.settings.encryption = None

    async def main() -> str:
        front_end = DurableFrontEnd(context, MagicMock(spec=Router), MagicMock(), MagicMock())
        client = dict.fromkeys(("audit", "objection", "traceparent", "opened", "live"), MagicMock())
        route: Any = object()  # no route: looking for its destinations fails
        return await front_end.serve(acceptor, MagicMock(), route, association="1", **client)

    assert anyio.run(main) == "internal-error"
    acceptor.peer.abort.assert_called_once()
    assert "an association ended by an error of our own" in caplog.text


def test_an_error_of_the_watch_over_an_opening_has_that_one_asked_for_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dimse_mesh.association.opening.PROBE_INTERVAL", 0.01)
    router = create_autospec(Router, instance=True)
    router.openings = MagicMock()
    router.probe_takers.side_effect = KeyError("probe")
    asked: list[object] = []

    async def request(subject: object, *_: object, **__: object) -> None:
        asked.append(subject)
        if len(asked) == 1:
            await anyio.sleep_forever()
        raise MeshUnavailable("closed", code="closed", retryable=False)

    async def main() -> object:
        opener = Opener(MagicMock(request=request), MagicMock(), router)
        wanted = OpenRequest(
            association="a1", channel=7, called_ae="A", calling_ae="B", delivery="live", window=1, deadline=20
        )
        return await opener.open(MagicMock(), wanted, b"", local=MagicMock(), traceparent=None)

    outcome = anyio.run(main)
    assert isinstance(outcome, Refused)
    assert outcome.code == "mesh-closed"
    assert len(asked) == 2
    assert "the watch over an opening raised KeyError" in caplog.text


class Handshakes:
    """A door that fails once, at a place of choice: what it has instead of context, room and descriptors."""

    def __init__(self, where: str, server: ssl.SSLContext) -> None:
        self._left = {where}
        self._server = server
        self._dup = socket.socket.dup

    def _fail(self, here: str, error: Exception) -> None:
        if here in self._left:
            self._left.clear()
            raise error

    def now(self) -> ssl.SSLContext:
        self._fail("context", KeyError("context"))
        return self._server

    def enter(self, *_: object) -> MagicMock:
        self._fail("room", KeyError("room"))
        return MagicMock()

    def dup(self, accepted: socket.socket) -> socket.socket:
        self._fail("descriptor", OSError(errno.EMFILE, "Too many open files"))
        return self._dup(accepted)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("context", "a new connection raised KeyError"),
        ("room", "a new connection raised KeyError"),
        ("descriptor", "a connection from 127.0.0.1 is closed: Too many open files"),
    ],
)
def test_a_handshake_that_meets_an_error_of_ours_ends_alone(
    where: str, words: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    stood: list[asyncio.Protocol] = []

    class Connection(asyncio.Protocol):
        def connection_made(self, _: asyncio.BaseTransport) -> None:
            stood.append(self)

    async def main() -> None:
        faulty: Any = Handshakes(where, server)
        connection: Any = Connection
        monkeypatch.setattr(socket.socket, "dup", lambda accepted: faulty.dup(accepted))  # noqa: PLW0108 - a method
        pace, troubles = TimeShares(), create_autospec(TlsTroubles, instance=True)
        door = FrontDoor(TlsEntrance(faulty, lambda _: connection(), troubles, pace), faulty, pace)
        await door.open("127.0.0.1", 0, backlog=8, reuse_port=False)
        port = door.sockets[0].getsockname()[1]
        with anyio.fail_after(30):
            with pytest.raises(OSError):  # noqa: PT011 - a reset, or the end in mid-handshake
                await asyncio.open_connection("127.0.0.1", port, ssl=client)
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
            while not stood:
                await anyio.lowlevel.checkpoint()
        writer.close()
        door.close()

    anyio.run(main)
    assert words in caplog.text
