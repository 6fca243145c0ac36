"""Write the Grafana dashboards from the tables in panels/: python -m k8s.dashboards.generate [FOLDER]"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from k8s.dashboards.grafana import dashboard_model
from k8s.dashboards.panels.durable import DURABLE
from k8s.dashboards.panels.front_end import FRONT_END
from k8s.dashboards.panels.mesh import MESH
from k8s.dashboards.panels.operations import OPERATIONS
from k8s.dashboards.panels.traces import TRACED

DASHBOARDS = {
    "front-end": ("DIMSE mesh: association front-end", FRONT_END),
    "operations": ("DIMSE mesh: operations", OPERATIONS),
    "durable": ("DIMSE mesh: durable delivery", DURABLE),
    "mesh": ("DIMSE mesh: health", MESH),
    "traces": ("DIMSE mesh: traces", TRACED),
}


def write(folder: Path) -> None:
    """Write each dashboard into a file of its name."""
    for name, (title, panels) in DASHBOARDS.items():
        text = json.dumps(dashboard_model(name, title, panels), indent=2) + "\n"
        (folder / f"{name}.json").write_text(text)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
