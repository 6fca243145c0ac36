"""Audit messages as XML (PS3.15 A.5.1, the schema of A.5.1.1)."""

from __future__ import annotations

import base64
import ipaddress
import re
from datetime import UTC, datetime
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from dimse_mesh.audit.codes import Code
from dimse_mesh.audit.records import AuditedObject, AuditParticipant, AuditRecord
from dimse_mesh.audit.source import AuditSource

APPLICATION_SERVER: Final = "4"
"""AuditSourceTypeCode: an application server process (PS3.15 A.5.1.2.1)."""
SYSTEM_OBJECT: Final = "2"
"""ParticipantObjectTypeCode."""
MOST_TEXT: Final = 256
"""Characters of a text that a peer may have chosen."""
MOST_QUERY: Final = 4096
"""Bytes of an identifier."""
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def audit_message(record: AuditRecord, source: AuditSource) -> str:
    """Return the message: one line of XML, without a declaration."""
    event = [
        _coded("EventID", record.event.value),
        *(_coded("EventTypeCode", kind.value) for kind in record.types),
    ]
    if record.description:
        event.append(f"<EventOutcomeDescription>{_text(record.description)}</EventOutcomeDescription>")
    parts = [
        _element(
            "EventIdentification",
            event,
            EventActionCode=record.action,
            EventDateTime=timestamp(record.at),
            EventOutcomeIndicator=str(record.outcome.value),
        ),
        *map(_participant, record.participants),
        _element(
            "AuditSourceIdentification",
            [f'<AuditSourceTypeCode csd-code="{APPLICATION_SERVER}"/>'],
            AuditEnterpriseSiteID=source.site,
            AuditSourceID=source.name,
        ),
        *map(_object, record.objects),
    ]
    return _element("AuditMessage", parts)


def timestamp(seconds: float) -> str:
    """Return a moment as XML Schema and RFC 5424 write it, in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _participant(participant: AuditParticipant) -> str:
    address: dict[str, str] = {}
    if participant.host:
        address["NetworkAccessPointID"] = participant.host
        address["NetworkAccessPointTypeCode"] = "2" if _is_address(participant.host) else "1"
    return _element(
        "ActiveParticipant",
        [] if participant.role is None else [_coded("RoleIDCode", participant.role.value)],
        UserID=participant.user_id or "unknown",
        AlternativeUserID=f"AETITLES={';'.join(participant.ae_titles)}" if participant.ae_titles else "",
        UserName=participant.name,
        UserIsRequestor="true" if participant.requestor else "false",
        **address,
    )


def _object(item: AuditedObject) -> str:
    inner = [_coded("ParticipantObjectIDTypeCode", item.kind.value)]
    if item.query is not None:
        inner.append(f"<ParticipantObjectQuery>{_base64(item.query[:MOST_QUERY])}</ParticipantObjectQuery>")
    else:
        inner.append(f"<ParticipantObjectName>{_text(item.name or item.object_id)}</ParticipantObjectName>")
    for name, value in item.details.items():
        encoded = _base64(value[:MOST_TEXT].encode("utf-8", "replace"))
        inner.append(f"<ParticipantObjectDetail type={_quoted(name)} value={_quoted(encoded)}/>")
    if item.instances:
        classes = "".join(
            f"<SOPClass UID={_quoted(uid)} NumberOfInstances={_quoted(str(count))}/>"
            for uid, count in item.instances.items()
        )
        inner.append(f"<ParticipantObjectDescription>{classes}</ParticipantObjectDescription>")
    return _element(
        "ParticipantObjectIdentification",
        inner,
        ParticipantObjectID=item.object_id or "unknown",
        ParticipantObjectTypeCode=SYSTEM_OBJECT,
    )


def _element(tag: str, inner: list[str], **attributes: str) -> str:
    """Return an element; an attribute without a value is left out."""
    given = "".join(f" {name}={_quoted(value)}" for name, value in attributes.items() if value)
    return f"<{tag}{given}>{''.join(inner)}</{tag}>" if inner else f"<{tag}{given}/>"


def _coded(tag: str, code: Code) -> str:
    return (
        f"<{tag} csd-code={_quoted(code.value)} codeSystemName={_quoted(code.system)}"
        f" displayName={_quoted(code.meaning)} originalText={_quoted(code.meaning)}/>"
    )


def _clean(text: str) -> str:
    """Return text without what XML 1.0 can't hold, and not too much of it."""
    return _NOT_XML.sub("\ufffd", text[:MOST_TEXT])


def _text(text: str) -> str:
    return escape(_clean(text), {"\n": "&#10;", "\r": "&#13;"})


def _quoted(text: str) -> str:
    return quoteattr(_clean(text), {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
