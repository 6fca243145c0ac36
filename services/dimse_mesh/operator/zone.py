"""From a DimseProxy to the zone's configuration, and to the Secrets that it needs mounted.

Every service gets its own view of the zone: listeners (and their keys) only where associations are accepted,
remote AEs (and theirs) only where associations with them are opened. So a pod holds no key that it has no use for, and
a change rolls out only the services that it concerns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from dimse_mesh.operator.names import STANDING, Component
from dimse_mesh.operator.peers import ListenerSpec, ListenerTlsSpec, PeerTls, RemoteAeSpec
from dimse_mesh.operator.resource import DimseProxySpec
from dimse_mesh.runtime.settings import ZoneSettings
from dimse_mesh.runtime.settings_fields import TlsProfile

CONFIG_DIR = "/etc/dimse-mesh"
CONFIG_FILE = f"{CONFIG_DIR}/zone.yaml"
SECRETS_DIR = "/etc/dimse-mesh-secrets"

CALLERS = frozenset({Component.SCU, Component.DELIVERY})
"""Who opens associations with the zone's remote AEs."""

ENDPOINTS = CALLERS | {Component.ASSOCIATION}
"""Who encrypts and decrypts data sets."""
ENCRYPTION_VOLUME = "encryption-keys"

TLS_KEYS = ("tls.crt", "tls.key")
CA_KEY = "ca.crt"
ROLE_KEY = "nats-key"
"""Begins the name of the volume that holds a role's own nkey seed."""


class InvalidResourceError(Exception):
    """The resource can't be carried out as it is.

    Attributes:
        problems: one line each, starting with the field's path.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class SecretUse:
    """Keys of one Secret that one purpose needs: as files, or (with `environment`) as variables."""

    secret: str
    keys: tuple[str, ...]
    field: str
    """Path in the spec, for messages."""
    volume: str = ""
    environment: Mapping[str, str] | None = None
    """Variable -> key."""

    @property
    def label(self) -> str:
        """Name the use in one word."""
        return self.volume or self.field

    def path(self, key: str) -> str:
        """Return where the file of `key` stands in the container."""
        return f"{SECRETS_DIR}/{self.volume}/{key}"


def parse_spec(spec: Mapping[str, Any]) -> DimseProxySpec:
    """Validate `spec` as it stands in the resource.

    Raises:
        InvalidResourceError: with one line per problem.
    """
    try:
        return DimseProxySpec.model_validate(spec)
    except ValidationError as error:
        raise InvalidResourceError(_lines(error, root="spec")) from error


def zone_settings(spec: DimseProxySpec, component: Component) -> dict[str, Any]:
    """Return the configuration file of `component`, as `dimse-mesh run` reads it.

    Raises:
        InvalidResourceError: a setting is not valid, with one line per problem.
    """
    document = _merged(_zone(spec, component), spec.settings)
    if component is not Component.ASSOCIATION:
        _leave_out(document, "association", "listeners")
        _leave_out(document, "policy", "admission")  # may name listeners
    if component not in CALLERS:
        _leave_out(document, "scu", "remote_aes")
        document.pop("priors", None)  # names AEs
    if component is not Component.DELIVERY:
        document.pop("delivery", None)
    _check(document)
    return document


def components(spec: DimseProxySpec) -> list[Component]:
    """Return the services that the zone has."""
    return [*STANDING, *([Component.DELIVERY] if spec.delivery is not None else [])]


def zone_name(spec: DimseProxySpec) -> str:
    """Return the name of the zone."""
    return str(spec.settings.get("zone", spec.nats_subject_channel))


def keeps_objects(spec: DimseProxySpec) -> bool:
    """Tell whether some route is durable."""
    routes = _merged({"routes": _routes(spec)}, spec.settings)["routes"]
    return any(isinstance(route, Mapping) and route.get("delivery") == "durable" for route in routes or ())


def secret_uses(spec: DimseProxySpec, component: Component) -> list[SecretUse]:
    """List the Secrets that `component` needs."""
    uses = list(_nats_uses(spec, component))
    if component in ENDPOINTS and spec.encryption is not None:
        keys = tuple(spec.encryption.key_files)
        uses.append(SecretUse(spec.encryption.keys_secret, keys, "encryption.keysSecret", ENCRYPTION_VOLUME))
    if component is Component.ASSOCIATION:
        for index, listener in enumerate(spec.listeners):
            uses += _listener_uses(index, listener)
    if component in CALLERS:
        uses += _peer_uses("target", "targetTls", spec.target_tls)
        for index, remote in enumerate(spec.remote_aes):
            uses += _peer_uses(f"ae-{index}", f"remoteAEs[{index}].tls", remote.tls)
    return uses


def all_secret_uses(spec: DimseProxySpec) -> list[SecretUse]:
    """List the Secrets that the zone needs, each use once."""
    found = {
        (use.secret, use.field, use.keys): use
        for component in components(spec)
        for use in secret_uses(spec, component)
    }
    return [found[key] for key in sorted(found)]


def _nats_uses(spec: DimseProxySpec, component: Component) -> Iterator[SecretUse]:
    if spec.nats_token_secret:
        yield SecretUse(spec.nats_token_secret, ("token",), "natsTokenSecret", "nats-token")
    if spec.nats_user_secret:
        variables = {"DIMSE_MESH_NATS__USER": "username", "DIMSE_MESH_NATS__PASSWORD": "password"}
        yield SecretUse(
            spec.nats_user_secret, ("username", "password"), "natsUserSecret", environment=variables
        )
    if spec.nats_credentials_secret:
        yield SecretUse(
            spec.nats_credentials_secret, ("credentials",), "natsCredentialsSecret", "nats-credentials"
        )
    if spec.nats_nkey_secret:
        yield SecretUse(spec.nats_nkey_secret, ("seed",), "natsNkeySecret", "nats-nkey")
    if spec.nats_keys_secret:
        volume = f"{ROLE_KEY}-{component.value}"  # in the pods' annotation each role's key stands for itself
        yield SecretUse(spec.nats_keys_secret, (_role_key(component),), "natsKeysSecret", volume)
    if spec.nats_tls and spec.nats_tls.ca_secret:
        yield SecretUse(spec.nats_tls.ca_secret, (CA_KEY,), "natsTls.caSecret", "nats-ca")
    if spec.nats_tls and spec.nats_tls.cert_secret:
        yield SecretUse(spec.nats_tls.cert_secret, TLS_KEYS, "natsTls.certSecret", "nats-cert")


def _listener_uses(index: int, listener: ListenerSpec) -> Iterator[SecretUse]:
    if listener.tls:
        field = f"listeners[{index}].tls"
        yield SecretUse(listener.tls.secret_name, TLS_KEYS, f"{field}.secretName", f"listener-{index}-cert")
        if listener.tls.ca_secret_name:
            yield SecretUse(
                listener.tls.ca_secret_name, (CA_KEY,), f"{field}.caSecretName", f"listener-{index}-ca"
            )


def _peer_uses(volume: str, field: str, tls: PeerTls | None) -> Iterator[SecretUse]:
    if tls and tls.ca_secret_name:
        yield SecretUse(tls.ca_secret_name, (CA_KEY,), f"{field}.caSecretName", f"{volume}-ca")
    if tls and tls.secret_name:
        yield SecretUse(tls.secret_name, TLS_KEYS, f"{field}.secretName", f"{volume}-cert")


def _zone(spec: DimseProxySpec, component: Component) -> dict[str, Any]:
    files = {use.volume: use for use in secret_uses(spec, component) if use.volume}
    document: dict[str, Any] = {
        "zone": spec.nats_subject_channel,
        "subject_root": spec.nats_subject_root,
        "nats": _nats(spec, component, files),
        "association": {"drain_timeout": spec.drain_seconds},
        "scu": {"drain_timeout": spec.drain_seconds},
        "routes": _routes(spec),
        "observability": {
            "log_level": spec.observability.log_level,
            "log_format": "json",
            "http": {"host": "0.0.0.0", "port": spec.observability.http_port},
        },
    }
    if component is Component.ASSOCIATION:
        document["association"]["listeners"] = [
            _listener(index, listener, files) for index, listener in enumerate(spec.listeners)
        ]
    if spec.spool is not None:
        document["spool"] = spec.spool.model_dump(mode="json", exclude_unset=True)
    if spec.delivery is not None:
        document["delivery"] = spec.delivery.model_dump(mode="json", exclude_unset=True)
    if spec.encryption is not None:
        # Handlers read no key; their file has the section because its routes may name it.
        document["encryption"] = spec.encryption.section(f"{SECRETS_DIR}/{ENCRYPTION_VOLUME}")
    if component in CALLERS:
        document["scu"]["remote_aes"] = list(_remote_aes(spec, files))
    return document


def _role_key(component: Component) -> str:
    """Return the key of the seed of a service's role, as nats-config names its file."""
    return f"{component.field}.nk"


def _nats(spec: DimseProxySpec, component: Component, files: Mapping[str, SecretUse]) -> dict[str, Any]:
    scheme = "tls" if spec.nats_secure else "nats"
    nats: dict[str, Any] = {"servers": [f"{scheme}://{part}" for part in spec.nats_url.split(",") if part]}
    if spec.nats_allow_plaintext:
        nats["allow_plaintext"] = True
    if use := files.get("nats-token"):
        nats["token_file"] = use.path("token")
    if use := files.get("nats-credentials"):
        nats["credentials"] = use.path("credentials")
    if use := files.get("nats-nkey"):
        nats["nkey_seed"] = use.path("seed")
    if use := files.get(f"{ROLE_KEY}-{component.value}"):
        nats["nkey_seed"] = use.path(_role_key(component))
    if spec.nats_tls:
        tls: dict[str, Any] = _certificates(files, "nats-ca", "nats-cert")
        if spec.nats_tls.server_name:
            tls["server_name"] = spec.nats_tls.server_name
        if spec.nats_tls.handshake_first:
            tls["handshake_first"] = True
        nats["tls"] = tls
    return nats


def _certificates(files: Mapping[str, SecretUse], authority: str, own: str) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    if use := files.get(authority):
        paths["ca"] = use.path(CA_KEY)
    if use := files.get(own):
        paths["cert"], paths["key"] = (use.path(key) for key in TLS_KEYS)
    return paths


def _listener(index: int, listener: ListenerSpec, files: Mapping[str, SecretUse]) -> dict[str, Any]:
    document: dict[str, Any] = {"host": "0.0.0.0", "port": listener.port}
    if listener.ae_titles:
        document["ae_titles"] = list(listener.ae_titles)
    if listener.tls:
        document["tls"] = _certificates(files, f"listener-{index}-ca", f"listener-{index}-cert")
        if listener.tls.require_client_cert:
            document["tls"]["require_client_cert"] = True
        document["tls"].update(_profile(listener.tls))
    return document


def _remote_aes(spec: DimseProxySpec, files: Mapping[str, SecretUse]) -> Iterator[dict[str, Any]]:
    if spec.application_entity_title and spec.target_dimse_host and spec.target_dimse_port:
        target = RemoteAeSpec(
            ae_title=spec.application_entity_title,
            host=spec.target_dimse_host,
            port=spec.target_dimse_port,
            tls=spec.target_tls,
            from_zones=spec.target_from_zones,
            default=True,
        )
        yield _remote_ae("target", target, files)
    for index, remote in enumerate(spec.remote_aes):
        yield _remote_ae(f"ae-{index}", remote, files)


def _remote_ae(volume: str, remote: RemoteAeSpec, files: Mapping[str, SecretUse]) -> dict[str, Any]:
    document = remote.model_dump(exclude={"tls"}, exclude_none=True, exclude_defaults=True)
    if remote.tls:
        document["tls"] = _certificates(files, f"{volume}-ca", f"{volume}-cert")
        if remote.tls.server_name:
            document["tls"]["server_name"] = remote.tls.server_name
        document["tls"].update(_profile(remote.tls))
    return document


def _profile(tls: ListenerTlsSpec | PeerTls) -> dict[str, str]:
    return {} if tls.profile is TlsProfile.BCP_195 else {"profile": tls.profile.value}


def _routes(spec: DimseProxySpec) -> list[dict[str, Any]]:
    routes = [
        route.model_dump(mode="json", exclude_none=True, exclude=set() if route.also else {"also"})
        for route in spec.routes
    ]
    if spec.peer:
        routes.append({"called": "*", "calling": "*", "to": {"zone": spec.peer}, "delivery": "live"})
    return routes


def _merged(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for name, value in over.items():
        below = result.get(name)
        result[name] = (
            _merged(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
        )
    return result


def _leave_out(document: dict[str, Any], section: str, field: str) -> None:
    """Take a field out of a section, which may be the resource's own."""
    found = document.get(section)
    if isinstance(found, Mapping):
        document[section] = {name: value for name, value in found.items() if name != field}


def _check(document: dict[str, Any]) -> None:
    """Hold the document against the services' own settings; files that only the pod has don't count."""
    secrets = {"token", "user", "password"} & set(document.get("nats") or {})
    problems = [f"spec.settings.nats.{name}: belongs in a Secret" for name in sorted(secrets)]
    try:
        ZoneSettings.model_validate(document)
    except ValidationError as error:
        problems += _lines(error, root="spec.settings", skip="path_not_file")
    if problems:
        raise InvalidResourceError(problems)


def _lines(error: ValidationError, *, root: str, skip: str = "") -> list[str]:
    lines: list[str] = []
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        if detail["type"] == skip:
            continue
        path = root
        for part in detail["loc"]:
            path += f"[{part}]" if isinstance(part, int) else f".{part}"
        message = detail["msg"].removeprefix("Value error, ")
        if not detail["loc"]:  # sections disagree: each line names its setting
            lines += [f"{root}.{line}" for line in message.splitlines()]
        else:
            lines.append(f"{path}: {message[:1].lower()}{message[1:]}")
    return lines
