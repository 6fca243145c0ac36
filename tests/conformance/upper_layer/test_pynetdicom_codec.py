"""Our codec against pynetdicom's, over the annotated PDUs that pynetdicom ships for its own tests."""

from __future__ import annotations

import pytest
from pynetdicom import pdu as oracle
from pynetdicom.pdu_items import (
    ApplicationContextItem,
    AsynchronousOperationsWindowSubItem,
    ImplementationClassUIDSubItem,
    ImplementationVersionNameSubItem,
    MaximumLengthSubItem,
    PresentationContextItemAC,
    PresentationContextItemRQ,
    SCP_SCU_RoleSelectionSubItem,
    SOPClassCommonExtendedNegotiationSubItem,
    SOPClassExtendedNegotiationSubItem,
    UserIdentitySubItemAC,
    UserIdentitySubItemRQ,
    UserInformationItem,
)
from pynetdicom.tests import encoded_pdu_items as vectors

from dimse_mesh.upper_layer import (
    RELEASE_RP_PDU,
    RELEASE_RQ_PDU,
    Abort,
    ApplicationContext,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    AsynchronousOperationsWindow,
    Encoded,
    Framer,
    ImplementationClassUID,
    ImplementationVersionName,
    MaximumLength,
    PresentationContextAC,
    PresentationContextRQ,
    RoleSelection,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityAC,
    UserIdentityRQ,
    UserInformation,
    iter_pdvs,
)

BLANK_TITLES = ["a_associate_rq_called", "a_associate_rq_calling"]
"""The oracle refuses these, which the standard forbids; admission is for us to judge them."""
ASSOCIATE = [name for name in dir(vectors) if name.startswith("a_associate_") and name not in BLANK_TITLES]
REQUESTS = [name for name in ASSOCIATE if getattr(vectors, name)[0] == 1]
ACCEPTS = [name for name in ASSOCIATE if getattr(vectors, name)[0] == 2]  # one of them is named as a request
P_DATA = [name for name in dir(vectors) if name.startswith("p_data_tf")]


def vector(name: str) -> bytes:
    """Give one PDU of pynetdicom's."""
    data = getattr(vectors, name)
    assert isinstance(data, bytes)
    return data


def theirs(item: object) -> Encoded | None:
    """Say what pynetdicom read in our words; None for an item that it keeps in no field."""
    match item:
        case MaximumLengthSubItem():
            return MaximumLength(item.maximum_length_received or 0)
        case ImplementationClassUIDSubItem():
            return ImplementationClassUID(str(item.implementation_class_uid))
        case ImplementationVersionNameSubItem():
            return ImplementationVersionName(item.implementation_version_name or "")
        case AsynchronousOperationsWindowSubItem():
            return AsynchronousOperationsWindow(
                item.maximum_number_operations_invoked or 0, item.maximum_number_operations_performed or 0
            )
        case SCP_SCU_RoleSelectionSubItem():
            return RoleSelection(str(item.sop_class_uid), item.scu_role or 0, item.scp_role or 0)
        case SOPClassExtendedNegotiationSubItem():
            return SOPClassExtendedNegotiation(
                str(item.sop_class_uid), item.service_class_application_information or b""
            )
        case SOPClassCommonExtendedNegotiationSubItem():
            return SOPClassCommonExtendedNegotiation(
                str(item.sop_class_uid),
                str(item.service_class_uid),
                tuple(str(uid) for uid in item.related_general_sop_class_identification),
            )
        case UserIdentitySubItemRQ():
            return UserIdentityRQ(
                item.user_identity_type or 0,
                item.positive_response_requested or 0,
                item.primary_field or b"",
                item.secondary_field or b"",
            )
        case UserIdentitySubItemAC():
            return UserIdentityAC(item.server_response or b"")
        case PresentationContextItemRQ():
            return PresentationContextRQ(
                item.presentation_context_id or 0,
                str(item.abstract_syntax),
                tuple(str(uid) for uid in item.transfer_syntax),
            )
        case PresentationContextItemAC():
            syntax = (
                item.transfer_syntax_sub_item[0].transfer_syntax_name if item.transfer_syntax_sub_item else ""
            )
            return PresentationContextAC(
                item.presentation_context_id or 0, item.result_reason or 0, str(syntax or "")
            )
        case UserInformationItem():
            return UserInformation(
                tuple(found for sub in item.user_data if (found := theirs(sub)) is not None)
            )
        case ApplicationContextItem():
            return ApplicationContext(str(item.application_context_name))
        case _:
            return None


@pytest.mark.parametrize("name", REQUESTS)
def test_request_is_read_as_the_oracle_reads_it_and_given_back(name: str) -> None:
    data = vector(name)
    expected = oracle.A_ASSOCIATE_RQ()
    expected.decode(data)
    request = AssociateRQ.decode(data[6:])
    assert request.encode() == data
    assert request.items == tuple(theirs(item) for item in expected.variable_items)
    assert request.called_ae == expected.called_ae_title.strip()
    assert request.calling_ae == expected.calling_ae_title.strip()


@pytest.mark.parametrize("name", ACCEPTS)
def test_accept_is_read_as_the_oracle_reads_it_and_given_back(name: str) -> None:
    data = vector(name)
    expected = oracle.A_ASSOCIATE_AC()
    expected.decode(data)
    accept = AssociateAC.decode(data[6:])
    assert accept.encode()[6:] == data[6:]  # one of the vectors has a wrong length in its header
    assert accept.items == tuple(theirs(item) for item in expected.variable_items)


@pytest.mark.parametrize("name", BLANK_TITLES)
def test_blank_title_is_read_as_empty_and_given_back(name: str) -> None:
    request = AssociateRQ.decode(vector(name)[6:])
    assert "" in (request.called_ae, request.calling_ae)
    assert request.encode() == vector(name)


@pytest.mark.parametrize("name", REQUESTS)
def test_what_we_make_or_rewrite_is_read_back_by_the_oracle(name: str) -> None:
    own = (
        AssociateRQ.decode(vector(name)[6:])
        .replace_own(
            maximum_length=131072,
            implementation_class_uid="1.2.3.4",
            implementation_version_name="DIMSE_MESH",
        )
        .with_ae_titles("OTHER.AE 1", None)
    )
    data = own.encode()
    read = oracle.A_ASSOCIATE_RQ()
    read.decode(data)
    assert len(read.encode()) == len(data)  # it clears the reserved bytes that we keep
    assert own.items == tuple(theirs(item) for item in read.variable_items)
    assert read.called_ae_title.strip() == "OTHER.AE 1"


@pytest.mark.parametrize("name", P_DATA)
def test_p_data_is_cut_as_the_oracle_cuts_it(name: str) -> None:
    data = vector(name)
    expected = oracle.P_DATA_TF()
    expected.decode(data)
    [(_, body)] = Framer(max_length=1 << 20).feed(data)
    assert [(context, bytes((flags,)) + bytes(fragment)) for context, flags, fragment in iter_pdvs(body)] == [
        (item.presentation_context_id, item.presentation_data_value)
        for item in expected.presentation_data_value_items
    ]


def test_pdus_of_fixed_size_are_the_oracles() -> None:
    assert vectors.a_release_rq == RELEASE_RQ_PDU
    assert vectors.a_release_rp == RELEASE_RP_PDU
    assert AssociateRJ.decode(vectors.a_associate_rj[6:]).encode() == vectors.a_associate_rj
    assert Abort.decode(vectors.a_p_abort[6:]) == Abort(2, 4)
    assert Abort.decode(vectors.a_abort[6:]).encode() == vectors.a_abort
