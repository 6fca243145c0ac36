"""A process that does one piece of work after the other, within limits of time and memory.

It is started when there is work, kept while it lives, killed when a piece of work takes too long, and started again for
the next one. It inherits no connection, no key and no setting of ours: its environment is a few variables.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from typing import Any

import anyio

from dimse_mesh.isolation.frames import LENGTH, MOST_HEAD, Head, NotAnAnswer, decode_head, encode_head

START_SECONDS = 30.0
"""Seconds for the process to say that it is there, on a busy machine."""
INHERITED = ("PATH", "PYTHONPATH", "PYTHONHOME", "LANG", "LC_ALL", "TZ", "HOME", "LD_LIBRARY_PATH")
"""Environment variables that the process gets."""


class ProcessDied(Exception):
    """The process ended in the middle of its work, or didn't start."""


class ProcessTooSlow(Exception):
    """The work took longer than its deadline; the process was killed."""


class IsolatedProcess:
    """Runs `module`, which calls `serve`, in a process of its own.

    Args:
        memory: bytes of address space that it may have (RLIMIT_AS).
        deadline: seconds for one piece of work.
    """

    def __init__(self, module: str, *, memory: int, deadline: float) -> None:
        self._module = module
        self._memory = memory
        self._deadline = deadline
        self._process: Process | None = None
        self._turn = anyio.Lock()

    @property
    def is_running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.returncode is None

    async def call(
        self,
        head: Mapping[str, Any],
        parts: Sequence[bytes | memoryview],
        *,
        says: Sequence[str] = (),
        gives: int = 0,
    ) -> tuple[Head, list[bytes]]:
        """Have one piece of work done; return what came of it: all texts that are wanted, or one that it `failed`.

        Args:
            says: names of the texts that have to stand in the head of the answer.
            gives: how many parts have to follow it.

        A process that had worked before and dies may have died of what was before: the work is tried once more in a
        new one.

        Raises:
            ProcessDied: the work ends the process, by its memory limit for example, or it answers something else.
            ProcessTooSlow: it took longer than the deadline.
        """
        async with self._turn:
            was_running = self.is_running
            try:
                return await self._call(head, parts, says, gives)
            except ProcessDied:
                if not was_running:
                    raise
            return await self._call(head, parts, says, gives)

    async def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError):  # nobody is left
            os.killpg(process.pid, signal.SIGKILL)  # what the work has started ends with it
        with anyio.CancelScope(shield=True):
            await process.wait()

    async def _call(
        self, head: Mapping[str, Any], parts: Sequence[bytes | memoryview], says: Sequence[str], gives: int
    ) -> tuple[Head, list[bytes]]:
        writing: asyncio.Task[None] | None = None
        finished = False
        try:
            process = await self._running()
            with anyio.fail_after(self._deadline):
                # Beside the reading: what is large in both directions would else fill both pipes.
                writing = asyncio.ensure_future(_write(process, head, parts))
                answer = await _read(process, self._memory)
            _check(*answer, says, gives)
            finished = True
        except TimeoutError:
            raise ProcessTooSlow(f"it took longer than {self._deadline:g} s") from None
        finally:
            if not finished:
                await self.close()
            if writing is not None:
                writing.cancel()
        return answer

    async def _running(self) -> Process:
        """Return the process, started if there is none.

        Raises:
            ProcessDied: it doesn't start.
        """
        if self._process is not None and self._process.returncode is None:
            return self._process
        await self.close()
        environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
        command = [sys.executable, "-P", "-m", self._module, str(self._memory)]
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise ProcessDied(f"it can't be started: {error.strerror}") from error
        self._process = process
        try:
            with anyio.fail_after(START_SECONDS):
                await _read(process, self._memory)
        except TimeoutError:
            raise ProcessDied("it didn't start in time") from None
        return process


async def _write(process: Process, head: Mapping[str, Any], parts: Sequence[bytes | memoryview]) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(encode_head(head, parts))
        for part in parts:
            process.stdin.write(part)
            await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        return  # the reader says what became of it


async def _read(process: Process, most: int) -> tuple[Head, list[bytes]]:
    """Read an answer, of `most` bytes."""
    assert process.stdout is not None
    try:
        (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
        if length > MOST_HEAD:
            raise ProcessDied("its process answers too much")
        head, lengths = decode_head(await process.stdout.readexactly(length))
        if sum(lengths) > most:
            raise ProcessDied("its process answers too much")
        return head, [await process.stdout.readexactly(length) for length in lengths]
    except NotAnAnswer as error:
        raise ProcessDied(f"its process answers {error}") from None
    except asyncio.IncompleteReadError:
        code = await process.wait()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        raise ProcessDied(f"its process ended with {how}") from None


def _check(head: Head, parts: Sequence[bytes], says: Sequence[str], gives: int) -> None:
    """Check that an answer is one: what a damaged object has taken over says anything.

    Raises:
        ProcessDied: it isn't.
    """
    wanted = ("failed",) if "failed" in head else says
    if not all(isinstance(head.get(name), str) for name in wanted):
        raise ProcessDied("its process doesn't say what it has to")
    if "failed" not in head and len(parts) != gives:
        raise ProcessDied(f"its process gives {len(parts)} parts and not {gives}")
