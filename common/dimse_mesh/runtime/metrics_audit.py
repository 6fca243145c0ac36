"""Instruments of the audit trail, and of certificates (docs/audit.md and docs/security.md list them)."""

from __future__ import annotations

from collections.abc import Callable

from dimse_mesh.audit import AuditNumbers
from dimse_mesh.runtime.counters import Counters, Load
from dimse_mesh.runtime.instrument import Instrument, Values


def _audit(read: Callable[[AuditNumbers], float | None]) -> Callable[[Counters, Load | None], Values]:
    def values(counters: Counters, _: Load | None) -> Values:
        value = None if counters.audit is None else read(counters.audit())
        return [] if value is None else [(value, {})]

    return values


def _lost(counters: Counters, _: Load | None) -> Values:
    return (
        [] if counters.audit is None else [(n, {"code": code}) for code, n in counters.audit().lost.items()]
    )


def _expiries(counters: Counters, _: Load | None) -> Values:
    found = [] if counters.certificates is None else counters.certificates()
    return [(at, {"side": side}) for side, at in found]


AUDIT_INSTRUMENTS = (
    Instrument(
        "gauge",
        "dimse_mesh.certificate.expiry",
        "When our own certificate expires, in seconds since 1970, by whom it is shown to; of several the first",
        _expiries,
        "s",
    ),
    Instrument(
        "counter",
        "dimse_mesh.audit.records",
        "Audit records that this process has written",
        _audit(lambda numbers: numbers.written),
    ),
    Instrument(
        "counter",
        "dimse_mesh.audit.records.lost",
        "Audit records that were lost, by code: overflow, stopped, or removed before the repository had them",
        _lost,
    ),
    Instrument(
        "gauge",
        "dimse_mesh.audit.failing",
        "1 while audit records can't be written to disk, else 0",
        _audit(lambda numbers: float(numbers.failing)),
    ),
    Instrument(
        "gauge",
        "dimse_mesh.audit.connected",
        "1 while the audit repository can be reached, else 0; from the process that forwards",
        _audit(lambda numbers: None if numbers.connected is None else float(numbers.connected)),
    ),
    Instrument(
        "gauge",
        "dimse_mesh.audit.waiting",
        "Bytes of the audit trail that the repository has not got",
        _audit(lambda numbers: numbers.waiting),
        "By",
    ),
    Instrument(
        "gauge",
        "dimse_mesh.audit.limit",
        "Bytes that the audit trail may take (audit.max_bytes)",
        _audit(lambda numbers: numbers.limit),
        "By",
    ),
)
