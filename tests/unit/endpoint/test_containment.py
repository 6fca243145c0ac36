"""An error of ours in one association ends that one: the others have their turn, and every timer goes on."""

from __future__ import annotations

from typing import Any
from unittest.mock import create_autospec

import pytest

from dimse_mesh.endpoint.ports import Half
from dimse_mesh.schemas.addresses import HalfAddress
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
