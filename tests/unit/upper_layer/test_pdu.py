"""The PDUs of fixed size, and what the errors say about themselves."""

from __future__ import annotations

from dimse_mesh.upper_layer import (
    RELEASE_RP_PDU,
    RELEASE_RQ_PDU,
    Abort,
    AbortReason,
    AbortSource,
    AssociateRJ,
    PresentationRejectReason,
    RejectResult,
    RejectSource,
    UpperLayerError,
    UserRejectReason,
)


def test_reject_stands_at_the_standards_offsets() -> None:
    reject = AssociateRJ(
        RejectResult.PERMANENT, RejectSource.SERVICE_USER, UserRejectReason.CALLED_AE_TITLE_NOT_RECOGNIZED
    )
    # PS3.8 §9.3.4: 1 type, 2 reserved, 3-6 length, 7 reserved, 8 result, 9 source, 10 reason
    assert reject.encode() == bytes.fromhex("03 00 00000004 00 01 01 07")
    assert reject.describe() == "permanent, service-user, called-ae-title-not-recognized"


def test_abort_stands_at_the_standards_offsets() -> None:
    abort = Abort(AbortSource.SERVICE_PROVIDER, AbortReason.UNEXPECTED_PDU)
    # PS3.8 §9.3.8: 1 type, 2 reserved, 3-6 length, 7-8 reserved, 9 source, 10 reason
    assert abort.encode() == bytes.fromhex("07 00 00000004 0000 02 02")
    assert abort.describe() == "service-provider, unexpected-pdu"


def test_release_pdus_are_the_standards() -> None:
    assert bytes.fromhex("05 00 00000004 00000000") == RELEASE_RQ_PDU
    assert bytes.fromhex("06 00 00000004 00000000") == RELEASE_RP_PDU


def test_every_byte_value_of_a_reject_or_abort_passes_through() -> None:
    for value in range(256):
        reject = AssociateRJ(value, 255 - value, value)
        assert AssociateRJ.decode(reject.encode()[6:]) == reject
        abort = Abort(value, 255 - value)
        assert Abort.decode(memoryview(abort.encode())[6:]) == abort
        assert reject.describe()
        assert abort.describe()


def test_reasons_are_named_by_their_source() -> None:
    congestion = AssociateRJ(2, 3, PresentationRejectReason.TEMPORARY_CONGESTION)
    assert congestion.describe() == "transient, service-provider-presentation, temporary-congestion"
    assert AssociateRJ(2, 9, 1).describe() == "transient, 9, 1"
    assert Abort(0, 2).describe() == "service-user, 2"


def test_fixed_size_pdu_of_another_size_is_read_as_far_as_it_goes() -> None:
    assert AssociateRJ.decode(b"\0\1\1\7\0") == AssociateRJ.decode(b"\0\1\1\7") == AssociateRJ(1, 1, 7)
    assert AssociateRJ.decode(b"\0\2\3") == AssociateRJ(2, 3, UserRejectReason.NO_REASON_GIVEN)
    assert AssociateRJ.decode(b"") == AssociateRJ(
        RejectResult.PERMANENT, RejectSource.SERVICE_USER, UserRejectReason.NO_REASON_GIVEN
    )
    assert Abort.decode(b"\0\0\0\0\xff") == Abort(AbortSource.SERVICE_USER, AbortReason.NOT_SPECIFIED)
    assert Abort.decode(b"\0\0\2") == Abort(AbortSource.SERVICE_PROVIDER, AbortReason.NOT_SPECIFIED)
    assert Abort.decode(b"") == Abort(AbortSource.SERVICE_PROVIDER, AbortReason.NOT_SPECIFIED)


def test_every_error_has_a_code_of_its_own_and_says_what_the_abort_must_say() -> None:
    found = [UpperLayerError]
    for kind in found:
        found.extend(kind.__subclasses__())
    assert len({kind.code for kind in found}) == len(found) >= 6
    assert all(kind.abort_source is AbortSource.SERVICE_PROVIDER for kind in found)
    assert all(isinstance(kind.abort_reason, AbortReason) for kind in found)
