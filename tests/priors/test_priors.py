"""A new study arrives, and the patient's earlier ones are moved: by the rules, and never twice."""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.priors.site import INSTANCES, PATIENCE, Held, PriorsSite, priors_site, study_uid

ARRIVALS = int(os.environ.get("PRIORS_ARRIVALS", "1000"))


def held(number: int, patient: str, date: str, *, modality: str = "CT", part: str = "") -> Held:
    """Return a study of the PACS."""
    return Held(study_uid(number), patient, date, modality, body_part=part)


def test_the_priors_of_a_new_study_are_moved(tmp_path: Path) -> None:
    with priors_site(tmp_path, {"years": 5, "most": 2}) as where:
        where.archive.add(
            held(100, "P1", "20230101"),
            held(101, "P1", "20220101"),
            held(102, "P1", "20210101"),  # the third: one too many
            held(103, "P1", "20100101"),  # too old
            held(104, "P1", "20230601", modality="MR"),  # another modality
            held(105, "P2", "20230601"),  # another patient
            held(106, "P1", "20250101"),  # later than the new one
            held(110, "", "20230101"),
        )
        where.start()
        study = where.arrive(1, patient="P1", instances=3)
        where.wait_until(
            lambda: where.viewer.has(study_uid(100)) and where.viewer.has(study_uid(101)), "two priors come"
        )
        # What was moved is no new study itself; another new one of the patient gets what is missing, which is nothing.
        second = where.arrive(2, patient="P1")
        # A Patient ID that would find others is not asked for.
        others = {
            where.arrive(11 + number, patient=patient) for number, patient in enumerate(("", "*", "P?"))
        }
        third = where.arrive(3, patient="P2")
        where.wait_until(lambda: where.viewer.has(study_uid(105)), "the other patient's prior comes")
        where.stop()
        assert where.archive.begun == {study_uid(100): 1, study_uid(101): 1, study_uid(105): 1}
        assert set(where.viewer.got) == {study, second, third, *others, *where.archive.begun}
        logs = "".join(path.read_text() for path in tmp_path.glob("priors-*.log"))
    assert "2 priors of study" in logs
    assert "P1" not in logs


def test_a_body_part_may_be_asked_for(tmp_path: Path) -> None:
    with priors_site(tmp_path, {"same_body_part": True}) as where:
        where.archive.add(
            held(21, "P1", "20240229", part="CHEST"),
            held(120, "P1", "20230101", part="CHEST"),
            held(121, "P1", "20220101", part="FOOT"),
            held(122, "P1", "20210101"),
        )
        where.start()
        where.arrive(21, patient="P1")
        where.wait_until(
            lambda: where.viewer.has(study_uid(120)) and where.viewer.has(study_uid(122)), "two priors come"
        )
        where.stop()
        assert where.archive.begun == {study_uid(120): 1, study_uid(122): 1}


def test_a_pacs_that_fails_is_asked_again_and_a_study_by_hand(tmp_path: Path) -> None:
    with priors_site(tmp_path) as where:
        where.archive.add(held(130, "P1", "20230101"))
        where.archive.status = 0xA700
        where.start()
        study = where.arrive(31, patient="P1")
        where.wait_until(lambda: where.archive.finds > 1, "the PACS was asked twice")
        where.archive.status = 0
        where.wait_until(lambda: where.viewer.has(study_uid(130)), "the prior comes")
        where.stop()
        child = where.now(study)
        assert "0 studies moved" in child.output
        assert where.archive.begun == {study_uid(130): 1}


def no_move_is_repeated(where: PriorsSite, arrivals: int, restarts: int) -> None:
    """Let new studies arrive in bursts, while `dimse-mesh priors` is stopped and killed; count what the PACS moved."""
    chance = random.Random(1)
    patients = max(2, arrivals // 4)
    for patient in range(patients):
        for year in range(3):
            number = 10_000 + patient * 3 + year
            where.archive.add(held(number, f"P{patient}", f"20{20 + year}0101"))
    where.start()
    bursts = [range(start, min(start + 10, arrivals)) for start in range(0, arrivals, 10)]
    stops = set(chance.sample(range(len(bursts)), min(restarts, len(bursts))))
    wanted: set[str] = set()
    with ThreadPoolExecutor(5) as modalities:
        for number, burst in enumerate(bursts):
            for arrival in burst:
                wanted |= {study_uid(10_000 + arrival % patients * 3 + year) for year in range(3)}
            jobs = [
                modalities.submit(where.arrive, 1000 + arrival, patient=f"P{arrival % patients}", first=first)
                for arrival in burst
                for first in (1, 2)  # two associations each, so two events of a study at once
            ]
            for job in jobs:
                job.result(timeout=120)
            if number in stops:
                where.stop(kill=chance.random() < 0.5)
                where.start()
    where.wait_until(
        lambda: all(where.viewer.has(study, INSTANCES) for study in wanted),
        "every prior has come",
        timeout=PATIENCE + 3 * len(wanted),
    )
    # The last of the new studies, too, have been looked at: nothing more would be moved.
    where.wait_until(lambda: where.waiting() == 0, "no new study waits", timeout=PATIENCE + arrivals)
    where.stop()
    assert set(where.archive.begun) == wanted
    assert max(where.archive.ended.values()) == 1
    print(
        f"\n{arrivals} new studies in bursts, {restarts} restarts: {len(wanted)} priors, "
        f"{sum(where.archive.begun.values())} moves begun, {sum(where.archive.ended.values())} ended, "
        f"{where.viewer.twice} objects twice"
    )


def test_no_prior_is_moved_twice_in_bursts_and_restarts(tmp_path: Path) -> None:
    with priors_site(tmp_path, at_once=4) as where:
        no_move_is_repeated(where, 30, 3)


@pytest.mark.soak
def test_no_prior_is_moved_twice_in_many_arrivals(tmp_path: Path) -> None:
    with priors_site(tmp_path, at_once=8) as where:
        no_move_is_repeated(where, ARRIVALS, 20)
