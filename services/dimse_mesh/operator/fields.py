"""Types that the parts of the custom resource share: AE titles, ports, names, addresses."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

RULES = "x-kubernetes-validations"
"""Keyword of a custom resource's schema: CEL rules."""


def _without_padding(title: str) -> str:
    """Strip the spaces that PS3.5 calls insignificant; refuse a title of nothing else (PS3.8 §9.3.2)."""
    title = title.strip(" ")
    if not title:
        raise ValueError("an AE title needs at least one character that is not a space")
    return title


def _rules(*rules: tuple[str, str]) -> dict[str, JsonValue]:
    return {RULES: [{"rule": rule, "message": message} for rule, message in rules]}


def _cidr(text: str) -> str:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError("is no CIDR, such as 192.0.2.0/24") from error
    return text


# PS3.5 §6.2, VR AE: 16 characters of the default repertoire, no backslash, no control characters.
AeTitle = Annotated[
    str,
    Field(min_length=1, max_length=16, pattern=r"^ *[!-\[\]-~][ -\[\]-~]*$"),
    AfterValidator(_without_padding),
]
Port = Annotated[int, Field(ge=1, le=65535)]
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
Quantity = Annotated[
    str,
    Field(max_length=64, pattern=r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+|[KMGTPE]i|[numkMGTPE])?$"),
]
"""https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/"""
Cidr = Annotated[
    str,
    Field(
        max_length=64,
        json_schema_extra=_rules(("isCIDR(self)", "is no CIDR, such as 192.0.2.0/24")),
    ),
    AfterValidator(_cidr),
]
Token = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\s.*>]+$")]
HostName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^\s/]+$")]


def _without_scheme(address: str) -> str:
    if re.search(r"[\s/@]", address):
        raise ValueError("host:port without a scheme, please: natsSecure decides between nats:// and tls://")
    return address


NatsAddress = Annotated[
    str,
    Field(min_length=1, max_length=512, json_schema_extra={"pattern": r"^[^\s/@]+$"}),
    AfterValidator(_without_scheme),
]


def refused_by(*rules: tuple[str, str]) -> ConfigDict:
    """Return the model configuration with CEL rules, by which the API server refuses what the model does.

    Args:
        rules: expression that must hold, and what is said otherwise.
    """
    return ConfigDict(json_schema_extra=_rules(*rules))


class ResourceModel(BaseModel):
    """Base of every part of the resource: camelCase outside, immutable, unknown fields are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)
