"""The table of docs/interoperability.md."""

from __future__ import annotations

from collections.abc import Iterable

from tests.interop.peers.meeting import PDUS, TLS, Meeting, Results
from tests.interop.peers.model import Service

_COLUMNS = ("client", "target", *Service, "transfer syntaxes", TLS, PDUS)


def _cell(meeting: Meeting, what: str) -> str:
    direct, mesh = meeting.direct.get(what), meeting.mesh.get(what)
    if direct is None or mesh is None:
        return ""
    if direct != mesh:
        return "**differs**"
    return "yes" if mesh.good else "fails direct, too"


def _stored(meeting: Meeting) -> str:
    result = meeting.mesh.get(Service.STORE)
    if result is None or meeting.direct.get(Service.STORE) != result:
        return _cell(meeting, Service.STORE)
    return f"{len(result.arrived)} objects"


def _syntaxes(results: Results) -> str:
    stored = results.get(Service.STORE)
    return "" if stored is None else str(len({syntax for syntax, _ in stored.arrived.values()}))


def _pdu_lengths(meeting: Meeting) -> str:
    cells = {_cell(meeting, what) for what in meeting.direct if what.startswith(PDUS)}
    return ", ".join(sorted(cells))


def table(meetings: Iterable[Meeting]) -> str:
    """Return the table in Markdown."""
    lines = ["| " + " | ".join(_COLUMNS) + " |", "|" + "---|" * len(_COLUMNS)]
    for meeting in meetings:
        cells = [
            meeting.client,
            meeting.target,
            *(
                _stored(meeting) if service is Service.STORE else _cell(meeting, service)
                for service in Service
            ),
            _syntaxes(meeting.mesh),
            _cell(meeting, TLS),
            _pdu_lengths(meeting),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
