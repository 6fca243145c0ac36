"""What fuzzing has found, each as a test of its own."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import anyio
import pytest

from dimse_mesh.app.cohort_state import load_state, state_path
from dimse_mesh.isolation.process import IsolatedProcess, ProcessDied
from dimse_mesh.mesh import Message
from dimse_mesh.mesh.errors import JetStreamRefusal
from dimse_mesh.mesh.jetstream_replies import Gathering, StreamFull, WrongLastSequence, read_reply
from dimse_mesh.runtime.settings import settings_from
from dimse_mesh.runtime.settings_errors import ConfigurationError
from dimse_mesh.runtime.yaml_file import read_yaml


def test_an_unknown_field_with_a_bracket_is_named() -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings_from({"zone": "cloud", "rou[es": []}, source="zone.yaml")
    assert "rou[es: unknown field; did you mean 'routes'?" in str(caught.value)


def test_a_configuration_that_lies_too_deep_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "zone.yaml"
    path.write_text("zone: " + "[" * 5000)
    with pytest.raises(ConfigurationError, match="too deep"):
        read_yaml(path)


def test_a_state_of_a_cohort_that_lies_too_deep_is_no_state(tmp_path: Path) -> None:
    listed = tmp_path / "studies.csv"
    state_path(listed).write_text("[" * 200_000)
    with pytest.raises(ConfigurationError, match="no state of a cohort"):
        load_state(listed)


@pytest.mark.parametrize(
    "reply", [b"", b"\xff", b"[]", b"7", b"[" * 200_000, b'{"error": 5}', b'{"error": {"err_code": "x"}}']
)
def test_a_reply_of_jetstream_that_cannot_be_read_is_a_refusal(reply: bytes) -> None:
    with pytest.raises(JetStreamRefusal):
        read_reply(reply)


def test_what_jetstream_refuses_is_told_by_its_number() -> None:
    with pytest.raises(StreamFull) as full:
        read_reply(json.dumps({"error": {"err_code": 10077, "description": "maximum bytes"}}).encode())
    assert full.value.number == 10077
    with pytest.raises(WrongLastSequence):
        read_reply(b'{"error": {"err_code": 10071, "description": "wrong last sequence: 7"}}')
    assert read_reply(b'{"seq": 5}') == {"seq": 5}


@pytest.mark.parametrize("number", ["x", "-1", "²", "9" * 5000])
def test_a_number_in_a_header_of_a_batch_that_is_none_counts_as_absent(number: str) -> None:
    gathering = Gathering("DIRECT.GET.X")
    headers = {"Nats-Num-Pending": number, "Nats-Sequence": number}
    gathering.receive(Message("x", "", b"data", headers))
    assert [message.sequence for message in gathering.messages] == [0]
    assert gathering.pending == 0


HEADS = {
    "no-json": b"rubbish",
    "no-head": b"[]",
    "negative": b'{"head": {}, "parts": [-1]}',
    "too-much": b'{"head": {}, "parts": [1000000000000000]}',
    "says-nothing": b'{"head": {}, "parts": [1, 1]}xy',
    "fails-without-a-word": b'{"head": {"failed": 5}, "parts": []}',
    "gives-too-little": b'{"head": {"said": "x"}, "parts": []}',
    "endless": None,
}


@pytest.mark.parametrize("name", HEADS)
def test_a_process_that_answers_rubbish_counts_as_dead(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a damaged image does to the process that decodes it ends there."""
    head = HEADS[name]
    started = b'{"head": {}, "parts": []}'
    text = None if head is None else head.removesuffix(b"xy")
    answer = struct.pack(">I", len(started)) + started
    answer += struct.pack(">I", 0xFFFF_FFF0) if text is None else struct.pack(">I", len(text)) + (head or b"")
    (tmp_path / "evil.py").write_text(
        f"import sys\nsys.stdout.buffer.write({answer!r})\nsys.stdout.flush()\nsys.stdin.read()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    async def call() -> None:
        process = IsolatedProcess("evil", memory=1 << 30, deadline=30)
        try:
            with pytest.raises(ProcessDied):
                await process.call({}, [], says=("said",), gives=2)
        finally:
            await process.close()

    anyio.run(call)
