"""What is counted stays bounded, whatever peers answer."""

from __future__ import annotations

import pytest

from dimse_mesh.runtime.counters import MAX_REJECT_KEYS, OTHER_REJECT, SECONDS, Counters, Durations
from dimse_mesh.runtime.metrics import OTHER, reject_names


def test_rejections_of_a_target_that_answers_any_bytes_stay_bounded() -> None:
    counters = Counters()
    for number in range(5 * MAX_REJECT_KEYS):
        counters.association_rejected(number % 256, number // 256, number % 7)
    assert len(counters.rejected) <= MAX_REJECT_KEYS + 1
    assert sum(counters.rejected.values()) == 5 * MAX_REJECT_KEYS
    assert counters.rejected[OTHER_REJECT] > 0


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ((1, 1, 3), ("permanent", "service_user", "calling_ae_title_not_recognized")),
        ((2, 3, 1), ("transient", "service_provider_presentation", "temporary_congestion")),
        ((2, 3, 2), ("transient", "service_provider_presentation", "local_limit_exceeded")),
        ((1, 2, 2), ("permanent", "service_provider_acse", "protocol_version_not_supported")),
        ((1, 1, 200), ("permanent", "service_user", OTHER)),
        ((9, 9, 9), (OTHER, OTHER, OTHER)),
        (OTHER_REJECT, (OTHER, OTHER, OTHER)),
    ],
)
def test_rejections_are_named_as_the_standard_does(
    fields: tuple[int, int, int], names: tuple[str, str, str]
) -> None:
    assert reject_names(*fields) == names


def test_durations_fall_into_the_bucket_that_holds_them() -> None:
    durations = Durations()
    for seconds in (0.0, SECONDS[0], SECONDS[0] + 1e-9, SECONDS[-1] + 1):
        durations.add(seconds)
    assert durations.buckets[:2] == [2, 1]
    assert durations.buckets[-1] == 1
    assert sum(durations.buckets) == 4
