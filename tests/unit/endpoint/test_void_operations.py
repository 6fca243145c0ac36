"""Operations that the mesh answers itself: refused, or failed by a deadline. What becomes of late responses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from dimse_mesh.endpoint import dimse_service
from dimse_mesh.mesh import Message as BusMessage
from dimse_mesh.mesh import pack
from dimse_mesh.policy import ConfiguredPolicy, OperationQuestion, PolicyRefusal
from dimse_mesh.runtime.routing import DimseService, Route
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.operation import Refusal
from dimse_mesh.schemas.subjects import Kind
from tests.support.wire import (
    STUDY_ROOT_FIND,
    VERIFICATION,
    Command,
    Message,
    Status,
    Tag,
    cancel_rq,
    command,
    p_data,
    request,
    response,
    store_rq,
)
from tests.unit.endpoint.channel import Faults
from tests.unit.endpoint.joined import SETTINGS, ZONE, Joined, joined
from tests.unit.endpoint.peers import MemoryPeer
from tests.unit.endpoint.virtual_time import run

SHORT = replace(SETTINGS, deadline=5.0)
FIND_ONLY = (Route(allow=frozenset((DimseService.C_FIND,))),)


def store(message_id: int, size: int = 5000) -> Message:
    return store_rq(message_id, f"1.2.{message_id}", bytes(size), context_id=3)


def find(message_id: int) -> Message:
    return request(Command.C_FIND, message_id, STUDY_ROOT_FIND, data=b"ab", context_id=5)


def echo(message_id: int) -> Message:
    return request(Command.C_ECHO, message_id, VERIFICATION)


def answer_all(peer: MemoryPeer) -> None:
    peer.on_message = lambda message: None if message.field & 0x8000 else peer.send(response(message))


def answers(peer: MemoryPeer) -> list[tuple[int, int]]:
    return [(message.number(Tag.RESPONDED_MESSAGE_ID), message.status) for message in peer.received]


async def end(both: Joined) -> None:
    """Release, and check that nothing is left."""
    both.client.release()
    await both.settle(100)
    assert both.client.released
    both.assert_nothing_is_left()


@pytest.mark.parametrize("size", [0, 100, 5000, 40_000])
@pytest.mark.parametrize("delay", [0.0, 2.0])
def test_a_refused_operation_never_reaches_the_target(size: int, delay: float) -> None:
    async def main() -> None:
        async with joined(routes=FIND_ONLY, faults=Faults(delay=delay)) as both:
            answer_all(both.target)
            both.client.send(store(1, size))
            both.client.send(find(2))
            await both.settle(100)
            assert answers(both.client) == [(1, Status.NOT_AUTHORIZED), (2, 0)]
            assert both.target.received == both.client.sent[1:]
            assert len(both.front.half.operations) == 0
            await end(both)

    run(main())


def test_one_of_many_operations_at_once_may_be_refused() -> None:
    async def main() -> None:
        async with joined(routes=FIND_ONLY, faults=Faults(delay=2.0, loss=0.1)) as both:
            answer_all(both.target)
            sent = [find(1), store(2), find(3), store(4, 40_000), store(5, 0), find(6)]
            for message in sent:
                both.client.send(message)
            await both.settle(300)
            assert sorted(answers(both.client)) == [
                (number, 0 if number in (1, 3, 6) else Status.NOT_AUTHORIZED) for number in range(1, 7)
            ]
            assert both.target.received == [sent[0], sent[2], sent[5]]
            assert len(both.front.half.operations) == 0
            await end(both)

    run(main())


@pytest.mark.parametrize("size", [100, 5000])
def test_an_outage_beyond_the_deadline_fails_the_operation_and_not_the_association(size: int) -> None:
    async def main() -> None:
        async with joined(settings=SHORT) as both:
            answer_all(both.target)
            await both.settle(1)
            both.channel.cut()
            both.client.send(store(1, size))
            await both.settle(4)
            assert both.client.received == []
            await both.settle(3)
            assert answers(both.client) == [(1, Status.OUT_OF_RESOURCES)]
            both.channel.cut(connected=True)
            both.client.send(store(1, size))
            await both.settle(10)
            assert answers(both.client) == [(1, Status.OUT_OF_RESOURCES), (1, 0)]
            assert both.target.received == both.client.sent[1:]
            await end(both)

    run(main())


@pytest.mark.parametrize("size", [100, 5000])
def test_an_association_outlasts_deadlines_when_only_failed_operations_are_undelivered(size: int) -> None:
    async def main() -> None:
        async with joined(settings=SHORT) as both:
            answer_all(both.target)
            await both.settle(1)
            both.channel.loses = lambda _: True
            both.client.send(store(1, size))
            await both.settle(8 * SHORT.deadline)
            assert answers(both.client) == [(1, Status.OUT_OF_RESOURCES)]
            assert both.client.aborts == both.target.aborts == []
            both.channel.loses = lambda _: False
            both.client.send(store(2, size))
            await both.settle(10)
            assert answers(both.client) == [(1, Status.OUT_OF_RESOURCES), (2, 0)]
            assert both.target.received == both.client.sent[1:]
            await end(both)

    run(main())


def test_an_association_whose_responses_stay_undelivered_is_aborted_at_the_second_deadline() -> None:
    async def main() -> None:
        async with joined(settings=SHORT) as both:
            both.client.send(store(1))
            await both.settle(1)
            both.channel.loses = lambda _: True
            answer_all(both.target)
            both.target.send(response(both.target.received[0]))
            await both.settle(SHORT.deadline + 2)
            assert both.target.aborts == []
            await both.settle(SHORT.deadline)
            assert both.target.aborts == [(2, 0)]

    run(main())


@pytest.mark.parametrize("size", [100, 5000])
def test_a_late_response_is_not_taken_for_that_of_the_next_operation_with_its_message_id(size: int) -> None:
    """The target had the operation, but nobody could tell the front-end before its deadline."""

    async def main() -> None:
        async with joined(settings=SHORT) as both:
            answer_all(both.target)

            def to_front_end(message: BusMessage) -> bool:
                return message.subject.startswith("T.i.home.association.front.")

            both.channel.loses = to_front_end
            both.client.send(store(1, size))
            await both.settle(7)
            assert both.target.received == both.client.sent
            assert answers(both.client) == [(1, Status.OUT_OF_RESOURCES)]
            both.target.on_message = lambda message: both.target.send(response(message, 0xB007))
            both.client.send(store(1, size + 1))
            await both.settle(1)
            both.channel.loses = lambda _: False
            await both.settle(20)
            assert answers(both.client) == [(1, Status.OUT_OF_RESOURCES), (1, 0xB007)]
            assert both.target.received == both.client.sent
            assert len(both.front.half.operations) == 0
            await end(both)

    run(main())


def test_a_target_that_answers_after_the_operation_timeout_is_not_heard() -> None:
    async def main() -> None:
        async with joined(settings=replace(SETTINGS, operation_timeout=5.0)) as both:
            both.client.send(find(1))
            await both.settle(7)
            both.client.send(find(1))
            await both.settle(1)
            first, cancel, second = both.target.received
            assert cancel == cancel_rq(1, context_id=5)
            for _ in range(3):
                both.target.send(response(first, 0xFF00, data=b"late"))
            both.target.send(response(first, 0, more={Tag.ERROR_COMMENT: "late"}))
            both.target.send(response(second, 0xFF00, data=b"right"))
            both.target.send(response(second))
            await both.settle(1)
            assert both.client.received[1:] == both.target.sent[-2:]
            await end(both)

    run(main())


@pytest.mark.parametrize("field", [Command.C_FIND, Command.C_GET, Command.C_MOVE])
def test_a_target_is_told_to_cancel_what_has_timed_out(field: int) -> None:
    async def main() -> None:
        async with joined(settings=replace(SETTINGS, operation_timeout=5.0)) as both:
            both.client.send(request(field, 7, STUDY_ROOT_FIND, data=b"ab", context_id=5))
            await both.settle(7)
            assert [message.number(Tag.RESPONDED_MESSAGE_ID) for message in both.client.received] == [7]
            assert both.target.received == [*both.client.sent, cancel_rq(7, context_id=5)]
            both.target.send(response(both.target.received[0], 0xFE00))
            await both.settle(1)
            assert len(both.client.received) == 1
            await end(both)

    run(main())


def test_a_cancel_of_the_mesh_waits_for_the_end_of_the_message_under_way() -> None:
    async def main() -> None:
        async with joined(settings=SHORT) as both:
            both.client.send(find(1))
            await both.settle(1)
            both.channel.cut()
            pdus = p_data(store(2, 5000), max_pdu=1000)
            both.client.transport.feed(pdus[:3000])
            await both.settle(7)
            assert answers(both.client) == [(1, Status.OUT_OF_RESOURCES)]
            both.channel.cut(connected=True)
            await both.settle(3)
            assert both.target.received == [find(1)]
            both.client.transport.feed(pdus[3000:])
            await both.settle(1)
            assert answers(both.client) == [(1, Status.OUT_OF_RESOURCES), (2, Status.OUT_OF_RESOURCES)]
            assert both.target.received == [find(1), cancel_rq(1, context_id=5)]

    run(main())


@pytest.mark.parametrize("size", [0, 5000])
def test_a_store_that_has_timed_out_is_not_cancelled(size: int) -> None:
    async def main() -> None:
        async with joined(settings=replace(SETTINGS, operation_timeout=5.0)) as both:
            both.client.send(store(1, size))
            await both.settle(7)
            assert answers(both.client) == [(1, Status.OUT_OF_RESOURCES)]
            assert both.target.received == both.client.sent

    run(main())


def test_an_operation_half_of_which_the_target_has_can_only_be_aborted() -> None:
    async def main() -> None:
        async with joined(settings=replace(SETTINGS, operation_timeout=5.0)) as both:
            pdus = p_data(store(1, 50_000), max_pdu=1000)
            both.client.transport.feed(pdus[: len(pdus) // 2])
            await both.settle(30)
            assert both.client.aborts == both.target.aborts == [(2, 0)]
            assert both.target.received == []
            both.assert_nothing_is_left()

    run(main())


def test_cancelling_a_refused_operation_harms_nobody() -> None:
    async def main() -> None:
        async with joined(routes=(Route(allow=frozenset((DimseService.C_STORE,))),)) as both:
            both.client.send(find(1))
            both.client.send(cancel_rq(1, context_id=5))
            await both.settle(20)
            assert answers(both.client) == [(1, Status.NOT_AUTHORIZED)]
            await end(both)

    run(main())


def test_a_refused_request_without_message_id_aborts_as_there_is_no_way_to_answer_it() -> None:
    async def main() -> None:
        async with joined(routes=FIND_ONLY) as both:
            elements: dict[int, int | str | bytes] = {
                Tag.COMMAND_FIELD: Command.N_DELETE,
                Tag.DATA_SET_TYPE: 0x0101,
            }
            both.client.send(Message(1, command(elements)))
            await both.settle(30)
            assert both.client.aborts == [(2, 6)]
            assert both.target.received == []
            both.assert_nothing_is_left()

    run(main())


def objection(route: Route) -> Callable[[int], PolicyRefusal | None]:
    policy = ConfiguredPolicy(routes=(route,))
    return lambda command_field: policy.operation(
        OperationQuestion(
            command_field=command_field,
            service=dimse_service(command_field),
            called_ae="TARGET",
            calling_ae="CLIENT",
            from_client=True,
        )
    )


ALLOWING_STORE = Route(allow=frozenset((DimseService.C_STORE,)))
ALLOWING_ECHO = Route(allow=frozenset((DimseService.C_ECHO,)))


def test_an_echo_that_its_route_forbids_is_refused_at_the_front_end() -> None:
    async def main() -> None:
        async with joined(front_end={"objection": objection(ALLOWING_STORE)}) as both:
            answer_all(both.target)
            for message in (echo(1), echo(2), store(3)):
                both.client.send(message)
            await both.settle(1)
            assert answers(both.client) == [(1, Status.NOT_AUTHORIZED), (2, Status.NOT_AUTHORIZED), (3, 0)]
            assert both.target.received == both.client.sent[2:]
            await end(both)

    run(main())


def test_an_unknown_request_is_refused_where_the_route_lists_what_it_allows() -> None:
    async def main() -> None:
        async with joined(front_end={"objection": objection(ALLOWING_ECHO)}) as both:
            answer_all(both.target)
            both.client.send(request(0x0222, 1, "1.2.3", data=bytes(3000)))
            both.client.send(echo(2))
            await both.settle(1)
            assert answers(both.client) == [(1, 0x0211), (2, 0)]
            assert both.target.received == both.client.sent[1:]
            await end(both)

    run(main())


def test_an_unknown_request_passes_where_nothing_is_listed() -> None:
    async def main() -> None:
        async with joined(front_end={"objection": objection(Route())}) as both:
            answer_all(both.target)
            both.client.send(request(0x0222, 1, "1.2.3", data=bytes(3000)))
            await both.settle(1)
            assert answers(both.client) == [(1, 0)]
            await end(both)

    run(main())


def test_a_refusal_is_never_taken_for_a_success() -> None:
    """Whoever runs the bus may speak as a handler: a status of success is no refusal, and is not believed."""

    async def main() -> None:
        async with joined() as both:
            both.channel.loses = lambda message: ".zone." in message.subject  # no handler is asked
            both.client.send(store(1, 100))
            await both.settle(0.1)
            handler = both.channel.instance(InstanceAddress(ZONE, Role.STORE, "forger"))
            said = Refusal(
                association="a1", channel=both.front.half.identity.local.channel, position=0, code="policy"
            )
            answer = response(store(1, 100), status=0)
            handler.publish(
                handler.subjects.to(both.front.carrier.address, Kind.REFUSED), pack(said, answer.command)
            )
            await both.settle(0.1)
            assert answers(both.client) == [(1, Status.NOT_AUTHORIZED)]

    run(main())
