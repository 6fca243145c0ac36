"""Timeouts are silences: whoever still sends, reads or answers is not given up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dimse_mesh.runtime.settings_association import AssociationSettings
from dimse_mesh.runtime.settings_scu import ScuSettings
from tests.support.wire import (
    CT_STORAGE,
    RELEASE_RP_PDU,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    Command,
    PduType,
    p_data,
    request,
    response,
    store_rq,
)
from tests.unit.endpoint.joined import SETTINGS, joined
from tests.unit.endpoint.virtual_time import run

FIND = request(Command.C_FIND, 1, STUDY_ROOT_FIND, data=b"", context_id=5)
GET = request(Command.C_GET, 1, STUDY_ROOT_GET, data=b"", context_id=5)


@pytest.mark.parametrize("every", [1.0, 9.0, 25.0])
def test_a_target_at_work_may_take_its_time_to_answer_a_release(every: float) -> None:
    """It answers the operation first: at 25 s with pauses longer than `release_timeout`, 10 s."""

    async def main() -> None:
        async with joined() as both:
            both.target.accepts_release = False
            both.client.send(FIND)
            both.client.release()
            await both.settle(1)
            (asked,) = both.target.received
            for _ in range(5):
                await both.settle(every)
                both.target.send(response(asked, 0xFF00, data=b"xx"))
            await both.settle(every)
            both.target.send(response(asked))
            await both.settle(9)
            both.target.transport.feed(RELEASE_RP_PDU)
            await both.settle(30)
            assert both.client.received == both.target.sent
            assert both.client.controls == [PduType.RELEASE_RP]
            both.assert_nothing_is_left()

    run(main())


def test_a_target_that_is_silent_after_its_last_answer_is_given_up() -> None:
    async def main() -> None:
        async with joined() as both:
            both.target.accepts_release = False
            both.client.send(FIND)
            both.client.release()
            await both.settle(20)
            both.target.send(response(both.target.received[0]))
            await both.settle(9)
            assert both.client.aborts == []
            await both.settle(3)
            assert both.client.aborts == [(2, 0)]
            assert both.executor.ended == ["release-timeout"]

    run(main())


@pytest.mark.parametrize("defaults", [AssociationSettings(), ScuSettings()])
def test_a_release_answered_after_12_seconds_is_passed_on(
    defaults: AssociationSettings | ScuSettings,
) -> None:
    async def main() -> None:
        async with joined(settings=replace(SETTINGS, release_timeout=defaults.release_timeout)) as both:
            both.target.accepts_release = False
            both.client.release()
            await both.settle(12)
            both.target.transport.feed(RELEASE_RP_PDU)
            await both.settle(1)
            assert both.client.controls == [PduType.RELEASE_RP]
            assert both.client.aborts == []

    run(main())


def test_a_peer_that_reads_slowly_is_not_stalled() -> None:
    async def main() -> None:
        async with joined() as both:
            both.target.stall(stalled=True)
            for number in range(1, 60):
                both.client.send(store_rq(number, "1.2.3", bytes(50_000), context_id=3))
            for _ in range(20):
                await both.settle(30)
                both.target.transport.take(1000)
            assert both.target.aborts == []
            await both.settle(59)
            assert both.executor.ended == []
            await both.settle(3)
            assert both.executor.ended == ["peer-stalled"]

    run(main())


@pytest.mark.parametrize(("each", "ended"), [(2000, ["too-slow-reading"]), (4000, [])])
def test_a_peer_that_reads_less_than_the_least_rate_holds_its_association_no_longer(
    each: int, ended: list[str]
) -> None:
    """Over `stalled_write_timeout`, 60 s: of 100 bytes a second, 3000 each half minute."""

    async def main() -> None:
        async with joined(settings=replace(SETTINGS, least_read_rate=100)) as both:
            both.target.stall(stalled=True)
            for number in range(1, 60):
                both.client.send(store_rq(number, "1.2.3", bytes(50_000), context_id=3))
            for _ in range(10):
                await both.settle(30)
                both.target.transport.take(each)
            assert both.executor.ended == ended

    run(main())


def test_an_operation_whose_sub_operation_still_brings_data_is_not_given_up() -> None:
    async def main() -> None:
        async with joined(settings=replace(SETTINGS, operation_timeout=10.0)) as both:
            both.client.send(GET)
            await both.settle(1)
            store = p_data(
                store_rq(7, "1.2.3", bytes(20_000), sop_class=CT_STORAGE, context_id=3), max_pdu=1000
            )
            for start in range(0, len(store), 2000):
                both.target.transport.feed(store[start : start + 2000])
                await both.settle(5)
            both.client.send(response(both.client.received[0]))
            both.target.send(response(both.target.received[0]))
            await both.settle(1)
            assert [message.field for message in both.client.received] == [
                Command.C_STORE,
                Command.C_GET | 0x8000,
            ]
            assert both.client.received[1].status == 0
            assert both.client.aborts == []

    run(main())


def test_a_target_that_does_not_close_behind_a_client_that_did_is_given_up_after_a_silence() -> None:
    """Nobody waits for an answer, so nothing can come any more."""

    async def main() -> None:
        async with joined() as both:
            both.target.closes_at_eof = False
            both.client.transport.feed_eof()
            await both.settle(9)
            assert both.target.ended
            assert not both.client.closed
            await both.settle(3)
            assert both.client.closed
            assert both.front.ended == ["close-timeout"]
            await both.settle(30)
            assert both.target.closed
            both.assert_nothing_is_left()

    run(main())
