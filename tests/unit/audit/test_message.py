"""Every record becomes a message that is valid by the schema of PS3.15 A.5.1.1, whatever a peer has called itself."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimse_mesh.audit import AuditedObject, AuditOutcome, AuditParticipant, AuditRecord, AuditSource
from dimse_mesh.audit.codes import AuditedKind, AuditEvent, AuditEventType, AuditRole
from dimse_mesh.audit.events import (
    application_started,
    application_stopped,
    association_ended,
    association_opened,
    configuration_changed,
    console_action,
    instances_transferred,
    operation_refused,
    peer_refused,
    queried,
)
from dimse_mesh.audit.message import audit_message
from dimse_mesh.audit.syslog import MOST_SEQUENCE, octet_counted, syslog_message
from tests.support.audit import Told, valid

SOURCE = AuditSource("hospital", "association", "SITE", "pacs-gate", 4711)
CLIENT = AuditParticipant(
    user_id="MODALITY", ae_titles=("MODALITY",), requestor=True, role=AuditRole.SOURCE, host="192.0.2.7"
)
ASSOCIATION = AuditedObject(
    kind=AuditedKind.ASSOCIATION,
    object_id="3f2a",
    details={"C-ECHO success": "2"},
    instances={"1.2.840.10008.5.1.4.1.1.2": 3},
)
EVENTS = {
    "application-started": application_started(SOURCE, "ab" * 32),
    "application-stopped": application_stopped(SOURCE, "OSError"),
    "configuration-changed": configuration_changed(SOURCE, "ab" * 32, "cd" * 32),
    "peer-refused": peer_refused(SOURCE, CLIENT, "PACS", "calling-ae", {"port": "11112"}, repeats=("x",)),
    "association-opened": association_opened(SOURCE, CLIENT, None, ASSOCIATION),
    "association-failed": association_opened(SOURCE, CLIENT, None, ASSOCIATION, "target-unreachable"),
    "association-ended": association_ended(SOURCE, CLIENT, CLIENT, ASSOCIATION, "released"),
    "instances-transferred": instances_transferred(SOURCE, CLIENT, None, ASSOCIATION),
    "queried": queried(SOURCE, CLIENT, None, ASSOCIATION),
    "operation-refused": operation_refused(SOURCE, "C-STORE", "A", "B", "not_authorized", repeats=("y",)),
    "console-action": console_action(SOURCE, "root", "queue drop", ASSOCIATION, failure="StartError"),
}


@pytest.mark.parametrize("name", EVENTS)
def test_each_event_is_valid(name: str) -> None:
    valid(audit_message(EVENTS[name], SOURCE))


def test_a_syslog_message_is_what_rfc_5424_and_ps3_15_ask_for() -> None:
    told = Told(syslog_message(EVENTS["peer-refused"], SOURCE, 7))
    assert (told.facility, told.severity, told.sequence) == (10, 4, 7)
    assert told.event == "Security Alert/Node Authentication"
    assert told.why == "calling-ae"
    assert told.users == ["MODALITY", "4711"]
    assert told.source == "hospital.association@pacs-gate"
    assert told.details == {"port": "11112"}


def test_the_sequence_begins_again_where_rfc_5424_ends_it() -> None:
    assert Told(syslog_message(EVENTS["queried"], SOURCE, MOST_SEQUENCE)).sequence == MOST_SEQUENCE
    assert Told(syslog_message(EVENTS["queried"], SOURCE, MOST_SEQUENCE + 1)).sequence == 1


def test_octets_are_counted_not_characters() -> None:
    message = "ä€".encode()
    assert octet_counted(message) == b"5 " + message


def test_a_query_stands_in_its_own_element() -> None:
    item = AuditedObject(kind=AuditedKind.SOP_CLASS_UID, object_id="1.2.3", query=b"\x08\x00\x52\x00")
    record = AuditRecord(event=AuditEvent.QUERY, participants=(CLIENT,), objects=(item,))
    root = valid(audit_message(record, SOURCE))
    query = root.xpath("string(ParticipantObjectIdentification/ParticipantObjectQuery)")
    assert base64.b64decode(query) == b"\x08\x00\x52\x00"


@given(text=st.text(max_size=400), other=st.text(max_size=40))
def test_no_text_of_a_peer_makes_a_message_invalid_or_ends_its_line(text: str, other: str) -> None:
    record = AuditRecord(
        event=AuditEvent.SECURITY_ALERT,
        types=(AuditEventType.NODE_AUTHENTICATION,),
        outcome=AuditOutcome.MINOR_FAILURE,
        description=text,
        participants=(
            AuditParticipant(user_id=text, ae_titles=(text,), requestor=True, name=other, host=other),
        ),
        objects=(
            AuditedObject(
                kind=AuditedKind.NODE,
                object_id=other,
                name=text,
                details={other: text},
                instances={text: 1},
            ),
        ),
    )
    message = syslog_message(record, SOURCE, 1)
    assert b"\n" not in message
    assert len(message) < 32_000
    Told(message)
