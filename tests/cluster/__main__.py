"""`make cluster`: a control plane, a node and the operator on 127.0.0.1, until Ctrl-C."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path

from tests.support.cluster.control_plane import control_plane
from tests.support.cluster.node import node
from tests.support.cluster.operator import SYSTEM, kubectl, start_operator


def main() -> None:
    """Run it, and say how to reach it."""
    with tempfile.TemporaryDirectory(prefix="dimse-mesh-cluster-") as directory:
        root = Path(directory)
        with control_plane(root) as plane, node(plane.api):
            admin = root / "admin.kubeconfig"
            kubectl(admin, "create", "namespace", SYSTEM)
            kubectl(admin, "apply", "--namespace", SYSTEM, "-k", "k8s/rbac")
            kubectl(admin, "apply", "-k", "k8s/rbac/everywhere")
            with start_operator(plane, root / "operator") as operator:
                operator.wait_for_line("watching every namespace", timeout=60)
                print(f"export KUBECONFIG={admin}")
                print(
                    f"# the operator's log: {operator.log}; try: kubectl apply -k k8s/samples; Ctrl-C ends it"
                )
                try:
                    signal.pause()
                except KeyboardInterrupt:
                    print("stopping")


if __name__ == "__main__":
    main()
