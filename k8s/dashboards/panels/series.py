"""Series of the chosen zones, in PromQL.

Every series is joined with `target_info`, by which OpenTelemetry describes a process, so the dashboards need no label
that only a certain way of scraping adds.
"""

from __future__ import annotations

RATE = "$__rate_interval"
ENDPOINTS = "dimse-mesh-(association|scu)"


def of(selected: str, service: str = "dimse-mesh-.*") -> str:
    """Return `selected` with zone and service of the processes, only those of the chosen zones and `service`."""
    return (
        f"{selected} * on (job, instance) group_left (dimse_mesh_zone, service_name) "
        f'target_info{{dimse_mesh_zone=~"$zone", service_name=~"{service}"}}'
    )


def rate(counter: str, service: str = "dimse-mesh-.*") -> str:
    """Return the growth of a counter per second."""
    return of(f"rate({counter}[{RATE}])", service)
