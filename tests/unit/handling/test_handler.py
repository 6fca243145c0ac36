"""One operation in a handler: who may do what, and what the source is told."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from dimse_mesh.dimse import CommandSet
from dimse_mesh.handling import OperationHandler
from dimse_mesh.mesh import Message, pack, unpack
from dimse_mesh.policy import ConfiguredPolicy
from dimse_mesh.runtime.routing import DimseService, Route
from dimse_mesh.runtime.telemetry import Telemetry
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.frames import WHOLE, FrameKind, encode_frame, message_payload
from dimse_mesh.schemas.operation import OperationRequest, Refusal
from dimse_mesh.schemas.service import ServiceName
from tests.support.wire import VERIFICATION, Command, cancel_rq, request, response, store_rq
from tests.unit.endpoint.channel import Channel, Instance

FRONT = InstanceAddress("home", Role.ASSOCIATION, "front")
EXECUTOR = InstanceAddress("away", Role.SCU, "executor")
SERVICE_OF = {
    Command.C_STORE: ServiceName.STORE,
    Command.C_FIND: ServiceName.QUERY_RETRIEVE,
    Command.C_MOVE: ServiceName.QUERY_RETRIEVE,
    Command.C_GET: ServiceName.QUERY_RETRIEVE,
    Command.N_EVENT_REPORT: ServiceName.N_SERVICE,
    Command.N_GET: ServiceName.N_SERVICE,
    Command.N_SET: ServiceName.N_SERVICE,
    Command.N_ACTION: ServiceName.N_SERVICE,
    Command.N_CREATE: ServiceName.N_SERVICE,
    Command.N_DELETE: ServiceName.N_SERVICE,
}


@dataclass
class Sent:
    """A channel that keeps what is published, and delivers nothing."""

    messages: list[Message] = field(default_factory=list)
    channel: Channel = field(init=False)

    def __post_init__(self) -> None:
        self.channel = Channel(loses=self.keep)

    def keep(self, message: Message) -> bool:
        """Take a message off the channel."""
        self.messages.append(message)
        return True

    def handler(self, service: ServiceName, *routes: Route) -> OperationHandler:
        """Return a handler that publishes here."""
        return OperationHandler(
            service=service,
            mesh=Instance(self.channel, InstanceAddress("home", Role(service.value), "handler")),
            telemetry=Telemetry(),
            policy=ConfiguredPolicy(routes=routes),
        )


def operation(
    command: bytes, *, called: str = "PACS", calling: str = "CT1", from_client: bool = True, data: bytes = b""
) -> Message:
    source, sink = (FRONT, EXECUTOR) if from_client else (EXECUTOR, FRONT)
    head = OperationRequest(
        association="a",
        source=source.tokens,
        source_channel=1,
        sink=sink.tokens,
        calling_ae=calling,
        called_ae=called,
        from_client=from_client,
    )
    payload = message_payload(command, data)
    frame = encode_frame(2, FrameKind.MESSAGE, *payload, position=7, flags=WHOLE, context_id=1)
    return Message(f"T.zone.home.x.{source.tokens}", "T.elsewhere", pack(head, frame))


def refused_with(sent: Sent) -> int | None:
    """Return the status of the only message, a refusal; None: it was let through."""
    (message,) = sent.messages
    own = message.subject.partition(".handler")[0].rpartition("home.")[2]
    if message.subject in {f"T.i.{sink.tokens}.op.home.{own}.handler" for sink in (EXECUTOR, FRONT)}:
        return None
    assert message.subject in {
        f"T.i.{asker.tokens}.refused.home.{own}.handler" for asker in (EXECUTOR, FRONT)
    }
    refusal, tail = unpack(Refusal, message.payload)
    assert (refusal.channel, refusal.position) == (1, 7)
    return CommandSet.parse(bytes(tail)).status


@pytest.mark.parametrize("kind", list(SERVICE_OF))
def test_without_a_list_everything_passes_as_it_came(kind: Command) -> None:
    sent = Sent()
    asked = operation(request(kind, 1, "1.2.3").command, data=b"abc")
    sent.handler(SERVICE_OF[kind]).handle(asked)
    assert refused_with(sent) is None
    assert sent.messages[0].payload == asked.payload


@pytest.mark.parametrize("routes", [(), (Route(allow=frozenset()),)])
def test_whoever_asks_learns_whether_the_mesh_took_what_was_decided(routes: tuple[Route, ...]) -> None:
    sent = Sent()
    handler = sent.handler(ServiceName.STORE, *routes)
    asked = operation(store_rq(1, "1.2.3", b"").command)
    assert handler.handle(asked)
    sent.channel.cut()
    assert not handler.handle(asked)
    assert len(sent.messages) == 1


@pytest.mark.parametrize("kind", list(SERVICE_OF))
@pytest.mark.parametrize("allowed", list(DimseService))
def test_a_list_lets_through_what_it_names_and_nothing_else(kind: Command, allowed: DimseService) -> None:
    sent = Sent()
    handler = sent.handler(SERVICE_OF[kind], Route(allow=frozenset((allowed,))))
    handler.handle(operation(request(kind, 1, "1.2.3").command))
    named = allowed.value.replace("-", "_") == kind.name
    assert refused_with(sent) == (None if named else 0x0124)


def test_the_first_route_that_matches_decides() -> None:
    routes = (
        Route(called="PACS", calling="CT*", allow=frozenset((DimseService.C_STORE,))),
        Route(called="PACS", allow=frozenset()),
    )
    store = store_rq(1, "1.2.3", b"").command
    for calling, status in (("CT1", None), ("MR1", 0x0124), ("CT1", None)):
        sent = Sent()
        sent.handler(ServiceName.STORE, *routes).handle(operation(store, calling=calling))
        assert refused_with(sent) == status
    sent = Sent()
    sent.handler(ServiceName.STORE, *routes).handle(operation(store, called="OTHER", calling="MR1"))
    assert refused_with(sent) is None


def test_sub_operations_and_cancels_belong_to_what_was_allowed_before() -> None:
    nothing, retrieval = Route(allow=frozenset()), Route(allow=frozenset([DimseService.C_GET]))
    for route, status in ((retrieval, None), (nothing, 0x0124)):
        sent = Sent()
        sent.handler(ServiceName.STORE, route).handle(
            operation(store_rq(1, "1.2.3", b"").command, from_client=False)
        )
        assert refused_with(sent) == status
    sent = Sent()
    sent.handler(ServiceName.QUERY_RETRIEVE, nothing).handle(operation(cancel_rq(1).command))
    assert refused_with(sent) is None


@pytest.mark.parametrize(
    "command",
    [
        request(Command.C_FIND, 1, "1.2.3").command,
        request(Command.C_ECHO, 1, VERIFICATION).command,
        request(0x0222, 1, "1.2.3").command,
    ],
)
def test_an_operation_of_another_service_is_not_recognized(command: bytes) -> None:
    sent = Sent()
    sent.handler(ServiceName.STORE).handle(operation(command))
    assert refused_with(sent) == 0x0211


def test_a_refusal_repeats_what_the_response_must_say() -> None:
    sent = Sent()
    asked = store_rq(4711, "1.2.3.4", b"")
    sent.handler(ServiceName.STORE, Route(allow=frozenset())).handle(operation(asked.command))
    _, tail = unpack(Refusal, sent.messages[0].payload)
    assert bytes(tail) == response(asked, 0x0124).command


COMMAND = store_rq(1, "1.2.3", b"").command
STORE = operation(COMMAND).payload
HEAD = STORE.partition(b"}")[0] + b"}"
LONG_HEAD = HEAD[4:-1] + b',"more":"' + b"x" * 2048 + b'"}'


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff" * 40,
        operation(b"").payload,
        operation(b"\0\0").payload,
        STORE[:-3],
        STORE + b"x",
        STORE + encode_frame(2, FrameKind.MESSAGE, *message_payload(b"")),
        HEAD,
        HEAD + encode_frame(2, FrameKind.DATA, *message_payload(COMMAND), flags=WHOLE, context_id=1),
        HEAD + encode_frame(2, FrameKind.MESSAGE, b"\0\0\1\0"),
        HEAD[:1] + len(LONG_HEAD).to_bytes(3, "big") + LONG_HEAD + STORE[len(HEAD) :],
    ],
)
def test_a_malformed_operation_is_dropped(payload: bytes) -> None:
    sent = Sent()
    sent.handler(ServiceName.STORE).handle(
        Message(f"T.zone.home.store.{FRONT.tokens}", "T.elsewhere", payload)
    )
    assert sent.messages == []
