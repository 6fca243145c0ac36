"""Published weaknesses of other DICOM software, tried on a mesh whose limits are at their defaults.

Each has brought a process down, or filled its memory, or left a peer hanging there. Here it ends one connection at
most, an honest client is served at once, and memory stays where it was. docs/security.md lists them all.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
import trustme

from tests.support.certificates import write_pair
from tests.support.mesh import Ae, Mesh, zone_config
from tests.support.ports import reserve_port
from tests.support.process import anonymous_bytes, reset_peak, resident_bytes
from tests.support.scripted import Aborted, Client, Closed, Rejected, Server
from tests.support.wire import (
    CT_STORAGE,
    STUDY_ROOT_FIND,
    VERIFICATION,
    Command,
    Context,
    Message,
    Pdu,
    PduType,
    Tag,
    associate_ac,
    associate_rq,
    p_data,
    parse_associate,
    pdu,
    request,
)

MIB = 1024 * 1024
CONTEXTS = [Context(1, VERIFICATION), Context(3, STUDY_ROOT_FIND), Context(5, CT_STORAGE)]
UNEXPECTED_PDU = (2, 2)
PATIENCE = 10.0


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A hospital with a plain listener and one with TLS, and an archive in the cloud."""
    directory = tmp_path_factory.mktemp("findings")
    issued = trustme.CA().issue_cert("localhost")
    cert, key = directory / "tls.crt", directory / "tls.key"
    write_pair(issued, cert, key)
    archive = Ae("ARCHIVE", reserve_port(), "cloud")
    plain, secure = reserve_port(), reserve_port()
    listeners = [
        {"host": "127.0.0.1", "port": plain},
        {"host": "127.0.0.1", "port": secure, "tls": {"cert": str(cert), "key": str(key)}},
    ]
    hospital = zone_config("hospital", listener=plain, more={"association": {"listeners": listeners}})
    with Mesh.start(directory, [hospital, zone_config("cloud", remote_aes=[archive])]) as mesh:
        mesh.aes = {"ARCHIVE": archive}
        mesh.listeners["tls"] = secure
        yield mesh


@pytest.fixture
def archive(mesh: Mesh) -> Iterator[Server]:
    with Server(port=mesh.aes["ARCHIVE"].port) as server:
        yield server


@pytest.fixture
def front_end(mesh: Mesh, archive: Server) -> Iterator[int]:  # noqa: ARG001 - it answers
    """The process that takes the connections: it serves before and after, and is the same."""
    pid = mesh.pids()["hospital/association"]
    is_served(mesh)
    yield pid
    is_served(mesh)
    assert mesh.pids()["hospital/association"] == pid


def opened(mesh: Mesh) -> Client:
    return Client.open(mesh.listeners["hospital"], called="ARCHIVE", calling="STRANGER", contexts=CONTEXTS)


def is_served(mesh: Mesh) -> None:
    with opened(mesh) as client:
        assert client.echo() == 0
        client.release()


def ends(port: int, said: bytes) -> float:
    """Connect and say something; return the seconds until the other side closes."""
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection, suppress(OSError):
        connection.sendall(said)
        while connection.recv(65536):
            connection.shutdown(socket.SHUT_WR)
    return time.monotonic() - begun


HTTP = b"GET / HTTP/1.1\r\nHost: pacs.example.org\r\nUser-Agent: scanner\r\n\r\n"


def test_fo_dicom_1678_a_web_browser_costs_no_memory(mesh: Mesh, front_end: int) -> None:
    """Its first bytes read as a PDU of 1.6 GB."""
    reset_peak(front_end)
    before = resident_bytes(front_end)
    for _ in range(200):
        assert ends(mesh.listeners["hospital"], HTTP) < PATIENCE
    assert resident_bytes(front_end, peak=True) - before < 8 * MIB


@pytest.mark.parametrize("kind", [PduType.ASSOCIATE_RQ, PduType.P_DATA_TF])
def test_the_length_of_a_pdu_takes_no_memory(mesh: Mesh, front_end: int, kind: PduType) -> None:
    """io-dicom pull request 5: memory for 4 GB was taken for what six bytes announce."""
    reset_peak(front_end)
    before = resident_bytes(front_end)
    for _ in range(20):
        assert ends(mesh.listeners["hospital"], bytes((kind, 0, 0xFF, 0xFF, 0xFF, 0xFF))) < PATIENCE
    assert resident_bytes(front_end, peak=True) - before < 8 * MIB


@pytest.mark.usefixtures("front_end")
def test_fo_dicom_1991_plain_dicom_on_a_port_with_tls_is_told_at_once(mesh: Mesh) -> None:
    """Not left waiting for an answer that never comes."""
    assert ends(mesh.listeners["tls"], associate_rq(called="ARCHIVE", contexts=CONTEXTS)) < PATIENCE


@pytest.mark.parametrize("with_answer", [False, True])
@pytest.mark.usefixtures("front_end")
def test_io_dicom_38_an_association_is_negotiated_once(
    mesh: Mesh, archive: Server, *, with_answer: bool
) -> None:
    """An A-ASSOCIATE-RQ or -AC where a data set was announced was taken for one, and a missing one was read."""
    asked = associate_rq(called="ARCHIVE", contexts=CONTEXTS)
    again = asked
    if with_answer:
        again = associate_ac(parse_associate(Pdu(asked[0], asked[6:])), max_length=16384)
    find = request(
        Command.C_FIND, 1, STUDY_ROOT_FIND, context_id=3, more={Tag.PRIORITY: 0, Tag.DATA_SET_TYPE: 1}
    )
    with opened(mesh) as client:
        client.send(p_data(find) + again)
        with pytest.raises(Aborted) as ended:
            client.receive_message()
    assert (ended.value.source, ended.value.reason) == UNEXPECTED_PDU
    for peer in archive.peers:
        assert all(message.data is not None or message.field != Command.C_FIND for message in peer.received)


def test_dcmtk_2026_50254_and_35505_and_2021_41687_requests_leave_no_memory_behind(
    mesh: Mesh, front_end: int
) -> None:
    """Refused, malformed, unfinished and granted requests, hundreds of them, after hundreds that fill the caches."""
    refused = associate_rq(called="NOBODY", contexts=CONTEXTS)
    malformed = pdu(PduType.ASSOCIATE_RQ, refused[6:80] + b"\x20\0\xff\xff" + bytes(200))

    def ask() -> None:
        for number in range(120):
            port = mesh.listeners["hospital"]
            assert ends(port, malformed) < PATIENCE
            with Client.connect(port) as client:
                client.send(refused[: 7 + number % 60])
            with suppress(Rejected), Client.connect(port) as client:
                client.associate(refused)
            with opened(mesh) as client:
                client.release()

    ask()
    before = anonymous_bytes(front_end)
    ask()
    ask()
    assert anonymous_bytes(front_end) - before < 3 * MIB


@pytest.mark.usefixtures("front_end")
def test_dcmtk_2026_44628_and_2022_2121_what_is_no_data_set_passes_as_it_came(
    mesh: Mesh, archive: Server
) -> None:
    """Nothing on the way reads an identifier: its elements are the target's affair, and bring nobody down."""
    odd = b"\x08\x00\x05\x00SQ\0\0\xff\xff\xff\xff\xfe\xff\x0d\xe0" + bytes(range(256))
    find = request(Command.C_FIND, 1, STUDY_ROOT_FIND, context_id=3, data=odd, more={Tag.PRIORITY: 0})
    with opened(mesh) as client:
        client.exchange(find)
        client.release()
    assert odd in [message.data for peer in archive.peers for message in peer.received]


@pytest.mark.parametrize(
    "called", ["../ARCHIVE", "A/../ARCHIVE", "ARCHIVE\\..", "/etc/passwd", "$(id)", ";id|"]
)
@pytest.mark.usefixtures("front_end")
def test_dcmtk_2026_52868_and_5663_an_ae_title_is_no_path_and_no_command(mesh: Mesh, called: str) -> None:
    """It names an AE that nobody serves."""
    with pytest.raises((Rejected, Aborted, Closed)), Client.connect(mesh.listeners["hospital"]) as client:
        client.associate(associate_rq(called=called, contexts=CONTEXTS))


@pytest.mark.usefixtures("front_end")
def test_dcmtk_2022_2119_and_pynetdicom_2026_56445_a_uid_is_no_path(mesh: Mesh, archive: Server) -> None:
    """What a live route carries is written nowhere on the way; the UID reaches the target as it came."""
    uid = "../../../../tmp/dimse-mesh-escape"
    store = request(
        Command.C_STORE,
        1,
        CT_STORAGE,
        context_id=5,
        data=b"\x08\0\x18\0UI\2\0001\0",
        more={Tag.PRIORITY: 0, Tag.AFFECTED_SOP_INSTANCE: uid},
    )
    with opened(mesh) as client:
        client.exchange(store)
        client.release()
    received: list[Message] = [message for peer in archive.peers for message in peer.received]
    assert uid in [message.text(Tag.AFFECTED_SOP_INSTANCE) for message in received if message.data]
