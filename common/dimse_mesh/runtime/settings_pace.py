"""Settings of when, and how fast, a destination is sent what waits for it."""

from __future__ import annotations

from datetime import time
from enum import StrEnum
from typing import Annotated, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, model_validator

from dimse_mesh.runtime.settings_fields import AeTitle, SettingsModel
from dimse_mesh.runtime.settings_retry import RetrySettings


class Day(StrEnum):
    """A day of the week; `list(Day)` is in the order of `date.weekday`."""

    MONDAY = "mon"
    TUESDAY = "tue"
    WEDNESDAY = "wed"
    THURSDAY = "thu"
    FRIDAY = "fri"
    SATURDAY = "sat"
    SUNDAY = "sun"


def _time_zone(value: str) -> str:
    if value != "UTC" and value not in available_timezones():
        raise ValueError(f"{value!r} is no time zone of this machine's database: Europe/Berlin, for example")
    return value


DeliveryAssociations = Annotated[int, Field(ge=1, le=32)]
"""Associations by which one queue is delivered: each of them reads the queue."""
Clock = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class Window(SettingsModel):
    """A time of day in which is delivered. One that ends before it starts ends on the next day."""

    days: tuple[Day, ...] = Field(
        default=tuple(Day), min_length=1, description="days on which it starts: mon, tue, ..."
    )
    start: Clock = Field(description="HH:MM")
    end: Clock = Field(description="HH:MM, on the next day if that isn't later; 00:00: midnight")

    @property
    def first(self) -> time:
        """When it starts."""
        return time.fromisoformat(self.start)

    @property
    def last(self) -> time:
        """When it ends."""
        return time.fromisoformat(self.end)


class PaceSettings(SettingsModel):
    """When, how fast, and how often again, one AE of this zone is sent what waits for it."""

    ae: AeTitle = Field(description="one of scu.remote_aes")
    windows: tuple[Window, ...] = Field(
        default=(),
        description="times in which is delivered; none: always. An object that is under way is finished",
    )
    time_zone: Annotated[str, AfterValidator(_time_zone)] = Field(
        default="UTC", description="of the windows: Europe/Berlin, for example"
    )
    bytes_per_second: int = Field(
        default=0, ge=0, le=1 << 40, description="of data sets that are sent; at least 1000; 0: no limit"
    )

    retry: RetrySettings | None = Field(
        default=None, description="when to try again; none: as delivery.retry says"
    )
    max_associations: DeliveryAssociations | None = Field(
        default=None,
        description="associations with it at once for each of its queues; none: as delivery.max_associations says",
    )

    @model_validator(mode="after")
    def _not_too_slow(self) -> Self:
        if 0 < self.bytes_per_second < 1000:
            raise ValueError("bytes_per_second: at least 1000, or 0: no limit")
        return self

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of the windows."""
        return ZoneInfo(self.time_zone)
