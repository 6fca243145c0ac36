"""DICOM Upper Layer (PS3.8), sans-IO: bytes in, PDUs out; a state table.

framing     Framer cuts a stream into PDUs, iter_pdvs a P-DATA-TF into fragments
associate   A-ASSOCIATE-RQ/AC, with items and user_items, byte exact
pdu         A-ASSOCIATE-RJ, A-RELEASE, A-ABORT; reasons: what the standard enumerates in them
state       table 9-10 and the machine that walks it; its actions name ARTIM, the owner of the transport runs it
errors      the exception tree
"""

from dimse_mesh.upper_layer.associate import AssociateAC, AssociateRQ, ae_title_bytes, ae_title_text
from dimse_mesh.upper_layer.encoded import Encoded, Remainder, UnknownItem
from dimse_mesh.upper_layer.errors import (
    FramingError,
    InvalidTransition,
    MalformedPdu,
    PduTooLong,
    UnrecognizedPdu,
    UpperLayerError,
)
from dimse_mesh.upper_layer.framing import (
    COMMAND,
    LAST,
    PDV_HEADER_LENGTH,
    Framer,
    encode_p_data_header,
    encode_pdv_header,
    iter_pdvs,
)
from dimse_mesh.upper_layer.items import (
    DICOM_APPLICATION_CONTEXT,
    ApplicationContext,
    ContextResult,
    PresentationContextAC,
    PresentationContextRQ,
    UserInformation,
)
from dimse_mesh.upper_layer.pdu import (
    PDU_HEADER_LENGTH,
    RELEASE_RP_PDU,
    RELEASE_RQ_PDU,
    Abort,
    AssociateRJ,
    PduType,
    encode_pdu,
)
from dimse_mesh.upper_layer.reasons import (
    AbortReason,
    AbortSource,
    AcseRejectReason,
    PresentationRejectReason,
    RejectResult,
    RejectSource,
    UserRejectReason,
)
from dimse_mesh.upper_layer.state import (
    EVENT_OF_PDU,
    NEXT_STATE,
    TRANSITIONS,
    Action,
    AssociationMachine,
    Event,
    State,
    next_state,
)
from dimse_mesh.upper_layer.user_items import (
    AsynchronousOperationsWindow,
    ImplementationClassUID,
    ImplementationVersionName,
    MaximumLength,
    RoleSelection,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityAC,
    UserIdentityRQ,
    significant_uid,
)

__all__ = [
    "Abort",
    "AbortReason",
    "AbortSource",
    "AcseRejectReason",
    "Action",
    "ApplicationContext",
    "AssociateAC",
    "AssociateRJ",
    "AssociateRQ",
    "AssociationMachine",
    "AsynchronousOperationsWindow",
    "COMMAND",
    "ContextResult",
    "DICOM_APPLICATION_CONTEXT",
    "EVENT_OF_PDU",
    "Encoded",
    "Event",
    "Framer",
    "FramingError",
    "ImplementationClassUID",
    "ImplementationVersionName",
    "InvalidTransition",
    "LAST",
    "MalformedPdu",
    "MaximumLength",
    "NEXT_STATE",
    "PDU_HEADER_LENGTH",
    "PDV_HEADER_LENGTH",
    "PduTooLong",
    "PduType",
    "PresentationContextAC",
    "PresentationContextRQ",
    "PresentationRejectReason",
    "RELEASE_RP_PDU",
    "RELEASE_RQ_PDU",
    "RejectResult",
    "RejectSource",
    "Remainder",
    "RoleSelection",
    "SOPClassCommonExtendedNegotiation",
    "SOPClassExtendedNegotiation",
    "State",
    "TRANSITIONS",
    "UnknownItem",
    "UnrecognizedPdu",
    "UpperLayerError",
    "UserIdentityAC",
    "UserIdentityRQ",
    "UserInformation",
    "UserRejectReason",
    "ae_title_bytes",
    "ae_title_text",
    "encode_pdu",
    "encode_p_data_header",
    "encode_pdv_header",
    "iter_pdvs",
    "next_state",
    "significant_uid",
]
