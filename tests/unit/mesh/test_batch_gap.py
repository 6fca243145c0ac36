"""A message that is missing in the middle of a batch: the batch ends before the gap."""

from __future__ import annotations

from dimse_mesh.mesh.jetstream_replies import Gathering
from dimse_mesh.mesh.wire import Message


def _message(sequence: int, before: int) -> Message:
    headers = {"Nats-Sequence": str(sequence), "Nats-Last-Sequence": str(before), "Nats-Num-Pending": "7"}
    return Message("reply", "", b"data", headers)


def _end(before: int) -> Message:
    return Message("reply", "", b"", {"Nats-Num-Pending": "0", "Nats-Last-Sequence": str(before)}, False, 204)


def _gathered(*messages: Message) -> Gathering:
    gathering = Gathering("DIRECT.GET.S")
    for message in messages:
        gathering.receive(message)
    return gathering


def _sequences(gathering: Gathering) -> list[int]:
    return [message.sequence for message in gathering.messages]


def test_a_whole_batch_ends_when_the_server_says_so() -> None:
    gathering = _gathered(_message(3, 0), _message(5, 3))
    assert not gathering.ended
    gathering.receive(_end(5))
    assert gathering.ended
    assert not gathering.cut
    assert _sequences(gathering) == [3, 5]


def test_what_comes_behind_a_gap_is_not_taken() -> None:
    gathering = _gathered(_message(3, 0), _message(8, 5), _message(9, 8), _end(9))
    assert gathering.cut
    assert _sequences(gathering) == [3]


def test_the_first_message_is_missing() -> None:
    gathering = _gathered(_message(5, 3), _end(5))
    assert gathering.cut
    assert _sequences(gathering) == []


def test_the_last_message_is_missing() -> None:
    gathering = _gathered(_message(3, 0), _end(5))
    assert gathering.cut
    assert _sequences(gathering) == [3]
