"""An error of ours with one resource keeps the operator from no other."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock, create_autospec

import anyio
import pytest

from dimse_mesh.operator.cluster import Cluster
from dimse_mesh.operator.controller import Zones
from dimse_mesh.operator.names import Manifest
from dimse_mesh.operator.neighbours import Neighbours
from dimse_mesh.operator.reconcile import Reconciler
from dimse_mesh.operator.resource import KIND
from dimse_mesh.operator.watching import Contents


def resource(name: str) -> Manifest:
    metadata = {"name": name, "namespace": "imaging", "uid": name, "resourceVersion": "1"}
    return {"kind": KIND, "metadata": metadata}


def test_a_resource_that_breaks_something_is_tried_again_beside_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    passes: list[str] = []

    async def reconcile(_: object, item: Manifest, __: object) -> None:
        name = item["metadata"]["name"]
        passes.append(name)
        if name == "bad":
            if passes.count(name) == 1:
                raise KeyError(name)
            tried_again.set()

    async def main() -> None:
        contents, reconciler = Contents(), create_autospec(Reconciler, instance=True)
        reconciler.reconcile = reconcile
        cluster: Any = create_autospec(Cluster, instance=True)
        async with anyio.create_task_group() as tasks:
            neighbours = Neighbours("dimse-mesh-system", anyio.current_time)
            zones = Zones(tasks, cluster, contents, reconciler, neighbours, outcome=MagicMock())
            for item in (resource("bad"), resource("good")):
                contents.put(item)
                zones.changed(item)
            zones.begin()
            with anyio.fail_after(30):
                await tried_again.wait()
            tasks.cancel_scope.cancel()

    tried_again = anyio.Event()
    anyio.run(main)
    assert "good" in passes
    assert "imaging/bad: not reconciled" in caplog.text
