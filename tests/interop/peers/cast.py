"""The peers of the table, and those of them that CI has."""

from __future__ import annotations

import re

import pynetdicom

from tests.interop.peers import dcmjs_peer, dicom_rs_peer
from tests.interop.peers.dcmjs_peer import DcmjsClient, DcmjsTarget
from tests.interop.peers.dcmtk_peers import Dcmqrscp, DcmtkClient, Storescp
from tests.interop.peers.dicom_rs_peer import DicomRsClient, DicomRsTarget
from tests.interop.peers.model import Client, Target
from tests.interop.peers.orthanc_peer import OrthancClient, OrthancTarget
from tests.interop.peers.pynetdicom_peer import PynetdicomClient, PynetdicomTarget
from tests.interop.peers.tools import DCMJS_DIMSE, DICOM_RS, run
from tests.support.orthanc import PROGRAM as ORTHANC

CLIENTS_IN_CI: tuple[Client, ...] = (DcmtkClient(), OrthancClient(), PynetdicomClient())
TARGETS_IN_CI: tuple[Target, ...] = (Storescp(), Dcmqrscp(), OrthancTarget(), PynetdicomTarget())


def versions() -> list[str]:
    """Return the peers that are installed, with their versions."""
    programs = {"DCMTK": ("/usr/bin/storescp", r"v(\d\S*)"), "Orthanc": (ORTHANC, r"Orthanc (\S+)")}
    found = [f"pynetdicom {pynetdicom.__version__}"]
    for name, (program, pattern) in programs.items():
        match = re.search(pattern, run((program, "--version")).output)
        found.append(f"{name} {match[1]}" if match else name)
    pinned = {DicomRsClient.name: DICOM_RS, DcmjsClient.name: DCMJS_DIMSE}
    found += [f"{name} {version}" for name, version in pinned.items() if name not in absent()]
    return sorted(found, key=str.lower)


def absent() -> dict[str, str]:
    """Return the peers that aren't installed, and why not."""
    reasons = {DicomRsClient.name: dicom_rs_peer.missing(), DcmjsClient.name: dcmjs_peer.missing()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def clients() -> list[Client]:
    """Return every client that is installed."""
    others: list[Client] = [DicomRsClient(), DcmjsClient()]
    return [*CLIENTS_IN_CI, *(one for one in others if one.name not in absent())]


def targets() -> list[Target]:
    """Return every target that is installed."""
    others: dict[str, Target] = {DicomRsClient.name: DicomRsTarget(), DcmjsClient.name: DcmjsTarget()}
    return [*TARGETS_IN_CI, *(one for name, one in others.items() if name not in absent())]
