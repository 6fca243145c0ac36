"""When clients are refused because of what is kept."""

from __future__ import annotations

import pytest

from dimse_mesh.runtime.settings_durable import HighWaterSettings
from dimse_mesh.store.room import disk_share, refusing

SETTINGS = HighWaterSettings(spool_share=0.9, disk_share=0.8, margin=0.1)


@pytest.mark.parametrize(
    ("before", "spool", "disk", "frozen", "expected"),
    [
        ("", 0.89, 0.79, False, ""),
        ("", 0.9, 0.0, False, "full"),
        ("full", 0.81, 0.0, False, "full"),
        ("full", 0.79, 0.0, False, ""),
        ("", 0.0, 0.8, False, "disk"),
        ("disk", 0.0, 0.71, False, "disk"),
        ("disk", 0.85, 0.69, False, ""),
        ("", 0.0, 0.0, True, "frozen"),
        ("frozen", 0.95, 0.0, False, "full"),
    ],
)
def test_why_clients_are_refused(before: str, spool: float, disk: float, frozen: bool, expected: str) -> None:
    why = refusing(before, SETTINGS, spool_share=spool, disk_share=disk, frozen=frozen)
    assert why == expected


def test_a_share_of_1_is_never_reached() -> None:
    never = HighWaterSettings(spool_share=1, disk_share=1)
    assert refusing("", never, spool_share=1.0, disk_share=1.0, frozen=False) == ""


def test_a_disk_that_is_not_here_is_not_watched() -> None:
    assert disk_share(None) == 0
