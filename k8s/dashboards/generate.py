"""Write the Grafana dashboards from the tables in panels/: python -m k8s.dashboards.generate"""

from __future__ import annotations

import json
from pathlib import Path

from k8s.dashboards.grafana import dashboard_model
from k8s.dashboards.panels.durable import DURABLE
from k8s.dashboards.panels.front_end import FRONT_END
from k8s.dashboards.panels.mesh import MESH
from k8s.dashboards.panels.operations import OPERATIONS
from k8s.dashboards.panels.traces import TRACED

HERE = Path(__file__).parent
DASHBOARDS = {
    "front-end": ("DIMSE mesh: association front-end", FRONT_END),
    "operations": ("DIMSE mesh: operations", OPERATIONS),
    "durable": ("DIMSE mesh: durable delivery", DURABLE),
    "mesh": ("DIMSE mesh: health", MESH),
    "traces": ("DIMSE mesh: traces", TRACED),
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
