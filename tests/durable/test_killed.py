"""Whoever is killed: what was acknowledged arrives, identical and in order."""

from __future__ import annotations

import os
import random
from functools import partial
from pathlib import Path

import pytest

from tests.durable.modality import Modality, check, has_all
from tests.durable.site import Inbox, site

VICTIMS = ("hospital/association", "cloud/delivery", "cloud/scu", "nats-server", "hospital/store")


def kills(directory: Path, count: int) -> str:
    """Kill somebody so often while two modalities store; return what to print."""
    chance = random.Random(7)
    inbox = Inbox()
    with site(directory) as where, where.destination(inbox):
        with Modality(where, "CT1", 1) as first, Modality(where, "MR1", 2) as second:
            modalities = (first, second)
            for victim in [*VICTIMS, *chance.choices(VICTIMS, k=count - len(VICTIMS))]:
                seen = [len(modality.acknowledged) for modality in modalities]
                where.kill(victim)
                for modality, before in zip(modalities, seen, strict=True):
                    where.wait_until(
                        partial(modality.has_more_than, before), f"{modality.calling} stores again"
                    )
        for modality in modalities:
            where.wait_until(partial(has_all, inbox, modality), "everything acknowledged arrives")
        again = sum(check(inbox, modality) for modality in modalities)
    stored = sum(len(modality.acknowledged) for modality in modalities)
    return f"{count} kills, {stored} objects acknowledged, 0 lost, 0 damaged, {again} delivered twice"


def test_kills_of_every_service_and_of_nats_server(tmp_path: Path) -> None:
    kills(tmp_path, 8)


@pytest.mark.soak
def test_soak_of_kills(tmp_path: Path) -> None:
    print(kills(tmp_path, int(os.environ.get("SOAK_KILLS", "200"))))
