"""Release of an association across a link (PS3.8 §7.2), with every collision that two peers can make."""

from __future__ import annotations

from random import Random

import pytest

from tests.support.wire import CT_STORAGE, RELEASE_RP_PDU, PduType, p_data, store_rq
from tests.unit.endpoint.channel import Faults
from tests.unit.endpoint.joined import Joined, joined
from tests.unit.endpoint.virtual_time import run

DATA = bytes(5000)


def _released(both: Joined) -> None:
    assert (both.client.aborts, both.target.aborts) == ([], [])
    assert both.client.closed
    assert both.target.closed
    assert both.front.ended == both.executor.ended == ["released"]
    both.assert_nothing_is_left()


@pytest.mark.parametrize("from_client", [True, False])
def test_either_peer_may_release(from_client: bool) -> None:
    async def main() -> None:
        async with joined() as both:
            asking, asked = (both.client, both.target) if from_client else (both.target, both.client)
            asking.release()
            await both.settle(30)
            assert asking.controls == [PduType.RELEASE_RP]
            assert asked.controls == [PduType.RELEASE_RQ]
            _released(both)

    run(main())


@pytest.mark.parametrize("seed", range(10))
def test_requests_that_cross_in_the_mesh_are_both_granted(seed: int) -> None:
    async def main() -> None:
        async with joined(random=Random(seed), faults=Faults(loss=0.2 * (seed % 2), delay=0.5)) as both:
            both.client.release()
            both.target.release()
            await both.settle(200)
            assert both.client.controls == both.target.controls == [PduType.RELEASE_RP]
            _released(both)

    run(main())


@pytest.mark.parametrize("from_client", [True, False])
def test_a_peer_that_asks_while_it_is_asked_gets_the_answers_of_a_collision(from_client: bool) -> None:
    async def main() -> None:
        async with joined() as both:
            asking, asked = (both.client, both.target) if from_client else (both.target, both.client)
            asked.accepts_release = False
            asking.release()
            await both.settle()
            assert asked.controls == [PduType.RELEASE_RQ]
            asked.release()  # it sent A-RELEASE-RQ before it read ours
            await both.settle()
            if from_client:  # the target accepted the association: it awaits our A-RELEASE-RP first
                assert asked.controls == [PduType.RELEASE_RQ, PduType.RELEASE_RP]
            else:  # the client requested it: it answers first (PS3.8 §7.2.2.7)
                assert asked.controls == [PduType.RELEASE_RQ]
            asked.transport.feed(RELEASE_RP_PDU)
            await both.settle(30)
            assert asked.controls == [PduType.RELEASE_RQ, PduType.RELEASE_RP]
            assert asking.controls == [PduType.RELEASE_RP]
            _released(both)

    run(main())


def test_messages_sent_before_the_release_arrive_before_it() -> None:
    async def main() -> None:
        async with joined(faults=Faults(delay=1.0)) as both:
            for number in range(1, 4):
                both.client.send(store_rq(number, "1.2.3", DATA, sop_class=CT_STORAGE, context_id=3))
            both.client.release()
            await both.settle(100)
            assert both.target.received == both.client.sent
            _released(both)

    run(main())


def test_the_target_may_still_send_while_it_is_asked_for_release() -> None:
    async def main() -> None:
        async with joined() as both:
            both.target.accepts_release = False
            both.client.release()
            await both.settle()
            both.target.send(store_rq(1, "1.2.3", DATA, sop_class=CT_STORAGE, context_id=3))
            both.target.transport.feed(RELEASE_RP_PDU)
            await both.settle(30)
            assert both.client.received == both.target.sent
            _released(both)

    run(main())


def test_a_peer_that_never_answers_the_release_is_aborted() -> None:
    async def main() -> None:
        async with joined() as both:
            both.target.accepts_release = False
            both.client.release()
            await both.settle(9)
            assert both.target.aborts == []
            await both.settle(30)
            assert both.target.aborts == both.client.aborts == [(2, 0)]
            assert both.executor.ended == ["release-timeout"]
            both.assert_nothing_is_left()

    run(main())


@pytest.mark.parametrize("delay", [0.0, 2.0])
def test_what_comes_behind_ones_own_release_request_is_ignored(delay: float) -> None:
    """The target, which answers at once, would ignore it, too (PS3.8 Sta13)."""

    async def main() -> None:
        async with joined(faults=Faults(delay=delay)) as both:
            both.client.release()
            both.client.transport.feed(p_data(store_rq(1, "1.2.3", DATA, context_id=3)))
            both.client.release()
            both.client.release()
            await both.settle(100)
            assert both.client.controls == [PduType.RELEASE_RP]
            assert both.target.controls == [PduType.RELEASE_RQ]
            assert both.target.received == []
            _released(both)

    run(main())


def test_a_release_response_that_nobody_asked_for_is_aborted() -> None:
    async def main() -> None:
        async with joined(faults=Faults(delay=1.0)) as both:
            both.client.release()
            both.client.transport.feed(RELEASE_RP_PDU)
            await both.settle(30)
            assert both.client.aborts == [(2, 2)]
            both.assert_nothing_is_left()

    run(main())
