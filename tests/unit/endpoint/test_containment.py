"""An error of ours in one association ends that one: the others have their turn, and every timer goes on."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import Mock, PropertyMock, create_autospec

import pytest

from dimse_mesh.dimse import parse_head
from dimse_mesh.endpoint.carrier import Carrier
from dimse_mesh.endpoint.courier import Courier
from dimse_mesh.endpoint.patrol import Patrol, Patrolled
from dimse_mesh.endpoint.peer import PeerUser
from dimse_mesh.endpoint.ports import Half
from dimse_mesh.mesh import InvalidSubject, Turn, pack
from dimse_mesh.runtime.hosted_handlers import HostedHandler, OperationMessage
from dimse_mesh.schemas.addresses import HalfAddress
from dimse_mesh.schemas.frames import WHOLE, FrameKind, encode_frame, encode_u32, message_payload
from dimse_mesh.schemas.operation import OperationRequest
from dimse_mesh.schemas.service import ServiceName
from dimse_mesh.schemas.subjects import Kind, Subjects
from dimse_mesh.streams.outbound import Lane, Segment
from tests.support.wire import PduType, store_rq
from tests.unit.endpoint.joined import EXECUTOR, FRONT, SETTINGS, Joined, joined
from tests.unit.endpoint.test_half_limits import store
from tests.unit.endpoint.virtual_time import run


def broken(both: Joined, *, ends: bool) -> Any:
    """Return a half that raises whatever it is told; its `abort` works if it `ends`."""
    half = create_autospec(Half, instance=True)
    half.identity = create_autospec(type(both.front.half.identity), instance=True)
    half.identity.local = both.front.router.new_address()
    half.identity.remote = HalfAddress(EXECUTOR, 99)
    half.identity.association = "broken"
    half.traffic, half.in_mid_message, half.at_rest = 0, False, False
    for name in (
        *("sweep", "sweep_after_end", "acknowledge_if_owed", "send_unsent"),
        *("ask_handlers_again", "mesh_returned", "instance_died"),
    ):
        getattr(half, name).side_effect = KeyError(name)
    if not ends:
        half.abort.side_effect = KeyError("abort")
    return half


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("timer", ["sweep", "acknowledge_if_owed"])
def test_a_half_that_raises_at_every_turn_of_a_timer_harms_no_other(
    ends: bool, timer: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with joined() as both:
            router, half = both.front.router, broken(both, ends=ends)
            for number in range(1, 4):
                router.register(half)
                due = router.watch if timer == "sweep" else router.acknowledge_later
                due(half)
                both.client.send(store(number, 5000))
                await both.settle(SETTINGS.retransmit_timeout)
            assert both.target.received == both.client.sent
            assert getattr(half, timer).call_count >= 3, "the timer has gone on"
            router.unregister(half)

    run(main())
    assert "an association (broken) raised KeyError" in caplog.text


def test_a_death_reaches_every_half(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with joined() as both:
            router, half = both.front.router, broken(both, ends=False)
            router.unregister(both.front.half)
            router.register(half)  # before the other one: its turn comes first
            router.register(both.front.half)
            both.front.carrier.hear_of_death(EXECUTOR)
            await both.settle(1)
            half.instance_died.assert_called_once()
            assert both.client.aborts, "the association whose other end has died is aborted all the same"

    run(main())
    assert "an association (broken) raised KeyError" in caplog.text
    assert FRONT.instance not in caplog.text


def test_a_frame_that_can_not_be_published_keeps_no_other_back(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        mesh = create_autospec(Carrier, instance=True)
        mesh.turn, mesh.subjects, mesh.connected = Turn(), Subjects("DIMSE", FRONT), True
        mesh.address = FRONT
        mesh.publish.side_effect = [InvalidSubject("too long"), True]
        courier = Courier(mesh)
        for name in ("a", "b"):
            courier.send_reset(HalfAddress(EXECUTOR._replace(instance=name), 1), 2)
        courier.flush()
        assert mesh.publish.call_count == 2

    run(main())
    assert "what is sent to away.scu.a raised InvalidSubject" in caplog.text


def test_rounds_go_on_past_an_association_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        bad, idle = create_autospec(Patrolled, instance=True), create_autospec(Patrolled, instance=True)
        type(bad).traffic = PropertyMock(side_effect=KeyError("traffic"))
        idle.traffic, idle.in_mid_message, idle.at_rest = 1, False, True
        bad.idle_timeout, idle.idle_timeout = 0.0, 10.0
        patrol = Patrol({1: bad, 2: idle}, SETTINGS)
        patrol.begin()
        await asyncio.sleep(20)
        idle.abort.assert_called_with("idle-timeout")
        patrol.stop()

    run(main())
    assert "a round over the associations raised KeyError" in caplog.text


def test_where_a_handler_in_this_process_raises_the_queue_group_is_asked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        mesh = create_autospec(Carrier, instance=True)
        mesh.turn, mesh.subjects, mesh.connected = Turn(), Subjects("DIMSE", FRONT), True
        mesh.address = FRONT
        subject = Courier(mesh).handler_subject(FRONT.zone, ServiceName.STORE)
        request = OperationRequest(
            association="a",
            source=FRONT.tokens,
            source_channel=1,
            sink=EXECUTOR.tokens,
            calling_ae="CT1",
            called_ae="PACS",
            from_client=True,
        )
        command = store_rq(7, "1.2.3", b"").command
        frame = encode_frame(2, FrameKind.MESSAGE, *message_payload(command), position=9, flags=WHOLE)
        payload = pack(request, frame)
        says = OperationMessage(request, 9, command, parse_head(command))
        asked = Segment(9, 0, Lane.HANDLER, payload, subject=subject)
        handle = Mock(return_value=True)
        hosted: dict[str, HostedHandler] = {subject: handle}
        courier = Courier(mesh, hosted)
        for known in (says, None):  # when it is sent again, it has to be read
            assert courier.send(EXECUTOR, asked, known)
            message, operation = handle.call_args.args
            assert (message.payload, message.sender, operation) == (payload, FRONT, says)
        handle.return_value = False
        assert not courier.send(EXECUTOR, asked), "the mesh did not take what it has decided"
        mesh.connected = False
        handle.reset_mock()
        assert not courier.send(EXECUTOR, asked)
        assert handle.call_count == 0, "it would approve in vain"
        mesh.connected = True
        assert mesh.publish.call_count == 0
        handle.side_effect = KeyError("handle")
        for taken in (True, False):
            mesh.publish.return_value = taken
            assert courier.send(EXECUTOR, asked) is taken
            assert mesh.publish.call_args.args == (subject, payload)
        del hosted[subject]
        courier.send(EXECUTOR, asked)
        assert mesh.publish.call_count == 3, "nobody is here: the queue group is asked"

    run(main())
    assert "a handler in this process raised KeyError" in caplog.text


@pytest.mark.parametrize("ends", [True, False])
def test_a_frame_that_breaks_one_association_keeps_none_from_what_stands_behind_it(
    ends: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with joined() as both:
            router, half = both.front.router, broken(both, ends=ends)
            half.frame_received.side_effect = KeyError("frame")
            router.register(half)
            release = encode_frame(both.front.half.identity.local.channel, FrameKind.RELEASE_RQ)
            payload = encode_frame(half.identity.local.channel, FrameKind.RELEASE_RQ) + release
            half.identity.remote = both.executor.half.identity.local
            both.executor.carrier.publish(both.executor.carrier.subjects.to(FRONT, Kind.LINK), payload)
            await both.settle()
            assert PduType.RELEASE_RQ in both.client.controls, "the other association has got its frame"
            half.abort.assert_called_once_with("internal-error")
            router.unregister(half)

    run(main())
    assert "an association (broken) raised KeyError" in caplog.text


def test_a_frame_of_a_stranger_that_breaks_something_ends_no_association(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with joined() as both:
            half = broken(both, ends=True)
            router = both.front.router
            router.register(half)
            monkeypatch.setattr(router.openings, "gone", Mock(side_effect=KeyError("gone")))
            stranger = both.channel.instance(EXECUTOR._replace(instance="stranger"))
            reset = encode_frame(half.identity.local.channel, FrameKind.RESET, encode_u32(1))
            stranger.publish(stranger.subjects.to(FRONT, Kind.LINK), reset)
            await both.settle()
            half.abort.assert_not_called()
            router.unregister(half)

    run(main())
    assert "a frame of a stranger raised KeyError" in caplog.text


def test_what_a_peer_sends_and_nobody_can_handle_ends_its_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with joined() as both:
            user = create_autospec(PeerUser, instance=True)
            user.run_received.side_effect = KeyError("run")
            both.front.half.peer.join(user, max_pdu=16384, max_length=16384)
            both.client.send(store(1, 5000))
            await both.settle()
            assert both.client.closed
            user.closed.assert_called_once_with()

    run(main())
    assert "whoever handles what a peer sends raised KeyError" in caplog.text


def test_what_is_done_later_for_a_half_ends_that_half_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with joined() as both:
            half = broken(both, ends=True)
            both.front.router.call_later(half, 1.0, Mock(side_effect=KeyError("later")))
            await both.settle(2)
            half.abort.assert_called_once_with("internal-error")
            both.client.send(store(1, 100))
            await both.settle(SETTINGS.retransmit_timeout)
            assert both.target.received == both.client.sent

    run(main())
    assert "an association (broken) raised KeyError" in caplog.text
