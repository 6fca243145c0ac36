"""The configuration of one zone: its YAML file and the environment (docs/deploy/reference.md lists every field)."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import (
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from dimse_mesh.mesh.failure_detector import LivenessSettings
from dimse_mesh.mesh.settings import NatsSettings
from dimse_mesh.runtime.routing import Delivery, Route
from dimse_mesh.runtime.settings_association import AssociationSettings
from dimse_mesh.runtime.settings_audit import AuditSettings
from dimse_mesh.runtime.settings_durable import DeliverySettings, SpoolSettings
from dimse_mesh.runtime.settings_encryption import EncryptionSettings, RouteEncryption
from dimse_mesh.runtime.settings_errors import (
    ENV_PREFIX,
    ConfigurationError,
    problems_of,
    unknown_name,
    unknown_variables,
    without_password,
)
from dimse_mesh.runtime.settings_events import EventsSettings
from dimse_mesh.runtime.settings_fields import SettingsModel, SubjectRoot, Token
from dimse_mesh.runtime.settings_mesh import MeshSettings
from dimse_mesh.runtime.settings_observability import ObservabilitySettings
from dimse_mesh.runtime.settings_policy import PolicySettings
from dimse_mesh.runtime.settings_priors import PriorsSettings
from dimse_mesh.runtime.settings_scu import ScuSettings
from dimse_mesh.runtime.yaml_file import read_yaml
from dimse_mesh.schemas.service import HANDLERS, ServiceName


class HandlerSettings(SettingsModel):
    """A handler: `store`, `query_retrieve` or `n_service`."""

    drain_timeout: float = Field(
        default=5.0, gt=0, le=3600, description="seconds that operations get when the service stops"
    )


class Instances(SettingsModel):
    """How many processes of each service `dimse-mesh up` runs."""

    association: int = Field(
        default=1, ge=0, le=64, description="front-ends; more than one needs association.reuse_port"
    )
    store: int = Field(default=1, ge=0, le=64, description="C-STORE handlers")
    query_retrieve: int = Field(default=1, ge=0, le=64, description="C-FIND, C-MOVE, C-GET handlers")
    n_service: int = Field(default=1, ge=0, le=64, description="N-* handlers")
    scu: int = Field(default=1, ge=0, le=64, description="executors")
    delivery: int | None = Field(
        default=None,
        ge=0,
        le=1,
        description="deliveries; none: 1 if a durable route of a zone under the same `up` leads to an AE of this one, "
        "or its own routes have hooks or go by origin",
    )

    def beside(self, hosted: Collection[ServiceName]) -> Self:
        """Return the same with 0 for handlers that are hosted, where their own number is not said."""
        unsaid = {handler.value for handler in hosted} - self.model_fields_set
        return self.model_copy(update=dict.fromkeys(unsaid, 0))

    def of(self, service: ServiceName) -> int:
        """Return the number of instances of `service`, as configured: 0 where nothing is said."""
        count: int | None = getattr(self, service.value)
        return count or 0


class ZoneSettings(BaseSettings):
    """One zone. Environment variables (`DIMSE_MESH_`, nested by `__`) win over the file."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        env_parse_none_str="null",
    )

    zone: Token = Field(description="name of the zone: one subject token")
    subject_root: SubjectRoot = Field(default="DIMSE", description="first token(s) of every subject")
    nats: NatsSettings = Field(default_factory=NatsSettings, description="how to reach NATS")
    association: AssociationSettings = Field(default_factory=AssociationSettings, description="the front-end")
    store: HandlerSettings = Field(default_factory=HandlerSettings, description="the C-STORE handler")
    query_retrieve: HandlerSettings = Field(
        default_factory=HandlerSettings, description="the C-FIND, C-MOVE, C-GET handler"
    )
    n_service: HandlerSettings = Field(default_factory=HandlerSettings, description="the N-* handler")
    scu: ScuSettings = Field(default_factory=ScuSettings, description="the executor")
    routes: tuple[Route, ...] = Field(
        default=(), description="first match wins; none: the called AE title is the destination"
    )
    policy: PolicySettings = Field(default_factory=PolicySettings, description="who may do what")
    spool: SpoolSettings = Field(
        default_factory=SpoolSettings, description="what is kept of durable routes, in their source zone"
    )
    delivery: DeliverySettings = Field(
        default_factory=DeliverySettings, description="deliveries of durable routes to this zone's AEs"
    )
    events: EventsSettings = Field(
        default_factory=EventsSettings,
        description="what happens in this zone, published for whoever acts on it",
    )
    priors: PriorsSettings = Field(
        default_factory=PriorsSettings, description="earlier studies fetched when a new one arrives"
    )
    encryption: EncryptionSettings | None = Field(
        default=None, description="end-to-end encryption of data sets; none: there is none"
    )
    mesh: MeshSettings = Field(default_factory=MeshSettings, description="streams over NATS")
    liveness: LivenessSettings = Field(default_factory=LivenessSettings, description="who is alive")
    observability: ObservabilitySettings = Field(
        default_factory=ObservabilitySettings, description="logs, traces, metrics, health"
    )
    audit: AuditSettings | None = Field(default=None, description="audit trail; none: none is kept")
    instances: Instances = Field(
        default_factory=Instances,
        description="processes per service under up: one number for all, or one for each; a hosted handler has none "
        "if its own isn't said",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings' signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: environment, then the file."""
        return env_settings, init_settings

    @field_validator("instances", mode="wrap")
    @classmethod
    def _one_number_for_all(cls, value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        if not isinstance(value, int) or isinstance(value, bool):
            return validate(value)
        made = validate(dict.fromkeys(Instances.model_fields.keys() - {"delivery"}, value))
        # It is said of no handler: a hosted one needs no process.
        made.model_fields_set.difference_update(HANDLERS)
        return made

    @model_validator(mode="after")
    def _durable_routes_name_their_destination(self) -> Self:
        for number, route in enumerate(self.routes):
            if route.delivery is Delivery.DURABLE and route.to is None:
                raise ValueError(
                    f"routes[{number}].to: a durable route names its destination, {{ae: TITLE}} or {{zone: NAME}}"
                )
        return self

    @model_validator(mode="after")
    def _encrypted_routes_have_keys(self) -> Self:
        for number, route in enumerate(self.routes):
            if route.encryption is RouteEncryption.REQUIRED and self.encryption is None:
                raise ValueError(f"routes[{number}].encryption: needs the section encryption, with keys")
        if self.encryption is not None and self.zone in self.encryption.zones:
            raise ValueError(f"encryption.zones: {self.zone!r} is this zone; its keys are in encryption.keys")
        return self

    @model_validator(mode="after")
    def _durable_destinations_have_keys(self) -> Self:
        if self.encryption is None:
            return self
        known = {self.zone, *self.encryption.zones}
        for number, route in enumerate(self.routes):
            for destination in route.destinations if route.delivery is Delivery.DURABLE else ():
                if destination.zone is not None and destination.zone not in known:
                    raise ValueError(
                        f"routes[{number}].to: objects are kept encrypted, and encryption.zones has no key of zone "
                        f"{destination.zone!r}"
                    )
        return self

    def hosted_by(self, service: ServiceName) -> tuple[ServiceName, ...]:
        """Return the handlers that run in the processes of `service`."""
        endpoint = {ServiceName.ASSOCIATION: self.association, ServiceName.SCU: self.scu}.get(service)
        return () if endpoint is None else tuple(map(ServiceName, endpoint.hosted_handlers))

    @property
    def processes(self) -> Instances:
        """How many processes of each service are wanted: none of a handler that is hosted, if not said."""
        return self.instances.beside(
            {handler for endpoint in ServiceName for handler in self.hosted_by(endpoint)}
        )

    @property
    def is_durable(self) -> bool:
        """Whether some route is durable."""
        return any(route.delivery is Delivery.DURABLE for route in self.routes)

    @property
    def has_hooks(self) -> bool:
        """Whether some route has hooks."""
        return any(route.hooks for route in self.routes)

    @property
    def has_routes_by_origin(self) -> bool:
        """Whether some route leads to where a study came from."""
        return any(route.by_origin for route in self.routes)

    @property
    def takes_on(self) -> bool:
        """Whether its delivery service takes objects of its own routes on to their destinations' queues."""
        return self.has_hooks or self.has_routes_by_origin

    @model_validator(mode="after")
    def _what_is_named_is_there(self) -> Self:
        problems = [*self._unknown_ports(), *self._unknown_aes(), *self._zone_without_default()]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _unknown_ports(self) -> Iterator[str]:
        ports = [listener.port for listener in self.association.listeners]
        for number, rule in enumerate(self.policy.admission):
            for port in rule.listeners or ():
                if port not in ports:
                    where = f"policy.admission[{number}].listeners"
                    yield unknown_name(where, port, "the ports of association.listeners", ports)

    def _unknown_aes(self) -> Iterator[str]:
        served = [remote.ae_title for remote in self.scu.remote_aes]
        named = [(f"delivery.pace[{number}].ae", pace.ae) for number, pace in enumerate(self.delivery.pace)]
        for number, rule in enumerate(self.priors.rules):
            named += [(f"priors.rules[{number}].arriving_at", title) for title in rule.arrivals]
        for where, title in named:
            if title not in served:
                yield unknown_name(where, title, "scu.remote_aes", served)

    def _zone_without_default(self) -> Iterator[str]:
        if not self.scu.remote_aes or self.scu.default_ae is not None:
            return  # without any AE it may be the file of a process that is no executor
        for number, route in enumerate(self.routes):
            if any(destination.zone == self.zone for destination in route.destinations):
                yield (
                    f"routes[{number}].to: zone {self.zone!r} is this zone, and none of scu.remote_aes is its "
                    "default; set default: true at one, or name it: {ae: TITLE}"
                )

    @model_validator(mode="after")
    def _each_ae_is_paced_once(self) -> Self:
        titles = [pace.ae for pace in self.delivery.pace]
        for number, title in enumerate(titles):
            if title in titles[:number]:
                raise ValueError(f"delivery.pace[{number}].ae: {title!r} stands here twice")
        return self

    @model_validator(mode="after")
    def _priors_hear_of_arrivals(self) -> Self:
        if self.priors.rules and not self.events.enabled:
            raise ValueError("priors.rules: new studies are known by events: events.enabled: true")
        return self

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        if self.instances.association > 1 and not self.association.reuse_port:
            raise ValueError("instances.association: more than 1 needs association.reuse_port: true")
        http = self.observability.http
        if http is not None and http.port and any(at.port == http.port for at in self.association.listeners):
            raise ValueError(f"observability.http.port: {http.port} is a port of association.listeners too")
        return self


def load_settings(path: Path) -> ZoneSettings:
    """Read a zone's YAML file, lay the environment over it, and validate.

    Raises:
        ConfigurationError: with one line for each problem: file, field, what was given, what is allowed.
    """
    return settings_from(read_yaml(path), source=str(path))


def settings_from(data: dict[str, Any], *, source: str) -> ZoneSettings:
    """Validate `data` with the environment laid over it; `source` names it in errors.

    Raises:
        ConfigurationError: with one line for each problem.
    """
    names = [name for name in data if not isinstance(name, str)]
    if names:
        raise ConfigurationError([f"{source}: field names are text, not {names[0]!r}"])
    unknown = unknown_variables(ZoneSettings, os.environ)
    if unknown:
        raise ConfigurationError(unknown)
    try:
        return ZoneSettings(**data)
    except ValidationError as error:
        raise ConfigurationError(problems_of(error, source, ZoneSettings, os.environ)) from error
    except SettingsError as error:
        raise ConfigurationError(
            [f"{_unreadable(str(error))}: lists and sections are written as JSON"]
        ) from error


def _unreadable(text: str) -> str:
    """Name the environment variables that can't be read; pydantic-settings tells of their section alone."""
    section = re.search(r'field "(\w+)"', text)
    start = "" if section is None else f"{ENV_PREFIX}{section[1]}".upper()
    given = [name for name in sorted(os.environ) if name.upper().partition("__")[0] == start]
    return f"environment variable {' or '.join(given)}" if given else f"environment: {text}"


def dump_complete(settings: ZoneSettings) -> str:
    """Return the settings as YAML, complete with defaults, secrets masked."""
    complete = settings.model_copy(update={"instances": settings.processes})
    data = _masked(complete.model_dump(mode="json", by_alias=True))
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _masked(value: Any) -> Any:
    """Return what was dumped, without the user information and the query of any URL in it."""
    if isinstance(value, dict):
        return {name: _masked(below) for name, below in value.items()}
    if isinstance(value, list):
        return [_masked(below) for below in value]
    return without_password(value) if isinstance(value, str) and "://" in value else value
