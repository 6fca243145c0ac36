"""What the key of a front-end, which faces strangers, can't do to what was acknowledged."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from dimse_mesh.mesh import JetStream, Mesh, NatsSettings, NotPermitted, open_mesh
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.spool_subjects import DestinationKind, SpoolSubjects, StateKind
from dimse_mesh.schemas.subjects import Kind
from dimse_mesh.spool import SpoolInspector
from tests.durable.operator import numbers, queue
from tests.durable.site import ARCHIVE, Inbox, Site, site, store
from tests.support.files import synthetic
from tests.support.waiting import Mailbox

SPOOL = SpoolSubjects("DIMSE", "hospital", DestinationKind.AE, ARCHIVE)


@asynccontextmanager
async def joined(
    where: Site, role: Role, *, zone: str = "hospital", instance: str = "evil"
) -> AsyncIterator[Mesh]:
    """Join the bus as a role of a zone."""
    settings: NatsSettings = where.mesh.nats(zone)
    own = InstanceAddress(zone, role, instance)
    async with open_mesh(settings, root="DIMSE", address=own, first_connect_timeout=10) as mesh:
        yield mesh


def stored(where: Site, count: int) -> list[str]:
    """Store some objects that come in pieces; return their SOP instance UIDs."""
    contents = [synthetic(number, 2_000_000) for number in range(1, count + 1)]
    with where.open() as client:
        for number, content in enumerate(contents, 1):
            assert store(client, content, number) == 0
    return [content.sop_instance for content in contents]


def test_a_front_ends_key_makes_changes_empties_and_lists_no_stream(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = f"DIMSE.i.hospital.scu.*.{SPOOL.stream}"  # any subject: JetStream asks for no permission
    evil: dict[str, Any] = {"storage": "file", "retention": "limits", "max_bytes": 1 << 20}
    requests: list[tuple[str, dict[str, Any] | None]] = []
    for stream in (SPOOL.stream, SPOOL.state_stream):
        requests += [
            (f"STREAM.UPDATE.{stream}", {**evil, "name": stream, "subjects": ["DIMSE.>"]}),
            (f"STREAM.DELETE.{stream}", None),
            (f"STREAM.PURGE.{stream}", None),
            (f"STREAM.MSG.DELETE.{stream}", {"seq": 1}),
            (f"STREAM.MSG.GET.{stream}", {"seq": 1}),
            (f"STREAM.INFO.{stream}", {"subjects_filter": ">"}),
            (f"DIRECT.GET.{stream}", {"seq": 1}),
            (f"CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": {"deliver_subject": wanted}}),
        ]
    requests += [
        ("STREAM.CREATE.evil", {**evil, "name": "evil", "subjects": ["DIMSE.i.>"]}),
        ("STREAM.NAMES", None),
        ("STREAM.LIST", None),
    ]

    async def trespass(where: Site) -> None:
        async with joined(where, Role.ASSOCIATION) as mesh:
            with caplog.at_level(logging.ERROR):
                for verb, body in requests:
                    payload = b"" if body is None else json.dumps(body).encode()
                    mesh.publish(f"$JS.API.{verb}", payload)
                await mesh.subscribe(mesh.subjects.mine(Kind.PING), Mailbox())  # behind them
            refused = {record.getMessage() for record in caplog.records}
            for verb, _ in requests:
                assert any(f" publish to $JS.API.{verb}: its user lacks" in line for line in refused), verb
            # What it may: the newest words about its own destinations.
            jetstream = JetStream(mesh, deadline=10)
            await jetstream.start()
            assert await jetstream.last(SPOOL.state_stream, SPOOL.state(StateKind.MADE)) is not None

    with site(tmp_path) as where:
        instances = stored(where, 2)
        anyio.run(trespass, where)
        assert numbers(where)["waiting"] == 2
        inbox = Inbox()
        with where.destination(inbox):
            inbox.wait_for(2)
        assert inbox.instances == instances


def test_a_word_about_a_destination_removes_no_other_word(tmp_path: Path) -> None:
    """A header of NATS (`Nats-Rollup: all`) could empty the stream behind a subject that one may publish to."""

    async def trespass(where: Site) -> None:
        answers = Mailbox()
        async with joined(where, Role.ASSOCIATION) as mesh:
            reply = f"{mesh.subjects.jetstream('evil')}.1"
            await mesh.subscribe(reply, answers)
            for rollup in ("all", "sub"):
                mesh.publish(SPOOL.state(StateKind.KNOWN), b"", reply=reply, headers={"Nats-Rollup": rollup})
            for message in await answers.until(2):
                assert "rollup not permitted" in json.loads(message.payload)["error"]["description"]

    with site(tmp_path) as where:
        queue(where, "pause", ARCHIVE, "--reason", "night")
        anyio.run(trespass, where)
        assert "night" in queue(where, "why", ARCHIVE)


def test_an_acknowledged_object_stays_whatever_the_keeper_is_told(tmp_path: Path) -> None:
    async def trespass(where: Site) -> None:
        async with joined(where, Role.COMMAND) as commands, joined(where, Role.ASSOCIATION) as front_end:
            jetstream = JetStream(commands, deadline=10)
            await jetstream.start()
            inspector = SpoolInspector(jetstream, SPOOL)
            whole = [spooled.manifest.object_id async for spooled in inspector.objects()]
            assert len(whole) == 2
            broken = "f" * 32
            writer = JetStream(front_end, deadline=10)
            await writer.start()
            await writer.publish(SPOOL.chunk(broken), b"a piece", message_id="1")
            assert list((await inspector.orphans()).pieces) == [broken]
            for object_id in (*whole, "none", broken):
                writer.tell(SPOOL.broken(object_id))
            with anyio.fail_after(30):
                # Each look takes a round trip; the others are dealt with before.
                while (await inspector.orphans()).pieces:
                    pass

    with site(tmp_path) as where:
        instances = stored(where, 2)
        anyio.run(trespass, where)
        inbox = Inbox()
        with where.destination(inbox):
            inbox.wait_for(2)
        assert inbox.instances == instances
        assert numbers(where)["failed"] == 0


def test_what_was_stored_is_nobodys_word(tmp_path: Path) -> None:
    """JetStream sends its replies wherever a request says, whatever the one who asks may publish."""

    async def trespass(where: Site) -> None:
        own = SPOOL.state(StateKind.KNOWN)
        async with (
            joined(where, Role.ASSOCIATION) as evil,
            joined(where, Role.STORE, instance="good") as handler,
            joined(where, Role.SCU, zone="cloud", instance="victim") as executor,
        ):
            heard = Mailbox()
            await executor.subscribe(executor.subjects.mine(Kind.OP), heard)
            writer = JetStream(evil, deadline=10)
            await writer.start()
            approved = handler.subjects.to(executor.address, Kind.OP)
            await writer.publish(own, b"forged", message_id="evil")
            evil.publish(f"$JS.API.DIRECT.GET.{SPOOL.state_stream}.{own}", b"", reply=approved)
            stored_last = await writer.last(SPOOL.state_stream, own)  # answered behind it
            assert stored_last is not None
            assert stored_last.payload == b"forged"
            handler.publish(approved, b"genuine")
            assert [message.payload for message in await heard.until(1)] == [b"genuine"]

    with site(tmp_path) as where:
        anyio.run(trespass, where)


def test_what_is_not_permitted_fails_at_once(tmp_path: Path) -> None:
    async def trespass(where: Site) -> None:
        async with joined(where, Role.ASSOCIATION) as mesh:
            jetstream = JetStream(mesh, deadline=600)
            await jetstream.start()
            with anyio.fail_after(60):
                with pytest.raises(NotPermitted, match=r"publish to \$JS\.API\.STREAM\.INFO\."):
                    await jetstream.request(f"STREAM.INFO.{SPOOL.stream}", timeout=600)
                with pytest.raises(NotPermitted, match="DIRECT"):
                    await jetstream.read(SPOOL.stream, SPOOL.object(), count=1, max_bytes=1)
                with pytest.raises(NotPermitted, match="failed"):
                    await jetstream.publish(SPOOL.failed(calling_ae="A", study="b"), b"", message_id="x")

    with site(tmp_path) as where:
        anyio.run(trespass, where)
