"""When the next window opens, over midnights, weeks and changes of the clock; and how fast data sets go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import anyio
import pytest
from pydantic import ValidationError

from dimse_mesh.delivery.pace import Pace, next_opening
from dimse_mesh.runtime.settings_pace import PaceSettings


def pace(*windows: dict[str, Any], zone: str = "Europe/Berlin", **more: Any) -> PaceSettings:
    return PaceSettings.model_validate({"ae": "A", "windows": windows, "time_zone": zone, **more})


def at(text: str, zone: str = "Europe/Berlin") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


NIGHTS = {"start": "20:00", "end": "06:00", "days": ["mon", "tue", "wed", "thu", "fri"]}


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-11-27 19:59", "2026-11-27 20:00"),  # a Friday
        ("2026-11-27 20:00", None),
        ("2026-11-28 05:59", None),
        ("2026-11-28 06:00", "2026-11-30 20:00"),
        ("2026-11-29 23:00", "2026-11-30 20:00"),
        ("2026-12-01 03:00", None),
    ],
)
def test_nights_of_working_days(now: str, opens: str | None) -> None:
    assert next_opening(pace(NIGHTS), at(now)) == (None if opens is None else at(opens))


def test_a_window_follows_the_clock_of_its_zone() -> None:
    settings = pace({"start": "08:00", "end": "09:00"})
    before, after = (next_opening(settings, at(f"2026-10-{day} 12:00")) for day in (23, 24))
    assert before is not None
    assert after is not None
    assert after - before == 25 * 3600, "the clock goes back on the 25th"


@pytest.mark.parametrize(
    ("start", "end", "now", "opens"),
    [
        # On 29 March 2026 the clock goes from 02:00 to 03:00.
        ("02:30", "03:15", "2026-03-29 01:59", "2026-03-29 03:00"),
        ("02:30", "03:15", "2026-03-29 03:00", None),
        ("02:30", "03:15", "2026-03-29 03:15", "2026-03-30 02:30"),
        ("01:00", "02:30", "2026-03-29 01:59", None),
        ("01:00", "02:30", "2026-03-29 03:00", "2026-03-30 01:00"),
        ("02:10", "02:50", "2026-03-29 01:00", "2026-03-30 02:10"),
        ("22:00", "02:30", "2026-03-29 01:59", None),
        ("22:00", "02:30", "2026-03-29 03:00", "2026-03-29 22:00"),
    ],
)
def test_a_window_in_the_hour_that_is_left_out(start: str, end: str, now: str, opens: str | None) -> None:
    assert next_opening(pace({"start": start, "end": end}), at(now)) == (None if opens is None else at(opens))


def test_a_window_of_one_day_a_week_may_be_left_out_once() -> None:
    settings = pace({"start": "02:10", "end": "02:50", "days": ["sun"]})
    assert next_opening(settings, at("2026-03-28 12:00")) == at("2026-04-05 02:10")


def test_midnight_is_an_end() -> None:
    settings = pace({"start": "00:00", "end": "00:00"})
    assert next_opening(settings, at("2026-11-29 13:00")) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"windows": [{"start": "8:00", "end": "09:00"}]},
        {"windows": [{"start": "24:00", "end": "09:00"}]},
        {"windows": [{"start": "08:00", "end": "09:00", "days": ["someday"]}]},
        {"time_zone": "Mars/Olympus"},
        {"bytes_per_second": 5},
    ],
)
def test_what_can_not_be_a_pace(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PaceSettings.model_validate({"ae": "A", **wrong})


def test_a_data_set_goes_no_faster_than_its_limit() -> None:
    async def main() -> tuple[bytes, int, float]:
        async def pieces() -> AsyncIterator[bytes | memoryview]:
            yield bytes(60_000)
            yield b"\1" * 20_001

        began = anyio.current_time()
        limited = Pace(pace(bytes_per_second=100_000))
        parts = [bytes(part) async for part in limited.limited(pieces())]
        return b"".join(parts), max(map(len, parts)), anyio.current_time() - began

    whole, longest, seconds = anyio.run(main)
    assert whole == bytes(60_000) + b"\1" * 20_001
    assert longest <= 25_000
    assert seconds > 0.2
