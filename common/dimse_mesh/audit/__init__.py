"""The audit trail: DICOM audit messages (PS3.15 A.5), in hash-chained files and on their way to a syslog repository."""

from dimse_mesh.audit.codes import AuditEvent, AuditEventType, Code
from dimse_mesh.audit.forwarder import AuditForwarder
from dimse_mesh.audit.message import audit_message
from dimse_mesh.audit.recorder import AuditNumbers, AuditRecorder
from dimse_mesh.audit.records import AuditedObject, AuditOutcome, AuditParticipant, AuditRecord
from dimse_mesh.audit.repository import Repository, RepositoryTls, SyslogProtocol
from dimse_mesh.audit.source import AuditSource
from dimse_mesh.audit.trail import AuditTrail, TrailError
from dimse_mesh.audit.verify import BrokenChain, Verified, verify_file, verify_trail

__all__ = [
    "AuditForwarder",
    "AuditNumbers",
    "AuditedObject",
    "BrokenChain",
    "Code",
    "AuditEvent",
    "AuditEventType",
    "AuditOutcome",
    "AuditParticipant",
    "SyslogProtocol",
    "AuditRecord",
    "AuditRecorder",
    "Repository",
    "RepositoryTls",
    "AuditSource",
    "AuditTrail",
    "TrailError",
    "Verified",
    "audit_message",
    "verify_file",
    "verify_trail",
]
