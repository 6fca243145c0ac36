"""The front-end: associations, how they end, and what their peers do."""

from __future__ import annotations

from k8s.dashboards.panels.panel import Panel
from k8s.dashboards.panels.series import of, rate

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
