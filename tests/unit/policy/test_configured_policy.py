"""What a zone's file permits, and who is told what was decided."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from dimse_mesh.policy import (
    AdmissionQuestion,
    ConfiguredPolicy,
    Decision,
    DecisionPoint,
    OpeningQuestion,
    OperationQuestion,
    PeerCertificate,
    Side,
    count_operations,
    count_rejections,
    refusal_log,
)
from dimse_mesh.policy.rejections import CALLED_NOT_RECOGNIZED, CALLING_NOT_RECOGNIZED, VERSION_NOT_SUPPORTED
from dimse_mesh.runtime.counters import Counters
from dimse_mesh.runtime.routing import DimseService, Route
from dimse_mesh.runtime.settings_policy import PolicySettings
from dimse_mesh.runtime.settings_scu import RemoteAe


def admission(
    called: str = "PACS",
    calling: str = "CT1",
    *,
    version: int = 1,
    listener: tuple[str, ...] | None = None,
    associations: int = 0,
    draining: bool = False,
    host: str = "127.0.0.1",
    port: int = 11112,
    certificate: PeerCertificate | None = None,
) -> AdmissionQuestion:
    return AdmissionQuestion(
        peer_host=host,
        port=port,
        certificate=certificate,
        called_ae=called,
        calling_ae=calling,
        protocol_version=version,
        user_identity=(2, b"somebody"),
        listener=listener,
        open_associations=associations,
        draining=draining,
    )


def remote(title: str, **more: Any) -> RemoteAe:
    return RemoteAe.model_validate({"ae_title": title, "host": "127.0.0.1", "port": 104, **more})


def opening(from_zone: str, target: str = "PACS", side: Side = Side.EXECUTOR) -> OpeningQuestion:
    return OpeningQuestion(side=side, from_zone=from_zone, called_ae="ANY", calling_ae="CT1", target=target)


def operation(command_field: int, service: str, *, from_client: bool = True) -> OperationQuestion:
    return OperationQuestion(
        command_field=command_field,
        service=service,
        called_ae="PACS",
        calling_ae="CT1",
        from_client=from_client,
    )


@pytest.mark.parametrize(
    ("question", "calling", "code"),
    [
        (admission(), None, None),
        (admission(listener=("PACS",)), ["CT1"], None),
        (admission("OTHER", listener=("PACS",)), None, "called-ae-not-served-here"),
        (admission("pacs", listener=("PACS",)), None, "called-ae-not-served-here"),
        (admission(calling="CT2"), ["CT1"], "calling-ae-not-allowed"),
        (admission("OTHER", "CT2", listener=("PACS",)), ["CT1"], "calling-ae-not-allowed"),
        (admission(listener=()), None, "called-ae-not-served-here"),
        (admission(version=2), None, "protocol-version"),
        (admission(version=3), None, None),
        (admission(draining=True), None, "draining"),
        (admission(associations=9), None, None),
        (admission(associations=10), None, "association-limit"),
    ],
)
def test_a_peer_is_let_in_or_rejected_for_the_right_reason(
    question: AdmissionQuestion, calling: list[str] | None, code: str | None
) -> None:
    policy = ConfiguredPolicy(routes=(), calling_ae_titles=calling, max_associations=10)
    refusal = policy.admission(question)
    assert (refusal and refusal.code) == code
    assert refusal is None or refusal.rejection is not None


def test_the_rejections_are_those_of_the_standard() -> None:
    assert CALLED_NOT_RECOGNIZED.encode()[7:] == bytes((1, 1, 7))
    assert CALLING_NOT_RECOGNIZED.encode()[7:] == bytes((1, 1, 3))
    assert VERSION_NOT_SUPPORTED.encode()[7:] == bytes((1, 2, 2))


@pytest.mark.parametrize(
    ("question", "code"),
    [
        (opening("hospital"), None),
        (opening("elsewhere"), "zone-not-allowed"),
        (opening("elsewhere", target="OPEN"), None),
        (opening("elsewhere", target="UNLISTED"), None),
        (opening("hospital", target="SHUT"), "zone-not-allowed"),
        (opening("elsewhere", side=Side.FRONT_END), None),
        (opening("hospital", target="NARROW"), "calling-ae-not-allowed"),
        (opening("hospital", target="WIDE"), None),
    ],
)
def test_a_target_is_opened_for_the_zones_that_it_names(question: OpeningQuestion, code: str | None) -> None:
    policy = ConfiguredPolicy(
        routes=(),
        remote_aes=[
            remote("PACS", from_zones=["hospital"]),
            remote("OPEN"),
            remote("SHUT", from_zones=[]),
            remote("NARROW", from_calling=["AI*"]),
            remote("WIDE", from_calling=["AI*", "CT?"]),
        ],
    )
    refusal = policy.opening(question)
    assert (refusal and refusal.code) == code


@pytest.mark.parametrize(
    ("allow", "question", "code"),
    [
        (None, operation(0x0030, "C-ECHO"), None),
        (None, operation(0x0222, "unknown"), None),
        ((DimseService.C_ECHO,), operation(0x0030, "C-ECHO"), None),
        ((DimseService.C_STORE,), operation(0x0030, "C-ECHO"), "not_authorized"),
        ((DimseService.C_STORE,), operation(0x0222, "unknown"), "unrecognized_operation"),
        ((DimseService.C_GET,), operation(0x0001, "C-STORE", from_client=False), None),
        ((DimseService.C_ECHO,), operation(0x0001, "C-STORE", from_client=False), "not_authorized"),
        ((DimseService.C_STORE,), operation(0x0001, "C-STORE", from_client=False), None),
        ((DimseService.N_ACTION,), operation(0x0100, "N-EVENT-REPORT", from_client=False), None),
        ((DimseService.C_FIND,), operation(0x0100, "N-EVENT-REPORT", from_client=False), "not_authorized"),
        ((DimseService.C_ECHO,), operation(0x0222, "unknown", from_client=False), "unrecognized_operation"),
        ((), operation(0x0FFF, "C-CANCEL", from_client=False), None),
        ((), operation(0x0FFF, "C-CANCEL"), None),
    ],
)
def test_an_operation_is_permitted_where_its_route_allows_it(
    allow: tuple[DimseService, ...] | None, question: OperationQuestion, code: str | None
) -> None:
    route = Route(called="PACS", allow=None if allow is None else frozenset(allow))
    refusal = ConfiguredPolicy(routes=(route,)).operation(question)
    assert (refusal and refusal.code) == code


def test_every_subscriber_hears_every_decision_whatever_the_others_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[str | None] = []

    def broken(_decision: Decision) -> None:
        raise ValueError

    def note(decision: Decision) -> None:
        heard.append(None if decision.refusal is None else decision.refusal.code)

    point = DecisionPoint(ConfiguredPolicy(routes=(), max_associations=1), (broken, note))
    assert point.admission(admission()) is None
    refusal = point.admission(admission(associations=1))
    assert refusal is not None
    assert heard == [None, "association-limit"]
    assert [record.getMessage() for record in caplog.records] == [
        "a subscriber to policy decisions failed"
    ] * 2


def test_decisions_are_counted_and_refusals_logged_with_their_code(caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters()
    route = Route(allow=frozenset((DimseService.C_ECHO,)))
    point = DecisionPoint(
        ConfiguredPolicy(routes=(route,), calling_ae_titles=["CT2"]),
        (refusal_log(), count_operations(counters), count_rejections(counters)),
    )
    with caplog.at_level(logging.WARNING):
        point.operation(operation(0x0030, "C-ECHO"))
        point.operation(operation(0x0001, "C-STORE"))
        point.admission(admission())
    assert counters.handled == {("C-ECHO", "approved"): 1, ("C-STORE", "not_authorized"): 1}
    assert counters.rejected == {(1, 1, 3): 1}
    refused, rejected = (record.getMessage() for record in caplog.records)
    assert refused == "refused C-STORE of CT1 to PACS: not_authorized by routes[0].allow"
    assert rejected.startswith("rejected CT1 (127.0.0.1) to PACS: calling-ae-not-allowed")
    assert "somebody" not in repr(admission())


DENY_ALL = {"effect": "deny"}
CT_ROOM = PeerCertificate(
    "C=DE,CN=ct1.hospital.example", "CN=Hospital CA", ("ct1.hospital.example", "10.1.0.7")
)


@pytest.mark.parametrize(
    ("policy", "called", "calling", "setting"),
    [
        (
            {"admission": [{"effect": "deny", "calling": "READER"}]},
            "PACS",
            "reader",
            "policy.admission[0].calling",
        ),
        ({"admission": [{"effect": "deny", "calling": "CT*"}]}, "PACS", "ct1", "policy.admission[0].calling"),
        (
            {"admission": [{"effect": "deny", "called": "PRIV?TE"}]},
            "private",
            "CT1",
            "policy.admission[0].called",
        ),
        (
            {"operations": [{"effect": "deny", "calling": "READER"}]},
            "PACS",
            "Reader",
            "policy.operations[0].calling",
        ),
    ],
)
def test_a_title_in_another_case_slips_through_no_rule(
    policy: dict[str, Any], called: str, calling: str, setting: str
) -> None:
    made = ConfiguredPolicy(routes=(), policy=PolicySettings.model_validate(policy))
    verdict = made.admission_verdict(admission(called, calling))
    assert verdict.rule == setting
    assert verdict.refusal is not None
    assert verdict.refusal.code == "ae-title-in-other-case"


@pytest.mark.parametrize(
    ("called", "calling"), [("", "CT1"), ("PACS", ""), ("PACS", "CT\x01"), ("P\\S", "CT1")]
)
def test_a_title_that_is_none_opens_no_target(called: str, calling: str) -> None:
    """... whatever another zone's front-end lets in."""
    policy = ConfiguredPolicy(routes=(), remote_aes=[remote("PACS")])
    question = OpeningQuestion(
        side=Side.EXECUTOR, from_zone="clinic", called_ae=called, calling_ae=calling, target="PACS"
    )
    refusal = policy.opening(question)
    assert refusal is not None
    assert refusal.code == "malformed-ae-title"


@pytest.mark.parametrize(
    ("rule", "question", "permitted"),
    [
        ({"peers": ["10.1.0.0/16"]}, admission(host="10.1.200.3"), True),
        ({"peers": ["10.1.0.0/16"]}, admission(host="::ffff:10.1.200.3"), True),
        ({"peers": ["10.1.0.0/16"]}, admission(host="10.2.0.1"), False),
        ({"peers": ["fd00::/8"]}, admission(host="fd12::1"), True),
        ({"peers": ["::ffff:10.1.0.0/112"]}, admission(host="10.1.200.3"), True),
        ({"peers": ["::ffff:10.1.0.0/112"]}, admission(host="::ffff:10.1.200.3"), True),
        ({"peers": ["::ffff:10.1.0.0/112"]}, admission(host="10.2.0.1"), False),
        ({"peers": ["::ffff:10.1.0.7"]}, admission(host="10.1.0.7"), True),
        ({"peers": ["0.0.0.0/0"]}, admission(host=""), False),
        ({"listeners": [104]}, admission(port=104), True),
        ({"listeners": [104]}, admission(port=11112), False),
        ({"calling": "CT*"}, admission(calling="CT1"), True),
        ({"calling": "CT*"}, admission(calling="MR1"), False),
        ({"user": "some*"}, admission(), True),
        ({"user": "dr*"}, admission(), False),
        ({"called": "PACS"}, admission(), True),
        ({"called": "PACS"}, admission("PACS2"), False),
        ({"certificate": {"subject": "*CN=ct?.hospital.example*"}}, admission(certificate=CT_ROOM), True),
        ({"certificate": {"issuer": "CN=Hospital CA"}}, admission(certificate=CT_ROOM), True),
        ({"certificate": {"san": "*.hospital.example"}}, admission(certificate=CT_ROOM), True),
        ({"certificate": {"san": "*.clinic.example"}}, admission(certificate=CT_ROOM), False),
        ({"certificate": {"san": "*", "issuer": "CN=Other"}}, admission(certificate=CT_ROOM), False),
        ({"certificate": {"subject": "*"}}, admission(), False),
        ({}, admission(), True),
    ],
)
def test_the_first_admission_rule_that_matches_decides(
    rule: dict[str, Any], question: AdmissionQuestion, permitted: bool
) -> None:
    settings = PolicySettings.model_validate({"admission": [{"effect": "permit", **rule}, DENY_ALL]})
    verdict = ConfiguredPolicy(routes=(), policy=settings).admission_verdict(question)
    assert (verdict.refusal is None) is permitted
    assert verdict.rule == f"policy.admission[{0 if permitted else 1}]"
    assert verdict.refusal is None or verdict.refusal.rejection == CALLING_NOT_RECOGNIZED


@pytest.mark.parametrize(
    ("rule", "question", "permitted"),
    [
        ({"services": ["C-STORE"]}, operation(0x0001, "C-STORE"), True),
        ({"services": ["C-STORE"]}, operation(0x0020, "C-FIND"), False),
        ({"services": ["C-STORE"], "asked_by": "target"}, operation(0x0001, "C-STORE"), False),
        (
            {"services": ["C-STORE"], "asked_by": "target"},
            operation(0x0001, "C-STORE", from_client=False),
            True,
        ),
        ({"calling": "MR*"}, operation(0x0001, "C-STORE"), False),
        ({}, operation(0x0222, "unknown"), True),
    ],
)
def test_an_operation_rule_decides_before_its_route(
    rule: dict[str, Any], question: OperationQuestion, permitted: bool
) -> None:
    settings = PolicySettings.model_validate({"operations": [{"effect": "permit", **rule}, DENY_ALL]})
    policy = ConfiguredPolicy(routes=(Route(allow=frozenset()),), policy=settings)
    verdict = policy.operation_verdict(question)
    assert (verdict.refusal is None) is permitted
    assert verdict.rule == f"policy.operations[{0 if permitted else 1}]"


def test_what_a_target_may_ask_for_can_be_listed_by_itself() -> None:
    route = Route(allow=None, allow_from_target=frozenset({DimseService.N_EVENT_REPORT}))
    policy = ConfiguredPolicy(routes=(route,))
    assert policy.operation(operation(0x0100, "N-EVENT-REPORT", from_client=False)) is None
    verdict = policy.operation_verdict(operation(0x0001, "C-STORE", from_client=False))
    assert verdict.rule == "routes[0].allow_from_target"
    assert verdict.refusal is not None
    assert policy.operation(operation(0x0001, "C-STORE")) is None


def test_answers_on_operations_are_remembered_and_stay_what_they_were() -> None:
    policy = ConfiguredPolicy(
        routes=(
            Route(called="READ*", allow=frozenset((DimseService.C_FIND,))),
            Route(called="*", allow=None),
        )
    )

    def store_to(title: str) -> OperationQuestion:
        return operation(0x0001, "C-STORE")._replace(called_ae=title)

    titles = [f"{kind}{number}" for number in range(5000) for kind in ("READ", "ALL")]
    for _ in range(2):  # more than are remembered
        refused = [title for title in titles if policy.operation(store_to(title)) is not None]
        assert refused == [title for title in titles if title.startswith("READ")]
    assert policy.operation(store_to("READ1")) is policy.operation(store_to("READ1"))
