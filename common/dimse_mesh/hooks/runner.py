"""Run the hooks of one object, in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from dimse_mesh.hooks.errors import HookFailed
from dimse_mesh.isolation import IsolatedProcess, ProcessDied, ProcessTooSlow
from dimse_mesh.runtime.settings_hooks import Hook, HooksSettings

MODULE = "dimse_mesh.hooks.worker"


@dataclass(frozen=True, slots=True)
class HookResult:
    """What became of an object.

    Attributes:
        header, trailer: its data set, encoded as it was: before and behind pixel data.
    """

    sop_class: str
    sop_instance: str
    header: bytes
    trailer: bytes


class HookRunner:
    """One process, for one object after the other."""

    def __init__(self, settings: HooksSettings) -> None:
        self._settings = settings
        self._process = IsolatedProcess(MODULE, memory=settings.memory, deadline=settings.deadline)

    async def run(
        self, hooks: Sequence[Hook], transfer_syntax: str, header: bytes, trailer: bytes = b""
    ) -> HookResult:
        """Apply hooks to a data set.

        Args:
            header, trailer: the data set, without pixel data or (all in the header) with it.

        Raises:
            HookFailed: a hook failed, took too long or too much memory, or can't be loaded.
        """
        head = {"hooks": encoded(hooks), "transfer_syntax": transfer_syntax}
        answer, parts = await self._call(head, [header, trailer], says=("sop_class", "sop_instance"), gives=2)
        return HookResult(answer["sop_class"], answer["sop_instance"], *parts)

    async def check(self, hooks: Sequence[Hook]) -> None:
        """Load hooks without applying them.

        Raises:
            HookFailed: an attribute is in no dictionary, a key file can't be used, an entry point isn't there, ...
        """
        await self._call({"hooks": encoded(hooks)}, [])

    async def close(self) -> None:
        """End the process."""
        await self._process.close()

    async def _call(
        self, head: dict[str, str], parts: list[bytes], *, says: tuple[str, ...] = (), gives: int = 0
    ) -> tuple[dict[str, str], list[bytes]]:
        try:
            answer, found = await self._process.call(head, parts, says=says, gives=gives)
        except ProcessTooSlow:
            raise HookFailed(f"its hooks took longer than {self._settings.deadline:g} s") from None
        except ProcessDied as error:
            raise HookFailed(f"the process of its hooks failed: {error}") from error
        if "failed" in answer:
            raise HookFailed(answer["failed"])
        return answer, found


def encoded(hooks: Sequence[Hook]) -> str:
    """Return hooks as the process is told them."""
    return json.dumps([hook.model_dump(mode="json", by_alias=True, exclude_unset=True) for hook in hooks])
