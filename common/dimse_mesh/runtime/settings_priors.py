"""Settings of priors: which earlier studies of a patient are fetched when a new one arrives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from dimse_mesh.runtime.settings_fields import AeTitle, Count, Seconds, SettingsModel

Modality = Annotated[str, Field(pattern=r"^[A-Z0-9_ ]{1,16}$")]


class PriorRule(SettingsModel):
    """One rule: for new studies at some AEs, which earlier ones a PACS is to move where."""

    pacs: AeTitle = Field(description="the AE that is asked (C-FIND), and moves them (C-MOVE)")
    to: AeTitle = Field(description="the AE that gets them, by the title that the PACS knows")
    arriving_at: tuple[AeTitle, ...] = Field(
        default=(), description="AEs of this zone whose new studies count; none: the AE that gets the priors"
    )
    modalities: tuple[Modality, ...] = Field(
        default=(), description="of new studies that have priors fetched; none: any"
    )
    prior_modalities: tuple[Modality, ...] = Field(
        default=(), description="of the priors; none: one that the new study has, too"
    )
    same_body_part: bool = Field(
        default=False,
        description="only priors of a body part of the new study (Body Part Examined); where either says none, all",
    )
    years: float = Field(default=5.0, gt=0, le=200, description="how old a prior may be")
    most: int = Field(default=3, ge=1, le=1000, description="priors for each new study, the newest first")

    @property
    def arrivals(self) -> tuple[str, ...]:
        """The AEs whose new studies count."""
        return self.arriving_at or (self.to,)


class PriorsSettings(SettingsModel):
    """Priors of new studies (docs/priors.md): `dimse-mesh priors run`."""

    rules: tuple[PriorRule, ...] = Field(
        default=(), description="each that fits is followed; none: no priors"
    )
    state: Path = Field(
        default=Path("priors.sqlite"), description="file in which is kept what was moved, and what is to be"
    )
    calling_ae: AeTitle = Field(default="DIMSE-MESH", description="the calling AE title towards the PACS")
    new_within_days: float = Field(
        default=7.0, gt=0, le=36500, description="a study that is older than this is not new when it arrives"
    )
    again_after_days: float = Field(
        default=30.0, gt=0, le=36500, description="a study that was moved is not moved again within this time"
    )
    per_minute: Count = Field(default=30, description="studies moved in a minute, at most")
    at_once: int = Field(default=2, ge=1, le=64, description="new studies worked on at once")
    attempts: int = Field(default=6, ge=1, le=100, description="for each new study")
    retry: Seconds = Field(
        default=10.0, description="seconds before the second attempt; they double, to ten minutes"
    )

    @model_validator(mode="after")
    def _each_rule_once(self) -> Self:
        keys = [(rule.pacs, rule.to, rule.arrivals) for rule in self.rules]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                raise ValueError(f"rules[{number}]: pacs, to and arriving_at are those of another rule")
        return self
