"""DIMSE operations by service: how many, how long, how they end."""

from __future__ import annotations

from k8s.dashboards.panels.panel import Panel
from k8s.dashboards.panels.series import ENDPOINTS, of, rate

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
