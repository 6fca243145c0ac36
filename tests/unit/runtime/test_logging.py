"""Logs are one line each and can't carry data set values."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest

from dimse_mesh.runtime.logging import EventLog, InTrace, configure_logging, enter_trace
from dimse_mesh.runtime.settings_observability import ObservabilitySettings


@pytest.fixture(autouse=True)
def _keep_root_logger() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("dimse_mesh")
    kept = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:] = kept[0]
    root.setLevel(kept[1])
    ours.setLevel(kept[2])


def output(log_format: str = "text", level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    settings = ObservabilitySettings.model_validate({"log_format": log_format, "log_level": level})
    configure_logging(settings, {"service": "scu", "zone": "a"}, stream)
    return stream


def test_text_is_key_value() -> None:
    stream = output()
    EventLog("dimse_mesh.scu").info("association-opened", called_ae="A B", contexts=3, ok=True)
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert (
        'level=info service=scu zone=a logger=dimse_mesh.scu event=association-opened called_ae="A B"' in line
    )
    assert "contexts=3 ok=true" in line


def test_json_is_one_object_per_line() -> None:
    stream = output("json")
    EventLog("dimse_mesh.scu").warning("odd", calling_ae="Ä\n")
    record = json.loads(stream.getvalue())
    assert record["event"] == "odd"
    assert record["calling_ae"] == "\\xc4\\n"


def test_bytes_and_long_text_are_not_printed() -> None:
    stream = output()
    EventLog("dimse_mesh.scu").info("x", data=b"DOE^JANE", text="y" * 5000)
    assert "DOE" not in stream.getvalue()
    assert "<8 bytes>" in stream.getvalue()
    assert len(stream.getvalue()) < 500


def test_line_can_not_be_forged_by_a_peer() -> None:
    stream = output()
    EventLog("dimse_mesh.scu").info("x", calling_ae="A\nlevel=error event=forged")
    assert stream.getvalue().count("\n") == 1


def test_exception_shows_types_and_places_not_messages() -> None:
    def fail() -> None:
        try:
            int("DOE^JANE")
        except ValueError as error:
            raise RuntimeError("patient DOE^JANE") from error

    stream = output()
    try:
        fail()
    except RuntimeError as error:
        EventLog("dimse_mesh.scu").failure("crashed", error)
    line = stream.getvalue()
    assert "DOE" not in line
    assert "RuntimeError at test_logging.py" in line
    assert "from ValueError" in line


def test_other_libraries_arguments_are_not_printed() -> None:
    stream = output()
    logging.getLogger("pydicom").warning("bad value %s", "DOE^JANE")
    assert "DOE" not in stream.getvalue()
    assert "bad value" in stream.getvalue()


def test_what_other_libraries_have_formatted_is_cut_at_the_first_value() -> None:
    def callback(data: bytes) -> None:
        raise ValueError(data)

    async def main() -> None:
        asyncio.get_running_loop().call_soon(callback, b"DOE^JANE")
        await asyncio.sleep(0)

    stream = output()
    asyncio.run(main())
    logging.getLogger("pydicom").warning("Invalid value for VR PN: DOE^JANE")
    assert "DOE" not in stream.getvalue()
    assert 'logger=asyncio event="Exception in callback test_what_' in stream.getvalue()
    assert 'error="ValueError at test_logging.py' in stream.getvalue()
    assert 'event="Invalid value for VR PN"' in stream.getvalue()


def test_level_is_respected() -> None:
    stream = output(level="error")
    log = EventLog("dimse_mesh.scu")
    log.warning("w")
    log.info("i")
    assert stream.getvalue() == ""


def test_lines_of_a_task_or_a_block_carry_the_ids_of_its_span() -> None:
    trace, span, inner = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
    stream = output("json")
    log = EventLog("dimse_mesh.scu")

    async def one_task() -> None:
        enter_trace(f"00-{trace}-{span}-01")
        log.info("in the task")
        with InTrace(f"00-{trace}-{inner}-01"):
            log.info("in the block")
        log.info("after the block")
        with InTrace(None):
            log.info("in no span")

    async def both() -> None:
        await asyncio.create_task(one_task())
        log.info("in another task")

    asyncio.run(both())
    found = [
        (record.get("trace_id"), record.get("span_id"))
        for record in map(json.loads, stream.getvalue().splitlines())
        if record["logger"] == "dimse_mesh.scu"
    ]
    assert found == [(trace, span), (trace, inner), (trace, span), (None, None), (None, None)]
