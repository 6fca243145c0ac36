"""Durable delivery: what waits where and why, what was delivered, and whether there is room."""

from __future__ import annotations

from k8s.dashboards.panels.panel import Panel
from k8s.dashboards.panels.series import of, rate

PLACE = "{{source}} to {{destination}}"
"""Legend of what is measured for each queue."""
DELIVERED = 'cause=~"delivered|delivered-with-warning|already-there"'
NOT_DELIVERED = DELIVERED.replace("=~", "!~")
FULL = "(dimse_mesh_spool_kept_bytes / dimse_mesh_spool_limit_bytes)"


def by_queue(aggregate: str, selected: str, more: str = "") -> str:
    """Return what all processes of the chosen zones say of each queue."""
    return f"{aggregate} by (source, destination{more}) ({selected})"


DURABLE = (
    Panel(
        "Objects that wait",
        "short",
        ((by_queue("max", of("dimse_mesh_spool_objects")), PLACE),),
        "stat",
        "As the zone that keeps them sees it, also while nobody delivers.",
        width=6,
    ),
    Panel(
        "The oldest has waited",
        "s",
        ((by_queue("max", of("dimse_mesh_spool_oldest_seconds")), PLACE),),
        "stat",
        width=6,
    ),
    Panel(
        "Dead letters in an hour",
        "short",
        ((by_queue("sum", of("increase(dimse_mesh_delivery_dead_letters_total[1h])")), PLACE),),
        "stat",
        "Objects that are not tried again by themselves: dimse-mesh queue show DEST --failed.",
        width=6,
    ),
    Panel(
        "Clients are refused",
        "short",
        ((by_queue("max", of("dimse_mesh_spool_refusing"), ", reason"), f"{PLACE}: {{{{reason}}}}"),),
        "stat",
        "1: the spool or its disk is nearly full, or nats-server froze the stream; 0 is well.",
        width=6,
    ),
    Panel("Depth of the queues", "short", ((by_queue("max", of("dimse_mesh_spool_objects")), PLACE),)),
    Panel(
        "Age of the oldest object", "s", ((by_queue("max", of("dimse_mesh_spool_oldest_seconds")), PLACE),)
    ),
    Panel(
        "Delivered",
        "ops",
        (
            (
                by_queue("sum", rate(f"dimse_mesh_delivery_attempts_total{{{DELIVERED}}}")),
                PLACE,
            ),
        ),
        description="Warnings, and what the destination had already, count as delivered.",
    ),
    Panel(
        "Attempts that failed, by cause",
        "ops",
        (
            (
                by_queue("sum", rate(f"dimse_mesh_delivery_attempts_total{{{NOT_DELIVERED}}}"), ", cause"),
                f"{PLACE}: {{{{cause}}}}",
            ),
        ),
    ),
    Panel(
        "What queues wait for",
        "short",
        ((by_queue("max", of("dimse_mesh_queue_waits"), ", cause"), f"{PLACE}: {{{{cause}}}}"),),
        description="1: the queue waits for what the cause says. As the delivery service sees it.",
    ),
    Panel(
        "What becomes of what is kept",
        "short",
        ((by_queue("max", of("dimse_mesh_spool_state"), ", state"), f"{PLACE}: {{{{state}}}}"),),
        description="As the zone that keeps it sees it. nobody: no delivery service has ever looked; silent: it "
        "gives no reason; frozen streams are among the refused clients.",
    ),
    Panel(
        "Bytes on disk",
        "bytes",
        ((by_queue("max", of("dimse_mesh_spool_kept_bytes")), PLACE),),
        description="Dead letters included.",
    ),
    Panel("Share of spool.max_bytes", "percentunit", ((by_queue("max", of(FULL)), PLACE),)),
    Panel(
        "Share of the disk in use",
        "percentunit",
        ((by_queue("max", of("dimse_mesh_spool_disk_used_ratio")), PLACE),),
        description="Of spool.store_dir, where the C-STORE handler sees nats-server's disk.",
    ),
    Panel(
        "Spools that can be read",
        "short",
        ((by_queue("min", of("dimse_mesh_spool_reachable")), PLACE),),
        description="0: the C-STORE handler of the zone can't read it.",
    ),
    Panel(
        "Storage commitments, by outcome",
        "cps",
        ((f"sum by (outcome) ({rate('dimse_mesh_commitments_total')})", "{{outcome}}"),),
    ),
    Panel(
        "Storage commitments that wait",
        "short",
        (
            (
                f"sum by (dimse_mesh_zone) ({of('dimse_mesh_commitments_pending')})",
                "{{dimse_mesh_zone}}",
            ),
        ),
        description="Answered, and not reported yet: instances aren't at their destination.",
    ),
)
