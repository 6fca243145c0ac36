"""Codes of audit messages (PS3.16 CID 400 to 405, PS3.15 A.5.2): those that we use."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple


class Code(NamedTuple):
    """A coded value."""

    value: str
    meaning: str
    system: str = "DCM"


OURS: Final = "dimse-mesh"
"""Coding scheme of what the standard has no code for."""


class AuditEvent(Enum):
    """What happened (CID 400)."""

    APPLICATION_ACTIVITY = Code("110100", "Application Activity")
    DICOM_INSTANCES_TRANSFERRED = Code("110104", "DICOM Instances Transferred")
    QUERY = Code("110112", "Query")
    SECURITY_ALERT = Code("110113", "Security Alert")
    USER_AUTHENTICATION = Code("110114", "User Authentication")


class AuditEventType(Enum):
    """Of which kind (CID 401)."""

    APPLICATION_START = Code("110120", "Application Start")
    APPLICATION_STOP = Code("110121", "Application Stop")
    LOGIN = Code("110122", "Login")
    LOGOUT = Code("110123", "Logout")
    NODE_AUTHENTICATION = Code("110126", "Node Authentication")
    SOFTWARE_CONFIGURATION = Code("110131", "Software Configuration")
    USE_OF_RESTRICTED_FUNCTION = Code("110132", "Use of Restricted Function")
    AUDIT_RECORDING_STOPPED = Code("110133", "Audit Recording Stopped")


class AuditRole(Enum):
    """What a participant did (CID 402)."""

    APPLICATION = Code("110150", "Application")
    APPLICATION_LAUNCHER = Code("110151", "Application Launcher")
    DESTINATION = Code("110152", "Destination Role ID")
    SOURCE = Code("110153", "Source Role ID")


class AuditedKind(Enum):
    """What kind of id an object has (CID 404), or which object of ours it is."""

    SOP_CLASS_UID = Code("110181", "SOP Class UID")
    NODE = Code("110182", "Node ID")
    ASSOCIATION = Code("association", "Association", OURS)
    CONFIGURATION = Code("configuration", "Configuration", OURS)
    AUDIT_TRAIL = Code("audit-trail", "Audit Trail", OURS)
    QUEUE = Code("queue", "Queue", OURS)
    COHORT = Code("cohort", "Cohort", OURS)
