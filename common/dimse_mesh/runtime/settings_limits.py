"""What one peer, and all of them, may take of a front-end before and after they are let in."""

from __future__ import annotations

from pydantic import Field

from dimse_mesh.runtime.settings_fields import Count, CountOrUnlimited, SettingsModel


class AssociationLimits(SettingsModel):
    """Limits of one front-end instance, by the peer's address and by AE title.

    A connection waits from its first packet, its TLS handshake included, until its A-ASSOCIATE-RQ is admitted.
    """

    waiting: Count = Field(
        default=4096,
        description="connections that wait; with more, the address that holds most loses its longest-waiting one",
    )
    waiting_per_address: Count = Field(
        default=128,
        description="connections from one address that wait; with more, those that are silent longest are closed",
    )
    waiting_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=512 * 1024,
        le=1 << 30,
        description="bytes that connections which wait have sent, in all; beyond it the one that sends is closed",
    )
    associations_per_address: CountOrUnlimited = Field(
        default=2048,
        description="open associations from one address; more are rejected, transient; 0: no limit",
    )
    associations_per_calling_ae: CountOrUnlimited = Field(
        default=0,
        description="open associations of one calling AE title; more are rejected, transient; 0: no limit",
    )
    associations_per_called_ae: CountOrUnlimited = Field(
        default=0,
        description="open associations to one called AE title; more are rejected, transient; 0: no limit",
    )
    openings_per_second: CountOrUnlimited = Field(
        default=100,
        description="associations that one address may open a second, in the long run; more are rejected, transient; "
        "0: no limit",
    )
    openings_at_once: Count = Field(
        default=20_000, description="associations that one address may open in a burst, after a rest"
    )
    calling_ae_openings_per_second: CountOrUnlimited = Field(
        default=0,
        description="the same of one calling AE title, of those let in; 0: no limit, since a title proves nothing: "
        "whoever says it would use it up for whom it belongs to",
    )
    calling_ae_openings_at_once: Count = Field(
        default=20_000, description="associations that one calling AE title may open in a burst, after a rest"
    )
    called_ae_openings_per_second: CountOrUnlimited = Field(
        default=0,
        description="the same to one called AE title; 0: no limit, since one caller would use it up for all",
    )
    called_ae_openings_at_once: Count = Field(
        default=20_000,
        description="associations that may be opened to one called AE title in a burst, after a rest",
    )
