"""The events that we report, each as a record."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from dimse_mesh.audit.codes import AuditedKind, AuditEvent, AuditEventType, AuditRole
from dimse_mesh.audit.records import AuditedObject, AuditOutcome, AuditParticipant, AuditRecord
from dimse_mesh.audit.source import AuditSource

QUERIES = frozenset(("C-FIND", "C-GET", "C-MOVE"))


def application_started(source: AuditSource, configuration: str) -> AuditRecord:
    """Return the record of a process that is ready to work.

    Args:
        configuration: digest of its configuration.
    """
    return AuditRecord(
        event=AuditEvent.APPLICATION_ACTIVITY,
        types=(AuditEventType.APPLICATION_START,),
        participants=(_process(source, role=AuditRole.APPLICATION),),
        objects=(_configuration(source, {"sha256": configuration}),),
    )


def application_stopped(source: AuditSource, why: str) -> AuditRecord:
    """Return the record of a process that stops; `why` is empty when it was told to."""
    return AuditRecord(
        event=AuditEvent.APPLICATION_ACTIVITY,
        types=(AuditEventType.APPLICATION_STOP,),
        outcome=AuditOutcome.SERIOUS_FAILURE if why else AuditOutcome.SUCCESS,
        description=why,
        participants=(_process(source, role=AuditRole.APPLICATION),),
    )


def configuration_changed(source: AuditSource, before: str, now: str) -> AuditRecord:
    """Return the record of a process that starts with another configuration than last time."""
    return AuditRecord(
        event=AuditEvent.SECURITY_ALERT,
        types=(AuditEventType.SOFTWARE_CONFIGURATION,),
        action="U",
        participants=(_process(source),),
        objects=(_configuration(source, {"sha256": now, "sha256 before": before}),),
    )


def peer_refused(
    source: AuditSource,
    peer: AuditParticipant,
    called: str,
    why: str,
    details: Mapping[str, str],
    *,
    repeats: Hashable,
) -> AuditRecord:
    """Return the record of an association that was not let in, or not opened."""
    return AuditRecord(
        event=AuditEvent.SECURITY_ALERT,
        types=(AuditEventType.NODE_AUTHENTICATION,),
        outcome=AuditOutcome.MINOR_FAILURE,
        description=why,
        participants=(peer, _process(source, called, role=AuditRole.DESTINATION)),
        objects=(AuditedObject(kind=AuditedKind.NODE, object_id=called, details=details),),
        repeats=repeats,
    )


def association_opened(
    source: AuditSource,
    client: AuditParticipant,
    target: AuditParticipant | None,
    association: AuditedObject,
    failure: str = "",
) -> AuditRecord:
    """Return the record of an association that stands, or that could not be had.

    Args:
        target: the system that is called, where its address is known; None: it is in the mesh.
        failure: a code; empty: it stands.
    """
    return AuditRecord(
        event=AuditEvent.USER_AUTHENTICATION,
        types=(AuditEventType.LOGIN,),
        outcome=AuditOutcome.MINOR_FAILURE if failure else AuditOutcome.SUCCESS,
        description=failure,
        participants=(client, target or _process(source, role=AuditRole.DESTINATION)),
        objects=(association,),
    )


def association_ended(
    source: AuditSource,
    client: AuditParticipant,
    target: AuditParticipant | None,
    association: AuditedObject,
    code: str,
) -> AuditRecord:
    """Return the record of an association's end; `code` is `released` for the good one."""
    return AuditRecord(
        event=AuditEvent.USER_AUTHENTICATION,
        types=(AuditEventType.LOGOUT,),
        outcome=AuditOutcome.SUCCESS if code == "released" else AuditOutcome.MINOR_FAILURE,
        description=code,
        participants=(client, target or _process(source, role=AuditRole.DESTINATION)),
        objects=(association,),
    )


def instances_transferred(
    source: AuditSource, client: AuditParticipant, target: AuditParticipant | None, association: AuditedObject
) -> AuditRecord:
    """Return the record of the instances that an association stored."""
    return AuditRecord(
        event=AuditEvent.DICOM_INSTANCES_TRANSFERRED,
        action="C",
        participants=(client, target or _process(source, role=AuditRole.DESTINATION)),
        objects=(association,),
    )


def queried(
    source: AuditSource, client: AuditParticipant, target: AuditParticipant | None, association: AuditedObject
) -> AuditRecord:
    """Return the record of the queries and retrievals that an association asked for."""
    return AuditRecord(
        event=AuditEvent.QUERY,
        participants=(client, target or _process(source, role=AuditRole.DESTINATION)),
        objects=(association,),
    )


def operation_refused(
    source: AuditSource, service: str, calling: str, called: str, why: str, *, repeats: Hashable
) -> AuditRecord:
    """Return the record of an operation that the policy refused."""
    return AuditRecord(
        event=AuditEvent.SECURITY_ALERT,
        types=(AuditEventType.USE_OF_RESTRICTED_FUNCTION,),
        outcome=AuditOutcome.MINOR_FAILURE,
        description=why,
        participants=(
            AuditParticipant(user_id=calling, ae_titles=(calling,), requestor=True, role=AuditRole.SOURCE),
            _process(source, called, role=AuditRole.DESTINATION),
        ),
        objects=(
            AuditedObject(
                kind=AuditedKind.NODE, object_id=called, name=service, details={"service": service}
            ),
        ),
        repeats=repeats,
    )


def console_action(
    source: AuditSource,
    user: str,
    action: str,
    acted_on: AuditedObject,
    *,
    failure: str = "",
) -> AuditRecord:
    """Return the record of what a person does to the mesh."""
    return AuditRecord(
        event=AuditEvent.SECURITY_ALERT,
        types=(AuditEventType.USE_OF_RESTRICTED_FUNCTION,),
        outcome=AuditOutcome.MINOR_FAILURE if failure else AuditOutcome.SUCCESS,
        description=f"{action}: {failure}" if failure else action,
        participants=(
            AuditParticipant(
                user_id=user, requestor=True, role=AuditRole.APPLICATION_LAUNCHER, host=source.host
            ),
            _process(source),
        ),
        objects=(acted_on,),
    )


def _process(source: AuditSource, *ae_titles: str, role: AuditRole | None = None) -> AuditParticipant:
    return AuditParticipant(
        user_id=str(source.pid), ae_titles=ae_titles, requestor=False, role=role, host=source.host
    )


def _configuration(source: AuditSource, details: Mapping[str, str]) -> AuditedObject:
    return AuditedObject(
        kind=AuditedKind.CONFIGURATION, object_id=f"{source.zone}.{source.service}", details=details
    )
