"""The `policy explain` command: what a zone's policy would answer, and which line of its file decides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from dimse_mesh.dimse import CommandField
from dimse_mesh.policy import (
    AdmissionQuestion,
    ConfiguredPolicy,
    OpeningQuestion,
    OperationQuestion,
    PeerCertificate,
    Side,
    Verdict,
)
from dimse_mesh.runtime.routing import Destination, DimseService, Route, index_of_route, route_for
from dimse_mesh.runtime.settings import ZoneSettings, load_settings
from dimse_mesh.runtime.settings_association import Listener
from dimse_mesh.runtime.settings_errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A peer and what it asks for.

    Attributes:
        port: of the listener; None: the zone's only one, or the first.
        service: None: the association alone.
        from_target: whether the target asks, on the client's association.
        user: the user name of its User Identity item; empty: it names none.
        from_zone: the zone that asks for the target; empty: this one. Of another zone's client this zone decides on
            the target alone.
    """

    peer: str
    calling: str
    called: str
    service: DimseService | None = None
    from_target: bool = False
    port: int | None = None
    certificate: PeerCertificate | None = None
    user: str = ""
    from_zone: str = ""


_USERNAME = 1
"""Type of a User Identity item that is a user name alone (PS3.7 §D.3.3.7.1)."""


def dimse_service(name: str) -> DimseService:
    """Return the DIMSE service of that name.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        return DimseService(name.upper())
    except ValueError as error:
        known = ", ".join(service.value for service in DimseService)
        raise ConfigurationError([f"--service: {name!r} is none of {known}"]) from error


def peer_address(text: str) -> str:
    """Return the address of a peer.

    Raises:
        ConfigurationError: it is none: rules with networks would be passed over.
    """
    try:
        ip_address(text)
    except ValueError as error:
        raise ConfigurationError([f"--from: {text!r} is no IP address"]) from error
    return text


def explain(file: Path, case: Case) -> int:
    """Print what would happen, a line for each step; return 0 when it is permitted, else 1.

    Raises:
        ConfigurationError: the file can't be used, or has no such listener.
    """
    settings = load_settings(file)
    permitted = True
    for step, answer, why in steps(settings, case):
        print(f"{step:<10} {answer:<8} {why}".rstrip())
        permitted = permitted and answer != "refused"
    return 0 if permitted else 1


def steps(settings: ZoneSettings, case: Case) -> Iterator[tuple[str, str, str]]:
    """Yield each step with its answer and the setting that decides; the last one may be a refusal.

    Raises:
        ConfigurationError: there is no such listener.
    """
    policy = ConfiguredPolicy.of(settings)
    if case.from_zone not in {"", settings.zone}:
        served, default = {remote.ae_title for remote in settings.scu.remote_aes}, settings.scu.default_ae
        if case.called not in served and default is None:
            yield "target", "refused", f"scu.remote_aes: this zone serves no AE {case.called}"
            return
        target = case.called if default is None or case.called in served else default.ae_title
        yield from _target(settings, policy, case, target, case.calling)
        return
    listener = _listener(settings, case.port)
    admission = policy.admission_verdict(
        AdmissionQuestion(
            peer_host=case.peer,
            port=listener.port,
            certificate=case.certificate,
            called_ae=case.called,
            calling_ae=case.calling,
            protocol_version=1,
            user_identity=(_USERNAME, case.user.encode()) if case.user else None,
            listener=listener.ae_titles,
            open_associations=0,
            draining=False,
        )
    )
    yield _step("admission", admission)
    if admission.refusal is not None:
        return
    yield "route", "", _route(settings, case)
    route = route_for(settings.routes, called=case.called, calling=case.calling)
    for answer in _target(
        settings, policy, case, _own_target(settings, route), route.calling_ae or case.calling
    ):
        yield answer
        if answer[1] == "refused":
            return
    if case.service is None:
        return
    operation = policy.operation_verdict(
        OperationQuestion(
            command_field=CommandField[f"{case.service.name}_RQ"],
            service=case.service.value,
            called_ae=case.called,
            calling_ae=case.calling,
            from_client=not case.from_target,
        )
    )
    yield _step("operation", operation)


def _own_target(settings: ZoneSettings, route: Route) -> str:
    """Return the title of the AE of this zone that a route leads to; empty: it leads elsewhere."""
    if route.to is None:
        return ""
    default = settings.scu.default_ae
    if route.to.zone is not None:
        return default.ae_title if default is not None and route.to.zone == settings.zone else ""
    return route.to.ae or ""


def _target(
    settings: ZoneSettings, policy: ConfiguredPolicy, case: Case, target: str, calling: str
) -> Iterator[tuple[str, str, str]]:
    """Yield what this zone's executor would say, if it serves the target."""
    if target not in {remote.ae_title for remote in settings.scu.remote_aes}:
        return
    yield _step(
        "target",
        policy.opening_verdict(
            OpeningQuestion(
                side=Side.EXECUTOR,
                from_zone=case.from_zone or settings.zone,
                called_ae=case.called,
                calling_ae=calling,
                target=target,
            )
        ),
    )


def _listener(settings: ZoneSettings, port: int | None) -> Listener:
    for listener in settings.association.listeners:
        if port in {None, listener.port}:
            return listener
    if port is None:
        return Listener(port=0)
    raise ConfigurationError([f"--listener: the zone {settings.zone} listens on no port {port}"])


def _step(name: str, verdict: Verdict) -> tuple[str, str, str]:
    if verdict.refusal is None:
        return name, "permitted", verdict.rule or "no rule speaks against it"
    refusal = verdict.refusal
    answer = "" if refusal.rejection is None else f": A-ASSOCIATE-RJ {refusal.rejection.describe()}"
    return name, "refused", f"{verdict.rule or 'always'}: {refusal.code}{answer}"


def _route(settings: ZoneSettings, case: Case) -> str:
    index = index_of_route(settings.routes, called=case.called, calling=case.calling)
    route = route_for(settings.routes, called=case.called, calling=case.calling)
    where = "no route matches" if index is None else f"routes[{index}]"
    return f"{where}: to {_destination(route)}, {route.delivery.value}"


def _destination(route: Route) -> str:
    named = (route.to or Destination.model_construct(ae=None, zone=None), *route.also)
    else_ = " and ".join(map(_named, dict.fromkeys(named)))
    by_origin = [f"{_named(to)} if its study came from zone {zone}" for zone, to in route.by_origin.items()]
    return ", ".join([*by_origin, f"else {else_}" if by_origin else else_])


def _named(to: Destination) -> str:
    return f"zone {to.zone}" if to.zone is not None else f"AE {to.ae}"
