"""Any order of what clients, targets and participants of the bus may do to a running mesh: honest ones never notice.

Hypothesis chooses the steps; what fails is made as short as it can be.
"""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    rule,
    run_state_machine_as_test,
)

from dimse_mesh.nats_server.permissions import meeting, permissions_of
from dimse_mesh.schemas.addresses import Role
from tests.fuzz.bus import NOT_THE_MESH, ROOT, STOLEN, Ground, ground
from tests.fuzz.hostile_messages import Overheard, hostile_messages, overheard
from tests.fuzz.hostile_peers import CONTEXTS, conversation, messages
from tests.fuzz.mutation import mutated
from tests.fuzz.raw_user import RawUser
from tests.support.process import wait_until
from tests.support.scripted import Aborted, Client, Closed, Rejected, Server, ServerPeer
from tests.support.scripted.server import success
from tests.support.tap import Tap
from tests.support.wire import store_rq

ENDED = (Aborted, Closed, Rejected, OSError)
"""How the association of somebody ends who hasn't kept to the rules, or whose peer hasn't."""
SEEDS = st.integers(0, 1 << 32)


@dataclass(slots=True)
class Scene:
    """A running mesh, an honest association that stays, and the other ends of hostile ones."""

    where: Ground
    known: Overheard
    honest: Client
    targets: list[ServerPeer] = field(default_factory=list)

    def script(self, peer: ServerPeer) -> None:
        """Serve a hostile client's association, which rules may damage meanwhile."""
        self.targets.append(peer)
        with contextlib.suppress(*ENDED, AssertionError, ValueError, KeyError, RuntimeError, IndexError):
            peer.accept_association()
            peer.serve(success)

    def is_served(self) -> None:
        """Check that the honest association stands, and that another one can be opened."""
        assert self.honest.echo() == 0
        self.honest.received.clear()
        with Client.open(self.where.entry, called="ARCHIVE", calling="HONEST", timeout=60) as another:
            assert another.echo() == 0
            another.release()
        assert all(one.child.returncode is None for one in self.where.fleet.instances), "a process has ended"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with ground(tmp_path_factory.mktemp("stateful")) as where, contextlib.ExitStack() as stack:
        stack.enter_context(Server(port=where.targets["ARCHIVE"].port, timeout=120))
        with Tap(where.nats.port) as tap:
            honest = Client.open(
                where.entry, called="ARCHIVE", calling="HONEST", contexts=CONTEXTS, timeout=60
            )
            assert honest.echo() == 0
            assert honest.exchange(store_rq(3, "1.2.3", bytes(90_000), context_id=3)).status == 0
            wait_until(lambda: len(overheard(tap.messages, ROOT).channels) >= 2, "both halves are heard")
            known = overheard(tap.messages, ROOT)
        made = Scene(where, known, honest)
        sink = Server(made.script, port=where.targets["SINK"].port, timeout=30)
        try:
            yield made
            made.is_served()
            honest.release()
        finally:
            honest.close()
            sink.stop(check=False)


def test_honest_associations_stand_whatever_others_do_in_whatever_order(scene: Scene) -> None:
    class Others(RuleBasedStateMachine):
        """Everybody but the honest ones."""

        clients = Bundle("clients")

        @initialize()
        def begin(self) -> None:
            self.opened: list[Client] = []
            scene.targets.clear()

        @rule(target=clients)
        def associate(self) -> Client:
            client = Client.open(
                scene.where.entry, called="SINK", calling="EVIL", contexts=CONTEXTS, timeout=60
            )
            self.opened.append(client)
            return client

        @rule(seed=SEEDS)
        def converse(self, seed: int) -> None:
            line = socket.create_connection(("127.0.0.1", scene.where.entry), 10)
            with line, contextlib.suppress(OSError):
                line.sendall(b"".join(conversation(random.Random(seed))))

        @rule(client=clients, seed=SEEDS, damaged=st.booleans())
        def send(self, client: Client, seed: int, damaged: bool) -> None:
            rng = random.Random(seed)
            parts = messages(rng)
            with contextlib.suppress(*ENDED):
                client.send(mutated(parts, rng) if damaged else b"".join(parts))

        @rule(client=clients)
        def store(self, client: Client) -> None:
            with contextlib.suppress(*ENDED, AssertionError, KeyError):
                client.sock.settimeout(0.2)
                client.exchange(store_rq(9, "1.2.9", bytes(3000), context_id=3))

        @rule(client=consumes(clients), how=st.sampled_from(["close", "release", "end"]))
        def leave(self, client: Client, how: str) -> None:
            with contextlib.suppress(*ENDED, AssertionError):
                client.sock.settimeout(0.2)
                if how == "release":
                    client.release()
                elif how == "end":
                    client.sock.shutdown(socket.SHUT_WR)
            client.close()

        @rule(seed=SEEDS, damaged=st.booleans(), close=st.booleans())
        def target_acts(self, seed: int, damaged: bool, close: bool) -> None:
            rng = random.Random(seed)
            for peer in scene.targets[-2:]:
                with contextlib.suppress(*ENDED):
                    parts = messages(rng)
                    peer.send(mutated(parts, rng) if damaged else b"".join(parts))
                    if close:
                        peer.close()

        @rule(user=st.sampled_from(STOLEN), seed=SEEDS, count=st.integers(1, 20))
        def publish(self, user: tuple[str, Role], seed: int, count: int) -> None:
            zone, role = user
            facts = next(one for one in meeting(scene.where.bus.zones) if one.zone == zone)
            permitted = permissions_of(facts, role).publish
            made = hostile_messages(
                [one for one in permitted if not one.startswith(NOT_THE_MESH)],
                scene.known,
                random.Random(seed),
                inbox=f"{ROOT}.i.{zone}.{role}.evil.inbox.x",
            )
            with RawUser(scene.where.nats.port, scene.where.bus.keys.file(zone, role.value)) as raw:
                raw.publish(message for message, _ in zip(made, range(count), strict=False))

        def teardown(self) -> None:
            for client in self.opened:
                client.close()
            scene.is_served()

    run_state_machine_as_test(
        Others,
        settings=settings(
            max_examples=8,
            stateful_step_count=20,
            suppress_health_check=list(HealthCheck),
        ),
    )
    said = "".join(one.child.log.read_text(errors="replace") for one in scene.where.fleet.instances)
    assert " raised " not in said
    assert "Exception in callback" not in said
