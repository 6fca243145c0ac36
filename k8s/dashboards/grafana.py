"""Panels and dashboards as Grafana stores them."""

from __future__ import annotations

from typing import Any

from k8s.dashboards.panels.panel import Panel

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
TRACES = {"type": "jaeger", "uid": "${traces}"}
JAEGER_QUERIES: dict[str, dict[str, Any]] = {
    "nodeGraph": {"queryType": "dependencyGraph"},
    "table": {"queryType": "search", "service": "dimse-mesh-association", "limit": 20},
}
"""Queries of the panels that show traces."""


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
