"""Settings of logs, traces, metrics and health."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dimse_mesh.runtime.settings_fields import Host, ListenPort, SettingsModel


class HttpSettings(SettingsModel):
    """Where /livez, /readyz and /metrics are served."""

    host: Host = Field(default="127.0.0.1", description="address to listen on")
    port: ListenPort = Field(
        description="TCP port; 0: any free one. Under `up` each process of the zone takes the next one"
    )


class ObservabilitySettings(SettingsModel):
    """Logs go to standard error. Traces go where OTEL_EXPORTER_OTLP_ENDPOINT says, and nowhere without it."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least severe level logged"
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="key=value text, or one JSON object per line"
    )
    http: HttpSettings | None = Field(default=None, description="health and metrics; none: off")
    allow_debuggers: bool = Field(
        default=False,
        description="core dumps, debuggers of the same user, SSLKEYLOGFILE: they show data sets and keys",
    )
    tracing_ratio: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="share of associations and operations traced; OTEL_TRACES_SAMPLER(_ARG) win",
    )
