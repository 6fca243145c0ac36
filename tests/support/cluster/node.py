"""The part of a scheduler and a kubelet that the operator sees: pods get a node, run, are ready, end.

No container is started. A pod's annotations say how it behaves: `test.example.org/behaviour` is `hang` (never
ready), `unscheduled` (no node) or `crash: TEXT` (ends with TEXT as last words, again and again). An image whose tag
is `missing` can't be pulled. A pod with a `nodeName` of its own is left to the test that made it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from typing import Any

from tests.support.cluster.api import Api, Manifest, Refused

BEHAVIOUR = "test.example.org/behaviour"
NAME = "node-1"
ADDRESS = "127.0.0.1"
WORKERS = 4


class Node:
    """Plays one node, with room for everything, in threads of its own."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._stopped = threading.Event()
        self._pods: queue.SimpleQueue[Manifest | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._watch, name="node-watch", daemon=True)]
        self._threads += [
            threading.Thread(target=self._work, name=f"node-{index}", daemon=True) for index in range(WORKERS)
        ]

    def start(self) -> None:
        """Register the node and begin."""
        with suppress(Refused):
            self._api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NAME}})
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all threads."""
        self._stopped.set()
        for _ in range(WORKERS):
            self._pods.put(None)
        for thread in self._threads:
            thread.join(10)

    def _watch(self) -> None:
        while not self._stopped.is_set():
            with suppress(OSError, HTTPException, Refused):
                listed = self._api.ask("GET", self._api.path("Pod"))
                for pod in listed["items"]:
                    self._pods.put(pod)
                version = listed["metadata"]["resourceVersion"]
                for kind, pod in self._api.watch("Pod", version, self._stopped):
                    if kind != "DELETED":
                        self._pods.put(pod)
        self._api.close()

    def _work(self) -> None:
        while (pod := self._pods.get()) is not None:
            # It may have changed or gone meanwhile: another event tells.
            with suppress(OSError, HTTPException, Refused):
                self._look_after(pod)
        self._api.close()

    def _look_after(self, pod: Manifest) -> None:
        metadata, spec = pod["metadata"], pod["spec"]
        if spec.get("nodeName", NAME) != NAME:
            return
        path = self._api.path("Pod", metadata["name"], namespace=metadata["namespace"])
        if metadata.get("deletionTimestamp"):
            self._api.ask(
                "DELETE", path, {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
            )
            return
        behaviour = metadata.get("annotations", {}).get(BEHAVIOUR, "")
        if behaviour == "unscheduled":
            self._set_status(pod, path, _unscheduled())
            return
        if "nodeName" not in spec:
            target = {"apiVersion": "v1", "kind": "Node", "name": NAME}
            binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": metadata["name"]}}
            self._api.ask("POST", f"{path}/binding", {**binding, "target": target})
            return
        self._set_status(pod, path, _status(pod, behaviour))

    def _set_status(self, pod: Manifest, path: str, status: Manifest) -> None:
        if pod["status"].get("message") != status["message"]:
            self._api.ask("PATCH", f"{path}/status", {"status": status}, "application/merge-patch+json")


def _status(pod: Manifest, behaviour: str) -> Manifest:
    container = pod["spec"]["containers"][0]
    states: dict[str, Any]
    if container["image"].endswith(":missing"):
        waiting = {"reason": "ImagePullBackOff", "message": f"there is no image {container['image']}"}
        states = {"state": {"waiting": waiting}}
    elif behaviour.startswith("crash: "):
        ended = {"exitCode": 1, "message": behaviour.removeprefix("crash: ")}
        states = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": ended}}
    else:
        states = {"state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
    running = "running" in states["state"]
    ready = running and behaviour != "hang"
    word = "True" if ready else "False"
    return {
        "phase": "Running" if running else "Pending",
        "podIP": ADDRESS,
        "podIPs": [{"ip": ADDRESS}],
        "hostIP": ADDRESS,
        "message": f"node: {behaviour or 'well'} {container['image']}",
        "conditions": [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Initialized", "status": "True"},
            {"type": "ContainersReady", "status": word},
            {"type": "Ready", "status": word, "lastTransitionTime": "2026-01-01T00:00:00Z"},
        ],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": ready,
                "restartCount": 0,
                **states,
            }
        ],
    }


def _unscheduled() -> Manifest:
    text = "no node has the labels that the pod wants"
    return {
        "phase": "Pending",
        "message": "node: unscheduled",
        "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": text}
        ],
    }


@contextmanager
def node(api: Api) -> Iterator[Node]:
    """Run a node for as long as the block lasts."""
    one = Node(api)
    one.start()
    try:
        yield one
    finally:
        one.stop()
