"""The checks of the fault tests see what they are there to see."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fault.content import Arrival, content, instance_uid
from tests.fault.ledger import Ledger

SIZE = 5_000_001
UID = instance_uid(1, 1, 1, SIZE)
CHUNK = 131_072


def swapped(data: bytearray) -> None:
    """Exchange two chunks."""
    data[CHUNK : 2 * CHUNK], data[3 * CHUNK : 4 * CHUNK] = (
        data[3 * CHUNK : 4 * CHUNK],
        data[CHUNK : 2 * CHUNK],
    )


def flipped(position: int) -> Callable[[bytearray], None]:
    """Return what flips one bit of that byte."""

    def flip(data: bytearray) -> None:
        data[position] ^= 1

    return flip


def repeated(data: bytearray) -> None:
    """Have one chunk twice, in place of the next."""
    data[2 * CHUNK : 3 * CHUNK] = data[CHUNK : 2 * CHUNK]


def shortened(data: bytearray) -> None:
    """Leave out the end."""
    del data[-2:]


def arrived(data: bytes, step: int) -> bool:
    """Tell whether an instance that comes in fragments of `step` bytes is found whole."""
    arrival = Arrival(UID)
    for offset in range(0, len(data), step):
        arrival.add(data[offset : offset + step])
    return arrival.whole


@pytest.mark.parametrize("step", [1_001, CHUNK - 6, SIZE])
def test_what_was_sent_is_whole_however_it_is_cut(step: int) -> None:
    assert arrived(content(UID, SIZE), step)


@pytest.mark.parametrize(
    "damage",
    [flipped(0), flipped(63), flipped(64), flipped(SIZE // 2), flipped(-1), swapped, repeated, shortened],
    ids=["uid", "its end", "start", "middle", "end", "swapped", "repeated", "shortened"],
)
@pytest.mark.parametrize("step", [CHUNK - 6, SIZE])
def test_damage_is_seen(damage: Callable[[bytearray], None], step: int) -> None:
    data = bytearray(content(UID, SIZE))
    damage(data)
    assert not arrived(bytes(data), step)


def test_another_instance_is_not_taken_for_it() -> None:
    other = instance_uid(1, 1, 2, SIZE)
    assert not arrived(content(UID, SIZE)[:64] + content(other, SIZE)[64:], CHUNK)


def test_acknowledged_but_never_received_is_lost(ledger: Ledger) -> None:
    ledger.succeeded("C-STORE", ledger.begin("C-STORE", UID), UID)
    assert ledger.lost == [f"C-STORE {UID}"]
    ledger.received("C-STORE", UID)
    ledger.check()


def test_received_more_often_than_sent_is_duplicated(ledger: Ledger) -> None:
    for _ in range(2):
        ledger.succeeded("N-ACTION", ledger.begin("N-ACTION", UID), UID)
        ledger.received("N-ACTION", UID)
    ledger.check()
    ledger.received("N-ACTION", UID)
    assert ledger.duplicated == [f"N-ACTION {UID}"]


def test_received_otherwise_than_sent_is_damaged(ledger: Ledger) -> None:
    ledger.succeeded("C-STORE", ledger.begin("C-STORE", UID), UID)
    ledger.received("C-STORE", UID, whole=False)
    assert ledger.damaged == [f"C-STORE {UID}"]
