"""Performs conversations: directly between client and target, and through the mesh; many at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.interop.differential.conversation import Conversation
from tests.interop.differential.differences import comparable, differ
from tests.interop.differential.end import End
from tests.interop.differential.generate import generate
from tests.interop.differential.transcript import Item, Kind, side_by_side
from tests.support.conversation import Side
from tests.support.mesh import Ae

DEADLINE = 60.0
"""Seconds that a conversation may take on a busy machine."""

Transcripts = dict[Side, Sequence[Item]]


@dataclass(frozen=True, slots=True)
class Difference:
    """A conversation that didn't go through the mesh as it went directly."""

    conversation: Conversation
    direct: Transcripts
    mesh: Transcripts

    def __str__(self) -> str:
        parts = [f"seed {self.conversation.seed}:"]
        for side in Side:
            columns = [comparable(way[side], self.conversation) for way in (self.direct, self.mesh)]
            parts.append(side_by_side(f"  what the {side} saw", *columns))
        parts.append("  what was to be done")
        parts += [
            f"    {step.side} {step.do} {step.note} ({len(step.data)} bytes) after {step.after}"
            + (f", arrived {step.arrived}" if step.arrived else "")
            for step in self.conversation.steps
        ]
        return "\n".join(parts)


class Lane:
    """An AE title, its listener, and one conversation after the other with it.

    Args:
        entry: the port through which the mesh takes clients for it.
        deadline: seconds for one conversation, one way.
    """

    def __init__(self, ae: Ae, entry: int, *, deadline: float = DEADLINE) -> None:
        self.ae = ae
        self._entry = entry
        self._deadline = deadline
        self._target: End | None = None
        self._strangers: list[End] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen as the AE."""
        server = await asyncio.get_running_loop().create_server(self._accept, "127.0.0.1", self.ae.port)
        try:
            yield
        finally:
            server.close()
            await server.wait_closed()

    def _accept(self) -> End:
        target = self._target
        if target is None or target.connected:
            target = End(0)
            self._strangers.append(target)
        return target

    async def perform(self, conversation: Conversation, port: int) -> Transcripts:
        """Perform a conversation with a client that connects to `port`, and return what both sides saw."""
        client, target = (End(conversation.max_length[side]) for side in Side)
        self._target = target
        tasks: list[asyncio.Task[None]] = []
        try:
            async with asyncio.timeout(self._deadline):
                tasks.append(asyncio.create_task(target.play(conversation.of(Side.TARGET), client)))
                await asyncio.get_running_loop().create_connection(lambda: client, "127.0.0.1", port)
                await client.play(conversation.of(Side.CLIENT), target)
                if target.connected:
                    await tasks[0]
        except TimeoutError:
            for end in (client, target):
                end.items.append(Item(Kind.FAULT, "time", f"not over after {self._deadline:g} s"))
        finally:
            self._target = None
            for task in tasks:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            for end in (client, target, *self._strangers):
                await end.gone()
        if self._strangers:
            target.items.append(Item(Kind.FAULT, "another", f"{len(self._strangers)} more connections"))
            self._strangers.clear()
        return {Side.CLIENT: client.items, Side.TARGET: target.items}

    async def compare(self, conversation: Conversation) -> Difference | None:
        """Perform a conversation both ways and return the difference, if there is one."""
        direct = await self.perform(conversation, self.ae.port)
        mesh = await self.perform(conversation, self._entry)
        if any(differ(side, direct[side], mesh[side], conversation) for side in Side):
            return Difference(conversation, direct, mesh)
        return None


async def compare_all(
    lanes: Sequence[Lane],
    seeds: Iterable[int],
    *,
    enough: int = 5,
    told: Callable[[Difference], None] = lambda _: None,
) -> list[Difference]:
    """Compare the conversations with these seeds, one at a time in each lane; stop after `enough` differences."""
    found: list[Difference] = []
    shares: list[list[int]] = [[] for _ in lanes]
    for seed in seeds:
        shares[seed % len(lanes)].append(seed)

    async def run(lane: Lane, share: list[int]) -> None:
        async with lane.listening():
            for seed in share:
                if len(found) >= enough:
                    return
                difference = await lane.compare(generate(seed, lane.ae.title))
                if difference is not None:
                    found.append(difference)
                    told(difference)

    await asyncio.gather(*(run(lane, share) for lane, share in zip(lanes, shares, strict=True)))
    return found
