"""The part of the custom resource that says where associations go."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from dimse_mesh.operator.fields import AeTitle, ResourceModel, Token, refused_by
from dimse_mesh.runtime.routing import CommitmentMode, Delivery, DimseService
from dimse_mesh.runtime.settings_encryption import RouteEncryption
from dimse_mesh.schemas.spool_subjects import RoutePriority


class DestinationSpec(ResourceModel):
    """Where a route leads: an AE, or whatever a zone calls its default target."""

    model_config = refused_by(("has(self.ae) != has(self.zone)", "give exactly one of ae and zone"))

    ae: AeTitle | None = Field(default=None, description="AE title of a remote AE of any zone.")
    zone: Token | None = Field(default=None, description="A zone (channel).")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.ae is None) == (self.zone is None):
            raise ValueError("give exactly one of ae and zone")
        return self


class AcceptedContexts(ResourceModel):
    """Presentation contexts that the destination of a durable route accepts."""

    sop_class: str = Field(
        default="*",
        pattern=r"^[0-9.*?]{1,64}$",
        description="SOP class UID, or a pattern of UIDs with `*` or `?`.",
    )
    transfer_syntaxes: list[Annotated[str, Field(pattern=r"^[0-9.]{1,64}$")]] = Field(
        min_length=1, max_length=64, description="Transfer syntax UIDs."
    )


class RouteSpec(ResourceModel):
    """A rule for associations that arrive at this zone's listeners; the first match wins."""

    model_config = refused_by(
        ("self.delivery != 'durable' || has(self.to)", "a durable route names its destination: to"),
        ("!has(self.also) || self.delivery == 'durable'", "several destinations need delivery: durable"),
    )

    called: str = Field(
        default="*", min_length=1, max_length=64, description="Called AE title, with `*` and `?`."
    )
    calling: str = Field(
        default="*", min_length=1, max_length=64, description="Calling AE title, with `*` and `?`."
    )
    to: DestinationSpec | None = Field(
        default=None, description="The destination. Absent: the called AE title itself."
    )
    also: list[DestinationSpec] = Field(
        default_factory=list, max_length=16, description="Durable: more destinations of each object."
    )
    delivery: Delivery = Field(
        default=Delivery.LIVE,
        description="What a success status promises: `live`, it is the target's own; `durable`, the object is on "
        "the disk of this zone's NATS. The zone of the destination sets `delivery`.",
    )
    accepts: list[AcceptedContexts] | None = Field(
        default=None,
        max_length=256,
        description="Durable: what the destination accepts. Absent: what it has said, or a guess until then.",
    )
    commitment: CommitmentMode | None = Field(
        default=None,
        description="Durable: storage commitment is reported when the destinations have answered C-STORE (`delivered`, "
        "the default), or have confirmed it by their own storage commitment (`target`), or not offered (`none`).",
    )
    priority: RoutePriority | None = Field(
        default=None,
        description="Durable: which objects a destination gets first: those of routes with `high`, `medium` (the "
        "default) or `low`.",
    )
    called_ae: AeTitle | None = Field(
        default=None, alias="calledAE", description="Called AE title to send instead of the client's."
    )
    calling_ae: AeTitle | None = Field(
        default=None, alias="callingAE", description="Calling AE title to send instead of the client's."
    )
    encryption: RouteEncryption | None = Field(
        default=None,
        description="`required`: nothing goes to the destination unless it is encrypted. Absent: as `encryption` says "
        "of its zone.",
    )
    allow: list[DimseService] | None = Field(
        default=None, min_length=1, max_length=16, description="DIMSE services that may pass. Absent: all."
    )
    allow_from_target: list[DimseService] | None = Field(
        default=None,
        max_length=16,
        description="DIMSE services that the target may ask the client for. Absent: what `allow` implies.",
    )

    @model_validator(mode="after")
    def _durable(self) -> Self:
        if self.delivery is Delivery.DURABLE and self.to is None:
            raise ValueError("a durable route names its destination: to")
        if self.also and self.delivery is not Delivery.DURABLE:
            raise ValueError("several destinations need delivery: durable")
        return self
