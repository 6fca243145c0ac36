"""Health of the processes, and their connections to NATS."""

from __future__ import annotations

from k8s.dashboards.panels.panel import Panel
from k8s.dashboards.panels.series import ENDPOINTS, of, rate

BUFFER = "(dimse_mesh_unacknowledged_bytes / dimse_mesh_unacknowledged_limit_bytes)"
MESH = (
    Panel(
        "Processes",
        "short",
        (
            (
                'count by (dimse_mesh_zone) (target_info{dimse_mesh_zone=~"$zone", '
                'service_name=~"dimse-mesh-.*"})',
                "{{dimse_mesh_zone}}",
            ),
        ),
        "stat",
        width=8,
    ),
    Panel(
        "Processes without NATS",
        "short",
        ((f"count({of('dimse_mesh_nats_connected')}) - sum({of('dimse_mesh_nats_connected')})", "cut off"),),
        "stat",
        width=8,
    ),
    Panel(
        "Connections to NATS lost in an hour",
        "short",
        ((f"sum({of('increase(dimse_mesh_nats_outages_total[1h])')})", "lost"),),
        "stat",
        width=8,
    ),
    Panel(
        "Connected to NATS",
        "short",
        (
            (
                f"min by (dimse_mesh_zone, service_name) ({of('dimse_mesh_nats_connected')})",
                "{{dimse_mesh_zone}} {{service_name}}",
            ),
        ),
    ),
    Panel(
        "Segments sent again",
        "cps",
        (
            (
                f"sum by (dimse_mesh_zone, service_name) ({rate('dimse_mesh_retransmissions_total', ENDPOINTS)})",
                "{{dimse_mesh_zone}} {{service_name}}",
            ),
        ),
        description="A few after a reconnect are normal; a steady flow says that messages are lost or late.",
    ),
    Panel(
        "Buffer for what isn't acknowledged, in use",
        "percentunit",
        (
            (
                f"max by (dimse_mesh_zone, service_name) ({of(BUFFER, ENDPOINTS)})",
                "{{dimse_mesh_zone}} {{service_name}}",
            ),
        ),
    ),
    Panel(
        "Memory",
        "bytes",
        (
            (
                f"max by (dimse_mesh_zone, service_name) ({of('process_resident_memory_bytes')})",
                "{{dimse_mesh_zone}} {{service_name}}",
            ),
        ),
    ),
    Panel(
        "CPU",
        "percentunit",
        (
            (
                f"sum by (dimse_mesh_zone, service_name) ({rate('process_cpu_seconds_total')})",
                "{{dimse_mesh_zone}} {{service_name}}",
            ),
        ),
        description="100 % is one core.",
    ),
    Panel(
        "File descriptors in use",
        "percentunit",
        (
            (
                f"max by (dimse_mesh_zone, service_name) ({of('(process_open_fds / process_max_fds)')})",
                "{{dimse_mesh_zone}} {{service_name}}",
            ),
        ),
    ),
    Panel(
        "Age of processes",
        "s",
        (
            (
                f"min by (dimse_mesh_zone, service_name) ({of('(time() - process_start_time_seconds)')})",
                "{{dimse_mesh_zone}} {{service_name}}",
            ),
        ),
        description="A fall to zero is a restart.",
    ),
)
