"""Under the supervisor, whoever is killed: what was acknowledged arrives, identical and in order."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tests.durable.modality import Modality, check, has_all
from tests.durable.site import Inbox, site

VICTIMS = ("hospital/association", "cloud/delivery", "cloud/scu", "nats-server", "hospital/store")


def test_what_the_supervisor_starts_again_loses_nothing(tmp_path: Path) -> None:
    inbox = Inbox()
    with site(tmp_path) as where, where.destination(inbox):
        with Modality(where, "CT1", 1) as first, Modality(where, "MR1", 2) as second:
            modalities = (first, second)
            for victim in VICTIMS:
                seen = [len(modality.acknowledged) for modality in modalities]
                where.kill(victim)
                for modality, before in zip(modalities, seen, strict=True):
                    where.wait_until(
                        partial(modality.has_more_than, before), f"{modality.calling} stores again"
                    )
        for modality in modalities:
            where.wait_until(partial(has_all, inbox, modality), "everything acknowledged arrives")
            check(inbox, modality)
