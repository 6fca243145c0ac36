"""Settings of when a delivery that failed is tried again."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from dimse_mesh.runtime.settings_fields import CountOrUnlimited, Seconds, SettingsModel


class RetrySettings(SettingsModel):
    """When a delivery that failed is tried again."""

    first: Seconds = Field(default=1.0, description="seconds before the first retry; doubles, jittered")
    longest: Seconds = Field(default=300.0, description="where the time between retries stops")
    attempts: CountOrUnlimited = Field(
        default=20,
        description="attempts at one object that its destination fails; then it is a dead letter; 0: without end",
    )

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if self.longest < self.first:
            raise ValueError("longest: at least first")
        return self
