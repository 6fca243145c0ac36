"""What the collector counts of spans, and the traces themselves."""

from __future__ import annotations

from k8s.dashboards.panels.panel import Panel
from k8s.dashboards.panels.series import RATE

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
