"""Hooks in Python, as a site might write them."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from pathlib import Path

from pydicom.dataset import Dataset

from dimse_mesh.hooks import HookRefusal


def changes(dataset: Dataset) -> None:
    """Change an object in place."""
    dataset.PatientName = str(dataset.PatientName).upper()


def replaces(dataset: Dataset) -> Dataset:
    """Return another object."""
    other = Dataset()
    other.SOPClassUID, other.SOPInstanceUID = dataset.SOPClassUID, "1.2.3.4.5"
    other.PatientName = "Replaced"
    return other


def fails(dataset: Dataset) -> None:
    """Fail with a text that names the patient."""
    raise ValueError(f"can't do anything for {dataset.PatientName}")


def refuses(dataset: Dataset) -> None:
    """Refuse an object in words for operators."""
    assert dataset.PatientName
    raise HookRefusal("not on Sundays")


def returns_text(dataset: Dataset) -> str:
    """Return what is no data set."""
    return str(dataset.PatientName)


def hangs(_: Dataset) -> None:
    """Never return."""
    while True:
        pass


def takes_all_memory(_: Dataset) -> None:
    """Take more and more memory."""
    kept = []
    while True:
        kept.append(bytearray(64 << 20))


def prints(dataset: Dataset) -> None:
    """Print what must not get between the answers."""
    print(dataset)
    os.write(1, b"x" * 100)


def dies(_: Dataset) -> None:
    """End the process, as a library in C may."""
    os.kill(os.getpid(), signal.SIGSEGV)


def address_space(dataset: Dataset) -> None:
    """Note what the process can see of its surroundings."""
    dataset.PatientComments = " ".join(sorted(name for name in os.environ if name.startswith("DIMSE")))
    ctypes.CDLL(None)


def starts_another_process(dataset: Dataset) -> None:
    """Start a program that outlives its work, and tell which."""
    started = subprocess.Popen(["sleep", "600"])
    dataset.PatientName = str(started.pid)


def starts_another_process_and_hangs(dataset: Dataset) -> None:
    """Start a program, tell which, and wait for it."""
    started = subprocess.Popen(["sleep", "600"])
    Path(str(dataset.PatientComments)).write_text(str(started.pid))
    started.wait()
