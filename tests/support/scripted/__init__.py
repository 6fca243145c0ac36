"""Scripted DICOM peers: a client or a server over a plain blocking socket, in full control of every byte."""

from __future__ import annotations

from tests.support.scripted.client import Client
from tests.support.scripted.peer import TIMEOUT, Aborted, Closed, Peer, Rejected, Sink
from tests.support.scripted.server import Server, ServerPeer, accept_and_serve, success

__all__ = [
    "Aborted",
    "Client",
    "Closed",
    "Peer",
    "Rejected",
    "Server",
    "ServerPeer",
    "Sink",
    "TIMEOUT",
    "accept_and_serve",
    "success",
]
