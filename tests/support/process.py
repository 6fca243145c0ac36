"""Child processes of tests: started, watched by their output or port, always stopped by pid."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.support.forking import Forked, Forking
from tests.support.ports import is_listening

POLL_INTERVAL = 0.01
_running: set[Child] = set()


class ChildFailed(AssertionError):
    """A child ended, or said nothing in time. The text holds the end of its output."""


def require_tool(path: str) -> str:
    """Return `path`; without the program, skip on a laptop and fail in CI."""
    if shutil.which(path) is None:
        reason = f"{path} is not installed: .ci/run says which package has it"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def wait_until(condition: Callable[[], bool], what: str, *, timeout: float = 20.0) -> None:
    """Return as soon as `condition()` holds.

    Raises:
        AssertionError: it did not within `timeout` seconds; `what` says what was waited for.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout:g} s still waiting: {what}")
        time.sleep(POLL_INTERVAL)


class Child:
    """A running program in its own process group, with all its output collected and written to `log`.

    Args:
        fork: let it be forked if it is our program (`forking`), where that makes no difference to starting it.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        fork: Forking | None = None,
    ) -> None:
        self.command = list(command)
        self.log = log
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self._popen: subprocess.Popen[bytes] | Forked
        if fork is not None and fork.can_start(self.command, env or {}):
            self._popen = fork.start(self.command, env or {}, cwd)
        else:
            self._popen = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
        self.pid = self._popen.pid
        self._reader = threading.Thread(target=self._read, name=f"output of {self.pid}", daemon=True)
        self._reader.start()
        _running.add(self)

    def _read(self) -> None:
        assert self._popen.stdout is not None
        with self.log.open("ab") as log:
            for line in self._popen.stdout:
                log.write(line)
                log.flush()
                with self._changed:
                    self._lines.append(line.decode(errors="replace").rstrip("\r\n"))
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def output(self) -> str:
        """Everything printed so far, standard output and standard error together."""
        with self._changed:
            return "\n".join(self._lines)

    @property
    def returncode(self) -> int | None:
        """The exit code (negative: the signal), or None while it runs."""
        return self._popen.poll()

    def describe(self) -> str:
        """Return command, exit code and the last lines of output, for failure messages."""
        tail = "\n".join(self.output.splitlines()[-40:])
        return f"{' '.join(self.command)} (pid {self.pid}, exit code {self.returncode}):\n{tail}"

    def wait_for_line(self, pattern: str, *, timeout: float = 30.0, start: int = 0) -> str:
        """Return the first line from index `start` on that matches `pattern`.

        Raises:
            ChildFailed: the output ended or `timeout` seconds passed without one.
        """
        expression = re.compile(pattern)
        deadline = time.monotonic() + timeout
        position = start
        with self._changed:
            while True:
                for line in self._lines[position:]:
                    if expression.search(line):
                        return line
                position = len(self._lines)
                remaining = deadline - time.monotonic()
                if self._ended or remaining <= 0:
                    break
                self._changed.wait(remaining)
        raise ChildFailed(f"no line matches {pattern!r}: {self.describe()}")

    def wait_for_port(self, port: int, *, timeout: float = 30.0) -> None:
        """Return when somebody listens on `port`.

        Raises:
            ChildFailed: the child ended or `timeout` seconds passed before.
        """
        deadline = time.monotonic() + timeout
        while not is_listening(port):
            if self.returncode is not None or time.monotonic() > deadline:
                raise ChildFailed(f"does not listen on port {port}: {self.describe()}")
            time.sleep(POLL_INTERVAL)

    def wait(self, *, timeout: float = 30.0) -> int:
        """Return the exit code once the child has ended by itself.

        Raises:
            ChildFailed: it still ran after `timeout` seconds.
        """
        try:
            code = self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ChildFailed(f"still running after {timeout:g} s: {self.describe()}") from None
        self._reader.join(5)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the child itself, not to its children."""
        self._popen.send_signal(number)

    def stop(self, *, timeout: float = 15.0) -> int:
        """End the child (SIGTERM, then SIGKILL to its whole group) and return its exit code."""
        if self._popen.poll() is None:
            self._popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(timeout)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        code = self._popen.wait(5)
        self._reader.join(5)
        if self._popen.stdout is not None and not self._reader.is_alive():
            self._popen.stdout.close()
        _running.discard(self)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@atexit.register
def _stop_all() -> None:
    for child in list(_running):
        child.stop(timeout=3)


def descendants(pid: int) -> Iterator[int]:
    """Yield the pids of all children of `pid`, their children, and so on."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    pending = [pid]
    while pending:
        for child in children.get(pending.pop(), ()):
            yield child
            pending.append(child)


def command_line(pid: int) -> str:
    """Return the command line of `pid`, arguments separated by spaces; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def cpu_seconds(pid: int) -> float:
    """Return the user and system CPU time that `pid` has used, to the nanosecond; /proc counts in ticks of 10 ms."""
    # The process's CPUCLOCK_SCHED, as clock_getcpuclockid(3) makes it.
    return time.clock_gettime(~pid << 3 | 2)


def reset_peak(pid: int) -> None:
    """Let the most that `pid` ever held be what it holds now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def open_files(pid: int) -> int:
    """Return how many files `pid` has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def resident_bytes(pid: int, *, peak: bool = False) -> int:
    """Return the resident memory of `pid`, or the most that it ever was (`peak`)."""
    return _status_bytes(pid, "VmHWM:" if peak else "VmRSS:")


def anonymous_bytes(pid: int) -> int:
    """Return the resident memory of `pid` that no file is behind: what it has allocated.

    Pages of files say nothing of a leak: where memory is wanted the kernel drops them, and they come back.
    """
    return _status_bytes(pid, "RssAnon:")


def _status_bytes(pid: int, wanted: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(wanted):
            return int(line.split()[1]) * 1024
    return 0
