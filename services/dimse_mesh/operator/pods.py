"""What the pods of a zone say: why they aren't ready, and how many associations they carry."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import aiohttp
import anyio

from dimse_mesh.operator.names import Manifest
from dimse_mesh.operator.queues import QueueSeen, queues_in
from dimse_mesh.operator.scaling import ASSOCIATIONS_METRIC

PROBE_SECONDS = 2.0
MOST_ASKED = 100
"""Requests to pods at a time."""
MAX_ANSWER = 1 << 20
MAX_TEXT = 300

_OPENING = re.compile(
    r'^dimse_mesh_target_openings_total\{ae_title="([^"]*)",result="([^"]*)"\} ([0-9.eE+-]+)$', re.MULTILINE
)
_GAUGE = re.compile(rf"^{ASSOCIATIONS_METRIC}(?:\{{[^}}]*\}})? ([0-9.eE+-]+)$", re.MULTILINE)

# Waiting reasons that pass by themselves.
_NORMAL = {"ContainerCreating", "PodInitializing"}


@dataclass(frozen=True, slots=True)
class PodReport:
    """One pod: `complaint` says in one line why it isn't ready, if anybody said it."""

    name: str
    ready: bool
    complaint: str = ""
    associations: int | None = None
    deletion_cost: int | None = None
    openings: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Of an executor: associations that it was asked to open, by AE title and result, since it started."""
    queues: Sequence[QueueSeen] = ()
    """Of durable routes."""


def report_of(pod: Manifest) -> PodReport:
    """Read a pod's own status: the kubelet's word, and the last words of a container that ended."""
    status = pod.get("status", {})
    conditions = {one["type"]: one for one in status.get("conditions", ())}
    ready = conditions.get("Ready", {}).get("status") == "True"
    cost = pod["metadata"].get("annotations", {}).get("controller.kubernetes.io/pod-deletion-cost")
    return PodReport(
        name=pod["metadata"]["name"],
        ready=ready,
        complaint="" if ready else _complaint(status, conditions),
        deletion_cost=int(cost) if cost else None,
    )


def _complaint(status: Manifest, conditions: Mapping[str, Manifest]) -> str:
    for container in status.get("containerStatuses", ()):
        state, last = container.get("state", {}), container.get("lastState", {})
        for ended in (state.get("terminated"), last.get("terminated")):
            last_words = ((ended or {}).get("message") or "").strip().splitlines()
            if last_words:
                return _one_line(last_words[-1])
        waiting = state.get("waiting", {})
        if waiting.get("reason", "ContainerCreating") not in _NORMAL:
            return _one_line(f"{waiting['reason']}: {waiting.get('message', '')}")
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return _one_line(f"not scheduled: {scheduled.get('message', '')}")
    return ""


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…"


@asynccontextmanager
async def asking() -> AsyncIterator[PodClient]:
    """Give a client for as long as the block lasts."""
    timeout = aiohttp.ClientTimeout(total=PROBE_SECONDS)
    # Each pod is asked once in a while: nothing is kept open for the next time.
    connector = aiohttp.TCPConnector(force_close=True, limit=MOST_ASKED)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield PodClient(session)


class PodClient:
    """Asks pods for their own pages."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def ask(self, pods: Sequence[Manifest], *, metrics: bool) -> list[PodReport]:
        """Report on pods, asking those that run: /readyz when they aren't ready, /metrics if wanted.

        Who can't be asked within two seconds is reported as the API server knows it.
        """
        reports = [report_of(pod) for pod in pods]
        async with anyio.create_task_group() as tasks:
            for index, pod in enumerate(pods):
                address = _address(pod)
                if address is not None:
                    tasks.start_soon(self._one, reports, index, address, metrics)
        return reports

    async def _one(self, reports: list[PodReport], index: int, address: str, metrics: bool) -> None:
        report = reports[index]
        if not report.ready and not report.complaint:
            text = await self._text(f"{address}/readyz")
            report = replace(report, complaint=_one_line(text) if text != "ready\n" else "")
        if metrics:
            report = _with_metrics(report, await self._text(f"{address}/metrics"))
        reports[index] = report

    async def _text(self, url: str) -> str:
        try:
            async with self._session.get(url, allow_redirects=False) as response:
                if 300 <= response.status < 400:
                    return ""  # a pod must not choose what the operator asks
                return (await response.content.read(MAX_ANSWER)).decode(errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError):
            return ""


def _with_metrics(report: PodReport, text: str) -> PodReport:
    gauge = _GAUGE.search(text)
    return replace(
        report,
        associations=int(float(gauge.group(1))) if gauge else None,
        openings={(one[1], one[2]): int(float(one[3])) for one in _OPENING.finditer(text)},
        queues=queues_in(text),
    )


def _address(pod: Manifest) -> str | None:
    status = pod.get("status", {})
    if status.get("phase") != "Running" or not status.get("podIP"):
        return None
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports", ())]
    number = next((port["containerPort"] for port in ports if port.get("name") == "http"), None)
    host = f"[{status['podIP']}]" if ":" in status["podIP"] else status["podIP"]
    return f"http://{host}:{number}" if number is not None else None
