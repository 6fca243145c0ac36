"""The demo is the product's own first test: it must succeed, and it must be able to fail."""

from __future__ import annotations

import os
import subprocess
import threading

import anyio
import pytest
from rich.console import Console

from dimse_mesh.app import demo, demo_durable, demo_workflow
from dimse_mesh.app.demo_objects import compare, store
from dimse_mesh.app.demo_report import Line, Report, show
from dimse_mesh.app.demo_samples import Sample, samples
from dimse_mesh.client import AssociationError
from tests.unit.app.test_cli import dimse_mesh

OPERATIONS = (
    "C-ECHO",
    "C-STORE",
    "C-FIND",
    "C-GET",
    "C-MOVE",
    "N-CREATE, N-SET, N-GET",
    "N-ACTION, N-EVENT-REPORT",
    "C-STORE, durable",
)


@pytest.fixture(scope="module")
def files() -> list[Sample]:
    return samples()


def test_demo_succeeds() -> None:
    result = dimse_mesh("demo", timeout=180)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    for operation in OPERATIONS:
        assert any(line.startswith(operation) for line in lines), operation
    assert result.stdout.count(" identical") == 4
    assert result.stdout.count(" committed") == 2
    assert "FAILED" not in result.stdout
    assert "ms direct" in result.stdout
    assert lines[-1] == "all is well"
    assert max(map(len, lines)) <= 80
    assert result.stderr == ""


def test_samples_are_of_many_syntaxes_and_each_of_its_own_instance(files: list[Sample]) -> None:
    assert len({sample.file.transfer_syntax for sample in files}) >= demo.WANTED_SYNTAXES
    assert len({sample.file.sop_instance for sample in files}) == len(files) > 100


def test_object_that_differs_is_found(files: list[Sample]) -> None:
    there = {sample.file.sop_instance: sample.digest for sample in files}
    line = Line("C-GET")
    compare(line, files, there)
    assert line.failures == []
    syntax, _ = files[0].digest
    there[files[0].file.sop_instance] = (syntax, "0" * 64)
    del there[files[1].file.sop_instance]
    compare(line, files, there)
    assert [failure.partition(":")[0] for failure in line.failures] == [
        files[0].file.path.name,
        files[1].file.path.name,
    ]


def test_failure_is_shown_and_is_the_exit_code() -> None:
    report = Report()
    with report.operation("C-FIND") as line:
        line.verdict = "as it should be"
    with report.operation("C-GET"):
        raise AssociationError("the connection is lost")
    with report.operation("C-MOVE"):
        raise TimeoutError
    console = Console(width=100)
    with console.capture() as shown:
        assert show(console, report) == 1
    text = shown.get()
    assert "as it should be" in text
    assert text.count("FAILED") == 2
    assert "failed: C-GET: the connection is lost" in text
    assert "failed: C-MOVE: nothing came in time" in text
    assert "all is well" not in text


def test_everything_fails_where_nobody_listens(files: list[Sample]) -> None:
    import subprocess
    from pathlib import Path

    from dimse_mesh.app.demo_mesh import DemoMesh
    from tests.support.ports import reserve_port

    port = reserve_port()
    with subprocess.Popen(["true"], text=True) as process:
        mesh = DemoMesh(
            hospital_port=port,
            echo_port=port,
            modality_port=port,
            vault_port=port,
            nats_port=port,
            index=Path("none"),
            supervisor=process,
        )
        report = Report()
        anyio.run(store, report, mesh, files)
        anyio.run(demo_workflow.performed_procedure_step, report, mesh)
    assert [line.operation for line in report.lines if line.failures] == [
        "C-STORE",
        "N-CREATE, N-SET, N-GET",
    ]


def test_threads_that_end_while_it_looks_hide_no_child() -> None:
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            thread = threading.Thread(target=lambda: None)
            thread.start()
            thread.join()

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    with subprocess.Popen(["sleep", "60"]) as child:
        for thread in threads:
            thread.start()
        try:
            for _ in range(500):
                assert str(child.pid) in set(demo_durable._children(os.getpid()))
        finally:
            over.set()
            child.kill()
            for thread in threads:
                thread.join()
