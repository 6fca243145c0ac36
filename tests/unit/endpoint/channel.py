"""A carrier between instances that loses, doubles and delays messages, and can be cut.

It stands in for `endpoint.carrier.Carrier`, our own protocol: what NATS itself does is tested with NATS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from dimse_mesh.mesh import Message, Turn
from dimse_mesh.schemas.addresses import InstanceAddress
from dimse_mesh.schemas.subjects import Subjects

Callback = Callable[[Message], object]

ROOT = "T"


@dataclass(frozen=True, slots=True)
class Faults:
    """What the channel does to messages; probabilities from 0 to 1, seconds."""

    loss: float = 0.0
    doubling: float = 0.0
    delay: float = 0.0
    """Longest; each message draws its own, so they overtake each other. 0: in order, in the next turn."""
    refusal: float = 0.0
    """Of `publish_bulk` saying that it takes nothing now."""


CALM = Faults()


@dataclass(eq=False, slots=True)
class _Interest:
    channel: Channel
    subject: str
    callback: Callback
    queue: str

    async def unsubscribe(self) -> None:
        """Take back the interest."""
        if self in self.channel.interests:
            self.channel.interests.remove(self)

    def matches(self, subject: str) -> bool:
        """Compare token by token; `*` matches any."""
        wanted, tokens = self.subject.split("."), subject.split(".")
        return len(wanted) == len(tokens) and all(a in ("*", b) for a, b in zip(wanted, tokens, strict=True))


@dataclass(eq=False)
class Channel:
    """What all instances of a test publish to."""

    random: Random = field(default_factory=lambda: Random(0))
    faults: Faults = CALM
    interests: list[_Interest] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    connected: bool = True
    messages: int = 0
    loses: Callable[[Message], bool] = lambda _: False
    """Says which messages are lost, beside those that `faults` takes."""
    changes: Callable[[Message], Message] = lambda message: message
    """What whoever runs the channel makes of a message."""

    def instance(self, address: InstanceAddress) -> Instance:
        """Connect an instance."""
        instance = Instance(self, address)
        self.instances.append(instance)
        return instance

    def cut(self, *, connected: bool = False) -> None:
        """Take the connection from all instances, or give it back."""
        self.connected = connected
        for instance in self.instances:
            for listener in instance.listeners:
                listener(connected)

    def send(self, message: Message) -> None:
        """Deliver a message, or lose it, or deliver it twice."""
        self.messages += 1
        message = self.changes(message)
        draw = self.random.random
        if draw() < self.faults.loss or self.loses(message):
            return
        loop = asyncio.get_running_loop()
        for _ in range(2 if draw() < self.faults.doubling else 1):
            if self.faults.delay:
                loop.call_later(draw() * self.faults.delay, self._deliver, message)
            else:
                loop.call_soon(self._deliver, message)

    def _deliver(self, message: Message) -> None:
        if not self.connected:
            return
        found = [interest for interest in self.interests if interest.matches(message.subject)]
        groups: dict[str, list[_Interest]] = {}
        for interest in found:
            if interest.queue:
                groups.setdefault(interest.queue, []).append(interest)
            else:
                interest.callback(message)
        for members in groups.values():
            self.random.choice(members).callback(message)
        if not found and message.reply:
            self._deliver(Message(message.reply, "", b"", no_responders=True))


class Instance:
    """The carrier, and the death watcher, of one instance."""

    def __init__(self, channel: Channel, address: InstanceAddress) -> None:
        self._channel = channel
        self.address = address
        self.subjects = Subjects(ROOT, address)
        self.turn = Turn()
        self.listeners: list[Callable[[bool], None]] = []
        self.watched: list[InstanceAddress] = []
        self._on_dead: Callable[[InstanceAddress], None] = lambda _: None
        self._on_room: Callable[[], None] = lambda: None

    @property
    def connected(self) -> bool:
        """As `Carrier`."""
        return self._channel.connected

    def on_change(self, callback: Callable[[bool], None]) -> None:
        """As `Carrier`."""
        self.listeners.append(callback)

    def publish(
        self, subject: str, payload: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> bool:
        """As `Carrier`."""
        if self.connected:
            self._channel.send(Message(subject, reply, payload, headers))
        return self.connected

    def publish_bulk(self, subject: str, *parts: bytes | memoryview) -> bool:
        """As `Carrier`."""
        if self._channel.random.random() < self._channel.faults.refusal:
            asyncio.get_running_loop().call_soon(self._on_room)
            return False
        return self.publish(subject, b"".join(parts))

    def on_bulk_room(self, callback: Callable[[], None]) -> None:
        """As `Carrier`."""
        self._on_room = callback

    async def subscribe(
        self, subject: str, callback: Callback, *, queue: str = "", bulk: bool = False
    ) -> _Interest:
        """As `Carrier`."""
        assert bulk in (True, False)

        def turn(message: Message) -> None:
            with self.turn:
                callback(message)

        interest = _Interest(self._channel, subject, turn, queue)
        self._channel.interests.append(interest)
        return interest

    def on_dead(self, callback: Callable[[InstanceAddress], None]) -> None:
        """As `DeathWatcher`."""
        self._on_dead = callback

    def watch(self, instance: InstanceAddress) -> None:
        """As `DeathWatcher`."""
        self.watched.append(instance)

    def unwatch(self, instance: InstanceAddress) -> None:
        """As `DeathWatcher`."""
        if instance in self.watched:
            self.watched.remove(instance)

    def hear_of_death(self, instance: InstanceAddress) -> None:
        """Let the watcher tell of a death; nothing is left to unwatch after it."""
        self.watched = [watched for watched in self.watched if watched != instance]
        self._on_dead(instance)
