from __future__ import annotations

import pytest

from dimse_mesh.association.admission import (
    CALLED_NOT_RECOGNIZED,
    CALLING_NOT_RECOGNIZED,
    VERSION_NOT_SUPPORTED,
    objection,
)
from dimse_mesh.upper_layer import AssociateRJ, AssociateRQ
from tests.support.wire import associate_rq


def request(called: str = "PACS", calling: str = "CT1", version: int = 1) -> AssociateRQ:
    body = bytearray(associate_rq(called=called, calling=calling)[6:])
    body[0:2] = version.to_bytes(2, "big")
    return AssociateRQ.decode(bytes(body))


@pytest.mark.parametrize(
    ("asked", "called", "calling", "expected"),
    [
        (request(), None, None, None),
        (request(), ["PACS"], ["CT1"], None),
        (request("OTHER"), ["PACS"], None, CALLED_NOT_RECOGNIZED),
        (request("pacs"), ["PACS"], None, CALLED_NOT_RECOGNIZED),
        (request(calling="CT2"), None, ["CT1"], CALLING_NOT_RECOGNIZED),
        (request("OTHER", "CT2"), ["PACS"], ["CT1"], CALLING_NOT_RECOGNIZED),
        (request(), [], None, CALLED_NOT_RECOGNIZED),
        (request(version=2), None, None, VERSION_NOT_SUPPORTED),
        (request(version=3), None, None, None),
    ],
)
def test_a_request_is_let_in_or_rejected_for_the_right_reason(
    asked: AssociateRQ, called: list[str] | None, calling: list[str] | None, expected: AssociateRJ | None
) -> None:
    assert objection(asked, called=called, calling=calling) == expected


def test_the_rejections_are_those_of_the_standard() -> None:
    assert CALLED_NOT_RECOGNIZED.encode()[7:] == bytes((1, 1, 7))
    assert CALLING_NOT_RECOGNIZED.encode()[7:] == bytes((1, 1, 3))
    assert VERSION_NOT_SUPPORTED.encode()[7:] == bytes((1, 2, 2))
