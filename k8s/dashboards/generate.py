"""Write the Grafana dashboards from the tables below: python k8s/dashboards/generate.py

Every series is joined with `target_info`, by which OpenTelemetry describes a process, so the dashboards need no label
that only a certain way of scraping adds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
RATE = "$__rate_interval"
ENDPOINTS = "dimse-mesh-(association|scu)"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


TRACES = {"type": "jaeger", "uid": "${traces}"}


class Panel(NamedTuple):
    """One panel: its queries are (PromQL, legend), or one of Jaeger's for the kinds that `JAEGER_QUERIES` has."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    description: str = ""
    width: int = 12


def of(selected: str, service: str = "dimse-mesh-.*") -> str:
    """Return `selected` with zone and service of the processes, only those of the chosen zones and `service`."""
    return (
        f"{selected} * on (job, instance) group_left (dimse_mesh_zone, service_name) "
        f'target_info{{dimse_mesh_zone=~"$zone", service_name=~"{service}"}}'
    )


def rate(counter: str, service: str = "dimse-mesh-.*") -> str:
    """Return the growth of a counter per second."""
    return of(f"rate({counter}[{RATE}])", service)


FRONT = "dimse-mesh-association"
FRONT_END = (
    Panel(
        "Open associations",
        "short",
        ((f"sum by (dimse_mesh_zone) ({of('dimse_mesh_associations_open', FRONT)})", "{{dimse_mesh_zone}}"),),
        "stat",
        width=6,
    ),
    Panel(
        "Accepted in an hour",
        "short",
        (
            (
                f"sum by (dimse_mesh_zone) ({of('increase(dimse_mesh_associations_total[1h])', FRONT)})",
                "{{dimse_mesh_zone}}",
            ),
        ),
        "stat",
        width=6,
    ),
    Panel(
        "Rejected in an hour",
        "short",
        (
            (
                f"sum by (dimse_mesh_zone) ({of('increase(dimse_mesh_associations_rejected_total[1h])', FRONT)})",
                "{{dimse_mesh_zone}}",
            ),
        ),
        "stat",
        width=6,
    ),
    Panel(
        "Peers that are held back, or take nothing",
        "short",
        (
            (f"sum({of('dimse_mesh_associations_held_back', FRONT)})", "held back"),
            (f"sum({of('dimse_mesh_associations_stalled', FRONT)})", "stalled"),
        ),
        "stat",
        "Held back: the other side takes no more, so the peer isn't read. Stalled: the peer takes nothing.",
        width=6,
    ),
    Panel(
        "Associations accepted",
        "cps",
        (
            (
                f"sum by (dimse_mesh_zone) ({rate('dimse_mesh_associations_total', FRONT)})",
                "{{dimse_mesh_zone}}",
            ),
        ),
    ),
    Panel(
        "Associations rejected, by reason",
        "cps",
        (
            (
                f"sum by (result, source, reason) ({rate('dimse_mesh_associations_rejected_total', FRONT)})",
                "{{reason}} ({{result}}, {{source}})",
            ),
        ),
        description="As the client sees them (PS3.8 9.3.4), whether the mesh or the target rejects.",
    ),
    Panel(
        "Ends of associations, by code",
        "cps",
        ((f"sum by (code) ({rate('dimse_mesh_associations_ended_total', FRONT)})", "{{code}}"),),
        description="released is the good end.",
    ),
    Panel(
        "Peers' mistakes, by code",
        "cps",
        ((f"sum by (code) ({rate('dimse_mesh_protocol_errors_total', FRONT)})", "{{code}}"),),
    ),
    Panel(
        "From and to clients",
        "Bps",
        (
            (
                f"sum by (dimse_mesh_zone) ({rate('dimse_mesh_dicom_received_bytes_total', FRONT)})",
                "from clients of {{dimse_mesh_zone}}",
            ),
            (
                f"sum by (dimse_mesh_zone) ({rate('dimse_mesh_dicom_sent_bytes_total', FRONT)})",
                "to clients of {{dimse_mesh_zone}}",
            ),
        ),
    ),
    Panel(
        "Open associations over time",
        "short",
        (
            (
                f"sum by (dimse_mesh_zone, instance) ({of('dimse_mesh_associations_open', FRONT)})",
                "{{dimse_mesh_zone}} {{instance}}",
            ),
        ),
    ),
)

NO_SUCCESS = 'dimse_mesh_operations_total{outcome!="success"}'
FAILED = 'dimse_mesh_operations_total{outcome=~"failure|aborted"}'


def quantile(share: float) -> str:
    """Return the duration that this share of the operations of a service doesn't exceed."""
    buckets = rate("dimse_mesh_operation_duration_seconds_bucket")
    return f"histogram_quantile({share}, sum by (le, service) ({buckets}))"


OPERATIONS = (
    Panel(
        "Operations in flight",
        "short",
        (
            (
                f"sum by (dimse_mesh_zone) ({of('dimse_mesh_operations_in_flight', ENDPOINTS)})",
                "{{dimse_mesh_zone}}",
            ),
        ),
        "stat",
        width=8,
    ),
    Panel(
        "Operations",
        "ops",
        ((f"sum by (dimse_mesh_zone) ({rate('dimse_mesh_operations_total')})", "{{dimse_mesh_zone}}"),),
        "stat",
        width=8,
    ),
    Panel(
        "Share that fails",
        "percentunit",
        ((f"sum({rate(FAILED)}) / sum({rate('dimse_mesh_operations_total')})", "failed"),),
        "stat",
        "Status of category failure, or cut off by the end of the association.",
        width=8,
    ),
    Panel(
        "Operations, by service",
        "ops",
        ((f"sum by (service) ({rate('dimse_mesh_operations_total')})", "{{service}}"),),
    ),
    Panel(
        "Operations that are no success, by service and outcome",
        "ops",
        (
            (
                f"sum by (service, outcome) ({rate(NO_SUCCESS)})",
                "{{service}} {{outcome}}",
            ),
        ),
    ),
    Panel(
        "Duration, median",
        "s",
        ((quantile(0.5), "{{service}}"),),
        description="From the request to the final response, as the peer that asked sees it.",
    ),
    Panel("Duration, 95 %", "s", ((quantile(0.95), "{{service}}"),)),
    Panel(
        "Duration, mean",
        "s",
        (
            (
                f"sum by (service) ({rate('dimse_mesh_operation_duration_seconds_sum')}) / "
                f"sum by (service) ({rate('dimse_mesh_operation_duration_seconds_count')})",
                "{{service}}",
            ),
        ),
    ),
    Panel("Duration, 99 %", "s", ((quantile(0.99), "{{service}}"),)),
    Panel(
        "What handlers decide",
        "ops",
        (
            (
                f"sum by (service_name, decision) ({rate('dimse_mesh_handler_operations_total')})",
                "{{service_name}} {{decision}}",
            ),
        ),
    ),
    Panel(
        "Associations with targets, by result",
        "cps",
        (
            (
                f"sum by (ae_title, result) ({rate('dimse_mesh_target_openings_total')}) > 0",
                "{{ae_title}} {{result}}",
            ),
        ),
        description="What executors answer; anything but accepted is a target's trouble, or its limit.",
    ),
)

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

SERVER = 'span_kind="SPAN_KIND_SERVER", service_name=~"dimse-mesh-.*", span_name!="association"'
"""Labels of the spans of operations at the endpoint whose peer asks."""
SPANS = "traces_span_metrics"


def spans(name: str, labels: str = SERVER) -> str:
    """Return the growth per second of what the collector counts of the chosen zones' spans."""
    return f'rate({SPANS}_{name}{{{labels}, dimse_mesh_zone=~"$zone"}}[{RATE}])'


def failed_share(by: str) -> str:
    """Return the share of operations whose span is an error."""
    wrong = spans("calls_total", f'{SERVER}, status_code="STATUS_CODE_ERROR"')
    return f"sum by ({by}) ({wrong}) / sum by ({by}) ({spans('calls_total')})"


def span_quantile(share: float, by: str, labels: str = SERVER) -> str:
    """Return the duration that this share of spans doesn't exceed."""
    return f"histogram_quantile({share}, sum by (le, {by}) ({spans('duration_seconds_bucket', labels)}))"


OPENING = 'span_name="open association"'
JAEGER_QUERIES: dict[str, dict[str, Any]] = {
    "nodeGraph": {"queryType": "dependencyGraph"},
    "table": {"queryType": "search", "service": "dimse-mesh-association", "limit": 20},
}
"""Queries of the panels that show traces."""
TRACED = (
    Panel("Newest traces", "short", (), "table", "A click on a trace's id shows where the time went."),
    Panel("Who asks whom", "short", (), "nodeGraph", "Services, and how many spans of one called another."),
    Panel(
        "Operations, by service",
        "ops",
        ((f"sum by (span_name) ({spans('calls_total')})", "{{span_name}}"),),
    ),
    Panel("Share that fails, by service", "percentunit", ((failed_share("span_name"), "{{span_name}}"),)),
    Panel(
        "Operations, by AE titles",
        "ops",
        (
            (
                f"sum by (dicom_ae_calling, dicom_ae_called) ({spans('calls_total')})",
                "{{dicom_ae_calling}} to {{dicom_ae_called}}",
            ),
        ),
        description="AE titles as the peer that asks says them.",
    ),
    Panel(
        "Share that fails, by called AE",
        "percentunit",
        ((failed_share("dicom_ae_called"), "{{dicom_ae_called}}"),),
    ),
    Panel(
        "Duration, 95 %, by service",
        "s",
        ((span_quantile(0.95, "span_name"), "{{span_name}}"),),
        description="Points are operations: a click leads to the trace.",
    ),
    Panel(
        "Duration, 95 %, by called AE",
        "s",
        ((span_quantile(0.95, "dicom_ae_called"), "{{dicom_ae_called}}"),),
    ),
    Panel(
        "Answers, by status",
        "ops",
        (
            (
                f"sum by (span_name, rpc_response_status_code) ({spans('calls_total')})",
                "{{span_name}} {{rpc_response_status_code}}",
            ),
        ),
        description="DIMSE status; none: there was no response.",
    ),
    Panel(
        "Opening an association with a target, 95 %",
        "s",
        ((span_quantile(0.95, "dicom_ae_remote", OPENING), "{{dicom_ae_remote}}"),),
    ),
    Panel(
        "Spans that the collector gets",
        "cps",
        (
            (f"sum(rate(otelcol_receiver_accepted_spans_total[{RATE}]))", "accepted"),
            (f"sum(rate(otelcol_receiver_refused_spans_total[{RATE}])) or vector(0)", "refused"),
        ),
    ),
    Panel(
        "Spans that it hands on",
        "cps",
        (
            (f"sum(rate(otelcol_exporter_sent_spans_total[{RATE}]))", "sent"),
            (f"sum(rate(otelcol_exporter_send_failed_spans_total[{RATE}])) or vector(0)", "failed"),
        ),
    ),
)

DASHBOARDS = {
    "front-end": ("DIMSE mesh: association front-end", FRONT_END),
    "operations": ("DIMSE mesh: operations", OPERATIONS),
    "mesh": ("DIMSE mesh: health", MESH),
    "traces": ("DIMSE mesh: traces", TRACED),
}


def panel_model(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    """Return a panel as Grafana stores it."""
    stat = panel.kind == "stat"
    options: dict[str, Any] = (
        {"colorMode": "value", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}}
        if stat
        else {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    )
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": TRACES if panel.kind in JAEGER_QUERIES else DATASOURCE,
        "gridPos": {"h": 4 if stat else 8, "w": panel.width, "x": x, "y": y},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": options,
        "targets": targets_of(panel),
    }


def targets_of(panel: Panel) -> list[dict[str, Any]]:
    """Return what a panel asks; with a duration Prometheus tells the traces that it knows as examples."""
    if panel.kind in JAEGER_QUERIES:
        return [{"refId": "A", "datasource": TRACES, **JAEGER_QUERIES[panel.kind]}]
    return [
        {
            "refId": chr(65 + index),
            "datasource": DATASOURCE,
            "expr": expression,
            "legendFormat": legend,
            **({"exemplar": True} if "_bucket" in expression else {}),
        }
        for index, (expression, legend) in enumerate(panel.queries)
    ]


def panel_models(panels: tuple[Panel, ...]) -> list[dict[str, Any]]:
    """Return the panels in rows, from left to right."""
    models: list[dict[str, Any]] = []
    x = y = height = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > 24:
            x, y = 0, y + height
        models.append(panel_model(panel, number, x, y))
        height = models[-1]["gridPos"]["h"]
        x += panel.width
    return models


TRACES_VARIABLE = {"name": "traces", "type": "datasource", "query": "jaeger", "label": "Traces"}


def dashboard_model(name: str, title: str, panels: tuple[Panel, ...]) -> dict[str, Any]:
    """Return a dashboard as Grafana imports it."""
    return {
        "uid": f"dimse-mesh-{name}",
        "title": title,
        "tags": ["dicom", "dimse-mesh"],
        "schemaVersion": 38,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"},
                *([TRACES_VARIABLE] if any(panel.kind in JAEGER_QUERIES for panel in panels) else []),
                {
                    "name": "zone",
                    "type": "query",
                    "label": "Zone",
                    "datasource": DATASOURCE,
                    "query": {"query": "label_values(target_info, dimse_mesh_zone)", "refId": "zone"},
                    "includeAll": True,
                    "allValue": ".*",
                    "multi": True,
                    "current": {"text": "All", "value": "$__all"},
                    "refresh": 2,
                    "sort": 1,
                },
            ]
        },
        "panels": panel_models(panels),
    }


def rendered() -> dict[str, str]:
    """Return the files by name."""
    return {
        f"{name}.json": json.dumps(dashboard_model(name, title, panels), indent=2) + "\n"
        for name, (title, panels) in DASHBOARDS.items()
    }


if __name__ == "__main__":
    for file, text in rendered().items():
        (HERE / file).write_text(text)
