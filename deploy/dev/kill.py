"""Kill the process that listens on a port of this machine, as a crash would: kill.py PORT (Linux)."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

LISTENING = "0A"


def sockets(port: int) -> set[str]:
    """Return the sockets that listen on `port`, as /proc/PID/fd names them."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found


def holder(wanted: set[str]) -> int | None:
    """Return the process that holds one of these sockets."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()) in wanted:
                return int(link.parts[2])
        except OSError:
            continue
    return None


if __name__ == "__main__":
    pid = holder(sockets(int(sys.argv[1])))
    if pid is None:
        sys.exit(f"nobody listens on port {sys.argv[1]}")
    os.kill(pid, signal.SIGKILL)
    print(f"killed process {pid}")
