"""Who is missed at a roll call: what is lost, and nothing that was delivered, waits, or was taken out."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from dimse_mesh.delivery import roll_call
from dimse_mesh.delivery.delivery_events import DeliveryEvents
from dimse_mesh.delivery.roll_call import RollCall
from dimse_mesh.delivery.settled import MOST_SETTLED, SettledObjects
from dimse_mesh.mesh import JetStream, JetStreamRefusal, MeshTimeout, pack, unpack
from dimse_mesh.mesh.jetstream_replies import StoredMessage
from dimse_mesh.schemas.acknowledged import AcknowledgedObjects, ObjectName
from dimse_mesh.schemas.spool import DeadLetter
from dimse_mesh.schemas.spool_subjects import DestinationKind, SpoolSubjects
from dimse_mesh.spool import name_of
from tests.support.spooled import manifest
from tests.unit.endpoint.virtual_time import run

SPOOL = SpoolSubjects("R", "z", DestinationKind.AE, "ARCHIVE")
INTERVAL = 2.0


def named(sequence: int, *, receipt: bool = True, object_id: str | None = None) -> ObjectName:
    """Return the name of the object that has a sequence number."""
    made = manifest(command_length=6).model_copy(
        update={
            "object_id": object_id or f"{sequence:032x}",
            "sop_instance": f"1.{sequence}",
            "receipt": receipt,
        }
    )
    return name_of(made, sequence)


class Spool:
    """A stream with objects and names, as JetStream shows it, and the receipts beside it."""

    def __init__(
        self, *names: ObjectName, objects: tuple[int, ...] = (), last: int = 1, receipts_kept: float = 1e12
    ) -> None:
        self.objects = {sequence: f"{sequence:032x}" for sequence in objects}
        self.names = {1000: pack(AcknowledgedObjects(names=names, written=1.0, receipts_kept=receipts_kept))}
        self.last_sequence = last
        self.receipts: dict[str, str] = {}
        self.letters: list[DeadLetter] = []
        self.asked = 0
        """How often an object was asked for."""
        self.read_names = 0

    @property
    def deadline(self) -> float:
        return 10.0

    def was_away_since(self, _: float) -> bool:
        return False

    async def request(self, verb: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        await anyio.sleep(0.001)
        if body is None:
            return {"state": {"last_seq": self.last_sequence}}
        sequence = body["seq"]
        if "DELETE" in verb:
            del self.names[sequence]
            return {}
        if sequence not in self.objects:
            raise JetStreamRefusal("no message found", number=10037)
        headers = f"NATS/1.0\r\nNats-Msg-Id: {self.objects[sequence]}\r\n\r\n"
        subject = SPOOL.object(calling_ae="CT1", study="0" * 16)
        hidden = base64.b64encode(headers.encode()).decode()
        return {"message": {"seq": sequence, "subject": subject, "hdrs": hidden}}

    async def read(self, _: str, subject: str, *, first: int = 1, count: int, max_bytes: int) -> Any:
        assert count
        assert max_bytes
        await anyio.sleep(0.001)
        if subject in {SPOOL.acknowledged("*"), ">"}:
            self.read_names += 1
            its = SPOOL.acknowledged("w")
            found = [StoredMessage(n, its, m) for n, m in sorted(self.names.items()) if n >= first]
        else:
            self.asked += 1
            found = [StoredMessage(n, "", b"", i) for n, i in sorted(self.objects.items()) if n >= first]
        return SimpleNamespace(messages=found[:1])

    async def last(self, _: str, subject: str) -> StoredMessage | None:
        await anyio.sleep(0.001)
        found = self.receipts.get(subject)
        return None if found is None else StoredMessage(1, subject, b"", found)

    async def publish(self, subject: str, payload: bytes, tail: bytes = b"", *, message_id: str) -> int:
        await anyio.sleep(0.001)
        if ".failed." in subject:
            assert not tail
            self.letters.append(unpack(DeadLetter, payload)[0])
        else:
            self.receipts[subject] = message_id
        return 1


class Queue:
    """All of it has had its turn, unless it is said otherwise."""

    def __init__(self, *, waits: tuple[int, ...] = ()) -> None:
        self.waits = set(waits)

    def has_passed(self, name: ObjectName) -> bool:
        return name.sequence not in self.waits

    def has_reached(self, sequence: int) -> bool:
        assert sequence
        return not self.waits


async def _nobody(*_: object) -> None:
    pass


def call(
    spool: Spool, queue: Queue | None = None, settled: SettledObjects | None = None, *, seconds: float = 30
) -> list[str]:
    """Call the roll for a while; return the UIDs of what was missed."""
    events = cast(DeliveryEvents, SimpleNamespace(failed=_nobody))
    lost: list[None] = []

    async def main() -> None:
        one = RollCall(
            cast(JetStream, spool),
            SPOOL,
            queue or Queue(),
            settled or SettledObjects(),
            events=events,
            lost=lambda: lost.append(None),
            interval=INTERVAL,
            overlap=0.0,
        )
        one.stored()
        with anyio.move_on_after(seconds):
            await one.run()

    run(main())
    assert len(lost) == len(spool.letters)
    return [letter.manifest.sop_instance for letter in spool.letters]


def done(sequence: int, fate: str = "delivered") -> dict[str, str]:
    """Return a receipt."""
    return {SPOOL.receipt(f"1.{sequence}"): f"{sequence:032x}.{fate}.{sequence}"}


def test_what_is_gone_is_missed_once_and_what_is_settled_isnt() -> None:
    settled = SettledObjects()
    settled.note(10, named(10).object_id)
    spool = Spool(named(10), named(11), named(12), objects=(12,))
    assert call(spool, settled=settled) == ["1.11"]
    assert list(spool.names) == [1000], "one object stands there still"
    assert spool.letters[0].cause == "damaged"


def test_nothing_is_asked_for_before_its_turn_and_names_go_when_all_is_settled() -> None:
    settled = SettledObjects()
    spool = Spool(named(10), named(11))
    assert call(spool, Queue(waits=(10, 11))) == []
    assert spool.asked == 0
    for sequence in (10, 11):
        settled.note(sequence, named(sequence).object_id)
    assert call(spool, settled=settled) == []
    assert spool.asked == 0
    assert spool.names == {}


def test_what_a_former_process_has_settled_has_a_receipt() -> None:
    spool = Spool(named(10), named(11), named(12), last=50)
    spool.receipts = done(10) | done(11, "dropped")
    assert call(spool) == ["1.12"]
    assert spool.names == {}


def test_a_later_object_of_the_same_uid_tells_as_well_and_an_earlier_one_doesnt() -> None:
    spool = Spool(named(10), named(20), last=50)
    spool.receipts = {SPOOL.receipt("1.10"): "f.delivered.15", SPOOL.receipt("1.20"): "f.delivered.15"}
    assert call(spool) == ["1.20"]


def test_without_receipts_only_what_nobody_else_can_have_settled_is_missed() -> None:
    spool = Spool(named(10, receipt=False), named(60, receipt=False), last=50)
    assert call(spool) == ["1.60"]


def test_without_receipts_what_was_seen_and_goes_is_missed() -> None:
    spool = Spool(named(10, receipt=False), last=50, objects=(10,))
    asked_before: list[int] = []

    class Losing(Queue):
        def has_passed(self, name: ObjectName) -> bool:
            if spool.asked:
                asked_before.append(spool.asked)
                spool.objects.clear()
            return super().has_passed(name)

    assert call(spool, Losing(), seconds=2 * roll_call.STANDS) == ["1.10"]


def test_in_a_stream_made_anew_another_object_has_the_number() -> None:
    spool = Spool(named(10, object_id="f" * 32), objects=(10,))
    assert call(spool) == ["1.10"]
    settled = SettledObjects()
    settled.note(10, "e" * 32)
    assert not settled.has(10, "f" * 32)


def test_one_replica_that_is_behind_makes_nobody_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(named(10), objects=(10,))
    read = spool.read

    async def behind(stream: str, subject: str, **more: Any) -> Any:
        found = await read(stream, subject, **more)
        return (
            found if subject == SPOOL.acknowledged("*") or spool.asked > 1 else SimpleNamespace(messages=[])
        )

    monkeypatch.setattr(spool, "read", behind)
    assert call(spool) == []
    assert spool.asked == 1


def test_an_object_that_stands_is_not_read_over_and_over() -> None:
    spool = Spool(named(10), objects=(10,))
    assert call(spool, seconds=10 * roll_call.STANDS) == []
    assert spool.asked <= 11


def test_names_that_nobody_waits_for_are_looked_for_seldom() -> None:
    spool = Spool()
    spool.names = {}
    assert call(spool, seconds=10 * roll_call.ANEW) == []
    assert spool.read_names <= 20


def test_names_that_come_back_are_looked_for_while_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(named(10), objects=(10,))
    spool.receipts = done(8) | done(9)
    came_back = pack(AcknowledgedObjects(names=(named(8), named(9)), written=1.0, receipts_kept=1e12))
    read = spool.read

    async def bring_back(stream: str, subject: str, **more: Any) -> Any:
        found = await read(stream, subject, **more)
        if spool.read_names == 2:
            spool.names[500] = came_back
        return found

    monkeypatch.setattr(spool, "read", bring_back)
    assert call(spool, seconds=3 * roll_call.ANEW_BESIDE_OTHERS) == []
    assert list(spool.names) == [1000], "what came back is gone, what waits isn't"


def test_a_name_of_which_nothing_can_be_seen_holds_up_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(named(10), named(11))
    last = spool.last

    async def refused(stream: str, subject: str) -> StoredMessage | None:
        if subject == SPOOL.receipt("1.10"):
            raise MeshTimeout("nothing is heard")
        return await last(stream, subject)

    monkeypatch.setattr(spool, "last", refused)
    assert call(spool) == ["1.11"]


def test_names_that_cannot_be_removed_hold_up_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(named(8), named(10))
    spool.names[500] = pack(AcknowledgedObjects(names=(named(9),), written=1.0, receipts_kept=1e12))
    spool.names[1001] = pack(AcknowledgedObjects(names=(named(11),), written=1.0, receipts_kept=1e12))
    spool.receipts = done(9) | done(11)
    request, last = spool.request, spool.last

    async def frozen(verb: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        if "DELETE" in verb and body == {"seq": 500, "no_erase": True}:
            raise JetStreamRefusal("input/output error", number=10057)
        return await request(verb, body)

    async def refused(stream: str, subject: str) -> StoredMessage | None:
        if subject in {SPOOL.receipt("1.8"), SPOOL.receipt("1.10")}:
            raise MeshTimeout("nothing is heard")
        return await last(stream, subject)

    monkeypatch.setattr(spool, "request", frozen)
    monkeypatch.setattr(spool, "last", refused)
    assert call(spool) == []
    assert list(spool.names) == [1000, 500]


def test_settled_objects_are_remembered_within_bounds() -> None:
    settled = SettledObjects()
    for sequence in range(MOST_SETTLED + 5):
        settled.note(sequence, f"{sequence:032x}")
    assert settled.forgotten == 4
    assert not settled.has(4, f"{4:032x}")
    assert settled.has(5, f"{5:032x}")


def test_a_receipt_that_would_be_gone_by_now_makes_nobody_missed() -> None:
    spool = Spool(named(10), named(60), last=50, receipts_kept=600.0)
    assert call(spool) == ["1.60"]
