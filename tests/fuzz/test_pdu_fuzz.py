"""Rubbish, and well-formed PDUs with damage: nothing but `UpperLayerError` escapes, and memory stays bounded.

Half a second in `make test`; `DIMSE_MESH_FUZZ_SECONDS=600 pytest tests/fuzz` for a long run. A failure
names its seed.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

import pytest

from dimse_mesh.upper_layer import (
    RELEASE_RQ_PDU,
    Abort,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    AsynchronousOperationsWindow,
    Framer,
    PduType,
    PresentationContextRQ,
    RoleSelection,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UnknownItem,
    UpperLayerError,
    UserIdentityAC,
    UserIdentityRQ,
    encode_p_data_header,
    iter_pdvs,
)

SECONDS = float(os.environ.get("DIMSE_MESH_FUZZ_SECONDS", "0.5"))
CAP = 4096

REQUEST = AssociateRQ.build(
    called_ae="PACS",
    calling_ae="MODALITY",
    contexts=[PresentationContextRQ(1, "1.2.840.10008.1.1", ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1"))],
    maximum_length=16384,
    implementation_class_uid="1.2.3",
    implementation_version_name="FUZZ",
    user_items=[
        AsynchronousOperationsWindow(1, 1),
        RoleSelection("1.2", 1, 0),
        SOPClassExtendedNegotiation("1.2", b"\1"),
        SOPClassCommonExtendedNegotiation("1.2", "1.3", ("1.4", "1.5")),
        UserIdentityRQ(2, 1, b"name", b"word"),
        UserIdentityAC(b"ok"),
        UnknownItem(0x77, b"\0\1"),
    ],
)
SEEDS = [
    REQUEST.encode(),
    b"\x02" + REQUEST.encode()[1:],
    AssociateRJ(1, 1, 7).encode(),
    Abort(2, 1).encode(),
    RELEASE_RQ_PDU,
    encode_p_data_header(1, 3, 100) + bytes(100),
]


def read(kind: int, body: memoryview) -> None:
    """Read a PDU as a service would; what was understood must be given back byte for byte."""
    match kind:
        case PduType.ASSOCIATE_RQ:
            assert AssociateRQ.decode(body).encode()[6:] == body
        case PduType.ASSOCIATE_AC:
            assert AssociateAC.decode(body).encode()[6:] == body
        case PduType.ASSOCIATE_RJ:
            AssociateRJ.decode(body).describe()
        case PduType.ABORT:
            Abort.decode(body).describe()
        case PduType.P_DATA_TF:
            assert sum(len(fragment) + 6 for _, _, fragment in iter_pdvs(body)) == len(body)
        case _:
            pass  # nothing is read of an A-RELEASE PDU


def rubbish(rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(200))


def typed_rubbish(rng: random.Random) -> bytes:
    body = rng.randbytes(rng.randrange(200))
    return bytes((rng.randrange(1, 8), 0)) + len(body).to_bytes(4, "big") + body


def damaged(rng: random.Random) -> bytes:
    data = bytearray(rng.choice(SEEDS))
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                data[at] = rng.choice((0, 1, 2, 0x7F, 0xFF, rng.randrange(256)))
            case 1:
                del data[at : at + rng.randrange(1, 9)]
            case 2:
                data[at:at] = rng.randbytes(rng.randrange(1, 9))
            case _:
                data[at:at] = data[at : at + rng.randrange(1, 40)]
        if not data:
            return b""
    if (
        rng.random() < 0.8 and len(data) >= 6
    ):  # mostly with a length that fits, so that the damage inside is reached
        data[2:6] = (len(data) - 6).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize("make", [rubbish, typed_rubbish, damaged])
def test_only_upper_layer_errors_escape(make: Callable[[random.Random], bytes]) -> None:
    start = random.SystemRandom().getrandbits(48)
    until = time.monotonic() + SECONDS / 3
    seed = start
    while time.monotonic() < until:
        seed += 1
        rng = random.Random(seed)
        data = b"".join(make(rng) for _ in range(rng.randrange(1, 4)))
        framer = Framer(max_length=CAP)
        at = 0
        try:
            while at < len(data):
                size = rng.choice((1, 5, 6, 7, 64, 1024))
                for kind, body in framer.feed(data[at : at + size]):
                    try:
                        read(kind, body)
                    except UpperLayerError:
                        continue
                at += size
                assert framer.pending < CAP + 6
        except UpperLayerError:
            continue
        except Exception as error:
            raise AssertionError(f"{make.__name__} with seed {seed}") from error
