"""A hospital with the command line, a cloud with an Orthanc that limits its answers and a folder for the cohort."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from tests.storage.mesh import Stores, files_in, stores
from tests.support.files import UID_ROOT, DicomFile, synthetic, write_file
from tests.support.forking import COMMANDS
from tests.support.mesh import COMMAND
from tests.support.orthanc import Orthanc
from tests.support.ports import reserve_port
from tests.support.process import Child, wait_until
from tests.unit.app.test_cli import dimse_mesh

PACS, FOLDER = "PACS", "COHORT"
LIMIT = 4


def study_uid(study: int) -> str:
    """Return the Study Instance UID of a study."""
    return f"{UID_ROOT}.{study}"


def study_of(study: int, instances: int, *, date: str, size: int = 2000) -> list[DicomFile]:
    """Return the objects of a study of that date."""
    contents = [synthetic(number, size, study=study) for number in range(1, instances + 1)]
    return [replace(content, data=content.data.replace(b"20240229", date.encode())) for content in contents]


class CohortSite:
    """The running mesh, and its PACS.

    Attributes:
        folder: where the place of the cohort is.
    """

    def __init__(self, directory: Path, running: Stores, pacs_port: int, limit: int) -> None:
        self.directory = directory
        self.running = running
        self.folder = directory / "cohort"
        self._pacs_port = pacs_port
        self._limit = limit
        self.orthanc = self._start()
        self.listed = directory / "cohort.csv"

    def _start(self) -> Orthanc:
        listener = self.running.mesh.listeners["cloud"]
        return Orthanc.start(
            self.directory / "orthanc",
            ae_title=PACS,
            dicom_port=self._pacs_port,
            modalities={"cohort": (FOLDER, listener), "nowhere": ("NOBODY", listener)},
            settings={"LimitFindResults": self._limit, "LimitFindInstances": self._limit},
            verbose=False,
        )

    def upload(self, contents: Sequence[DicomFile]) -> None:
        """Put objects into the PACS."""
        path = self.directory / "upload.dcm"
        for content in contents:
            self.orthanc.post("/instances", write_file(path, content).read_bytes())

    def kill_pacs(self) -> None:
        """Kill the PACS, and start it again on what it has on disk."""
        self.orthanc.child.send_signal(signal.SIGKILL)
        self.orthanc.stop()
        self.orthanc = self._start()

    def kill_service(self, name: str) -> None:
        """Kill a process of the mesh, and wait for the next one."""
        mesh = self.running.mesh
        before = mesh.pids()[name]
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: mesh.pids().get(name, before) != before, f"{name} is started again", timeout=60)

    @property
    def _where(self) -> list[str]:
        mesh = self.running.mesh
        return [
            "--config",
            str(mesh.directory / "hospital.yaml"),
            "--nats",
            f"nats://127.0.0.1:{mesh.nats_port}",
        ]

    def cohort(self, command: str, *arguments: str | Path, code: int = 0) -> str:
        """Run `dimse-mesh cohort` in the hospital; return what it says."""
        where = self._where if command in {"find", "pull"} else []
        result = dimse_mesh("cohort", command, *arguments, *where, timeout=300)
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout + result.stderr

    def begin_pull(self, number: int, *arguments: str) -> Child:
        """Begin to pull into the place, to be killed."""
        command = [*COMMAND, "cohort", "pull", str(self.listed), "--to", FOLDER, *arguments, *self._where]
        return Child(command, log=self.directory / f"pull-{number}.log", fork=COMMANDS)

    def find(self, query: dict[str, Any], *, code: int = 0) -> str:
        """Write the list of a query."""
        path = self.directory / "query.yaml"
        path.write_text(yaml.safe_dump(query))
        return self.cohort("find", path, "--output", self.listed, code=code)

    def report(self, *, code: int = 0) -> dict[str, Any]:
        """Return the report."""
        path = self.directory / "report.json"
        self.cohort("report", self.listed, "--json", path, "--csv", path.with_suffix(".csv"), code=code)
        report: dict[str, Any] = json.loads(path.read_text())
        assert len(path.with_suffix(".csv").read_text().splitlines()) == len(report["studies"]) + 1
        return report

    def stored(self) -> dict[str, DicomFile]:
        """Return what is in the place, by SOP instance UID; each once."""
        files = list(files_in(self.folder).values())
        found = {content.sop_instance: content for content in files}
        assert len(found) == len(files)
        return found

    @property
    def completed(self) -> int:
        """How many studies the state calls complete."""
        path = self.listed.with_name(f"{self.listed.name}.state.json")
        if not path.exists():
            return 0
        states = json.loads(path.read_text())["studies"].values()
        return sum(state["status"] == "complete" for state in states)


@contextmanager
def cohort_site(directory: Path, *, limit: int = LIMIT) -> Iterator[CohortSite]:
    """Start the mesh and the PACS for the length of the block."""
    port = reserve_port()
    pacs = {"ae_title": PACS, "host": "127.0.0.1", "port": port, "max_associations": 2}
    place = {FOLDER: {"url": f"file://{directory}/cohort"}}
    with stores(directory / "mesh", place, remote_aes=[pacs]) as running:
        site = CohortSite(directory, running, port, limit)
        try:
            yield site
        finally:
            site.orthanc.stop()
