"""Which notice an association of a target belongs to, and what becomes of its command sets."""

from __future__ import annotations

import anyio

from dimse_mesh.association.callbacks import LIFETIME, MAX_NOTICES, Callback, Callbacks
from dimse_mesh.dimse import CommandSet, Tag, parse_head, store_request
from dimse_mesh.runtime.settings_scu import RemoteAe
from dimse_mesh.schemas.callbacks import CallbackNotice
from tests.support.clock import Clock


def notice(calling: str = "CT1", *, destination: str | None = None, message_id: int = 1) -> CallbackNotice:
    return CallbackNotice(
        target_title="REALPACS",
        client_title="MESH",
        called_ae="PACS",
        calling_ae=calling,
        message_id=message_id,
        destination=destination,
    )


def of(callbacks: Callbacks, called: str, calling: str = "REALPACS") -> Callback | None:
    async def run() -> Callback | None:
        return await callbacks.of(called=called, calling=calling)

    return anyio.run(run)


def originator(callback: Callback | None, title: str, message_id: int) -> str | None:
    assert callback is not None
    assert callback.translate is not None
    request = store_request(1, sop_class="1.2", sop_instance="1.3").replace(
        {Tag.MoveOriginatorApplicationEntityTitle: title, Tag.MoveOriginatorMessageID: message_id}
    )
    command = request.encode()
    return CommandSet.parse(callback.translate(parse_head(command), command)).move_originator_ae


def test_each_operation_has_its_own_originator() -> None:
    callbacks = Callbacks()
    callbacks.note(notice("CT1", destination="WS1", message_id=1))
    callbacks.note(notice("CT2", destination="WS1", message_id=2))
    found = of(callbacks, "WS1")
    assert originator(found, "MESH", 1) == "CT1"
    assert originator(found, "MESH", 2) == "CT2"
    assert originator(found, "MESH", 3) == "MESH"
    assert originator(found, "OTHER", 1) == "OTHER"


def test_message_id_that_is_used_again_belongs_to_the_latest_operation() -> None:
    callbacks = Callbacks()
    for calling in ("CT1", "CT2", "CT1"):
        callbacks.note(notice(calling, destination="WS1"))
    assert originator(of(callbacks, "WS1"), "MESH", 1) == "CT1"


def test_operation_that_begins_while_the_association_stands_is_known() -> None:
    callbacks = Callbacks()
    callbacks.note(notice("CT1", destination="WS1"))
    found = of(callbacks, "WS1")
    callbacks.note(notice("CT2", destination="WS1"))
    callbacks.note(notice("CT3", destination="WS1", message_id=2))
    assert originator(found, "MESH", 1) == "CT2"
    assert originator(found, "MESH", 2) == "CT3"


def test_reports_go_to_the_clients_in_turn() -> None:
    callbacks = Callbacks()
    callbacks.note(notice("CT1"))
    callbacks.note(notice("CT2"))
    found = [of(callbacks, "MESH") for _ in range(4)]
    assert [one.called_ae for one in found if one is not None] == ["CT1", "CT2", "CT1", "CT2"]


def test_what_nobody_has_asked_for_is_not_translated() -> None:
    callbacks = Callbacks()
    callbacks.note(notice(destination="WS1"))
    assert of(callbacks, "WS2") is None
    assert of(callbacks, "MESH") is None
    assert of(callbacks, "WS1", "OTHER") is None


def test_notices_expire_and_are_bounded() -> None:
    clock = Clock()
    callbacks = Callbacks(clock=clock)
    callbacks.note(notice(destination="WS1"))
    clock.now = LIFETIME + 1
    assert of(callbacks, "WS1") is None
    for number in range(MAX_NOTICES + 1):
        callbacks.note(notice(destination=f"D{number}"))
    assert of(callbacks, "D0") is None
    assert of(callbacks, "D1") is not None


def test_notice_that_its_association_has_overtaken_is_waited_for() -> None:
    remote = RemoteAe(ae_title="PACS", host="h", port=104, called_ae="REALPACS")

    async def run() -> Callback | None:
        callbacks = Callbacks([remote])
        found: list[Callback | None] = []

        async def arrives() -> None:
            found.append(await callbacks.of(called="WS1", calling="REALPACS"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(arrives)
            await anyio.lowlevel.checkpoint()
            callbacks.note(notice(destination="WS1"))
        return found[0]

    assert anyio.run(run) is not None
