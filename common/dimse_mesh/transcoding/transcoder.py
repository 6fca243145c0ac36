"""Have an object's data set changed into another transfer syntax, in a process with limits."""

from __future__ import annotations

from dimse_mesh.isolation import IsolatedProcess, ProcessDied, ProcessTooSlow
from dimse_mesh.runtime.settings_durable import TranscodingSettings

MODULE = "dimse_mesh.transcoding.worker"


class CannotTranscode(Exception):
    """It can't be changed without loss, or not within the limits; the message says why, without patient data."""


class Transcoder:
    """One process, for one object after the other."""

    def __init__(self, settings: TranscodingSettings) -> None:
        self._settings = settings
        self._process = IsolatedProcess(MODULE, memory=settings.memory, deadline=settings.deadline)

    @property
    def max_bytes(self) -> int:
        """Bytes of a data set that it takes."""
        return self._settings.max_bytes

    async def transcode(self, data_set: bytes, source: str, target: str) -> bytes:
        """Return a data set in the transfer syntax `target`.

        Raises:
            CannotTranscode: it can't be done.
        """
        head = {"source": source, "target": target}
        try:
            answer, parts = await self._process.call(head, [data_set], gives=1)
        except ProcessTooSlow:
            raise CannotTranscode(f"it took longer than {self._settings.deadline:g} s") from None
        except ProcessDied as error:
            raise CannotTranscode(f"its process failed: {error}") from error
        if "failed" in answer:
            raise CannotTranscode(answer["failed"])
        return parts[0]

    async def close(self) -> None:
        """End the process."""
        await self._process.close()
