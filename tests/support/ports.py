"""TCP ports for servers that can't be told to take port 0 (DCMTK, Orthanc, nats-server).

A port is taken from below the kernel's ephemeral range, so no outgoing connection gets it, and is held by a
lock file until this process ends, so no other test process gets it either.
"""

from __future__ import annotations

import fcntl
import os
import random
import resource
import socket
import tempfile
from pathlib import Path
from typing import IO

FIRST_PORT = 15000
LAST_PORT = 31999
HELD_FROM = 4096
"""First descriptor of the lock files."""
_held: list[IO[bytes]] = []


def _lock_directory() -> Path:
    directory = Path(tempfile.gettempdir()) / f"dimse-mesh-test-ports-{os.getuid()}"
    directory.mkdir(exist_ok=True)
    return directory


def _is_bindable(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def reserve_port() -> int:
    """Return a TCP port that nobody listens on, reserved for this process until it ends."""
    return reserve_ports(1)


def reserve_ports(count: int) -> int:
    """Return the first of `count` consecutive TCP ports, reserved like one of `reserve_port`."""
    for _ in range(2000):
        first = random.randint(FIRST_PORT, LAST_PORT + 1 - count)
        locks: list[IO[bytes]] = []
        for port in range(first, first + count):
            lock = _locked(port)
            if lock is None:
                break
            locks.append(lock)
        if len(locks) == count:
            _held.extend(map(_out_of_the_way, locks))
            return first
        for lock in locks:
            lock.close()
    raise RuntimeError(f"no {count} free TCP ports between {FIRST_PORT} and {LAST_PORT}")


def _locked(port: int) -> IO[bytes] | None:
    """Return the lock of a port that nobody holds or listens on, or None."""
    lock = (_lock_directory() / str(port)).open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    if _is_bindable(port):
        return lock
    lock.close()
    return None


def _out_of_the_way(lock: IO[bytes]) -> IO[bytes]:
    """Give a lock a high descriptor: pynetdicom can't use a socket whose own is 1024 or more (select)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2 * HELD_FROM <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (2 * HELD_FROM, hard))
    try:
        high = fcntl.fcntl(lock, fcntl.F_DUPFD_CLOEXEC, HELD_FROM)
    except OSError:  # the limit of open files is too low
        return lock
    lock.close()  # the copy holds the same lock
    return os.fdopen(high, "wb")


def is_listening(port: int) -> bool:
    """Tell whether somebody listens on `port`, without connecting (a connection would show in the peer)."""
    wanted = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == "0A" and local.endswith(wanted):
                return True
    return False


def established_connections(port: int) -> int:
    """Return how many established TCP connections have `port` as their local port."""
    wanted = f":{port:04X}"
    count = 0
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            count += state == "01" and local.endswith(wanted)
    return count
