"""500 studies of 20,000 instances, with the command, the PACS and the mesh killed ten times: `make soak-cohort`."""

from __future__ import annotations

import os
import random
import time
from functools import partial
from pathlib import Path

import pytest

from tests.cohort.site import FOLDER, PACS, cohort_site, study_of
from tests.cohort.test_cohort import QUERY, kill_in_mid_pull
from tests.support.process import wait_until

STUDIES = int(os.environ.get("COHORT_STUDIES", "500"))
INSTANCES = 40
KILLS = 10


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_large_cohort(tmp_path: Path) -> None:
    chance = random.Random(1)
    with cohort_site(tmp_path, limit=100) as site:
        began = time.monotonic()
        for study in range(1, STUDIES + 1):
            date = f"20{20 + study % 4}{study % 12 + 1:02}{study % 28 + 1:02}"
            site.upload(study_of(study, INSTANCES, date=date, size=512))
        print(f"{STUDIES * INSTANCES} instances are in the PACS after {time.monotonic() - began:.0f} s")
        print(site.find({**QUERY, "pacs": [{"ae_title": PACS, "associations": 2}]}).splitlines()[-1])
        began = time.monotonic()
        victims = (
            site.kill_pacs,
            partial(site.kill_service, "cloud/scu"),
            partial(site.kill_service, "cloud/association"),
            partial(site.kill_service, "hospital/query-retrieve"),
            lambda: None,
        )
        for number in range(KILLS):
            aim = min(STUDIES - 1, site.completed + chance.randrange(1, max(2, STUDIES // KILLS)))
            kill_in_mid_pull(site, number, victims[number % len(victims)], aim)
        site.cohort("pull", site.listed, "--to", FOLDER, "--wait", "0.5", "--attempts", "20")
        wait_until(lambda: site.completed == STUDIES, "all are complete")
        print(f"pulled after {time.monotonic() - began:.0f} s, with {KILLS} kills")
        assert len(site.stored()) == STUDIES * INSTANCES
        totals = site.report()["totals"]
        print(totals)
        assert (totals["complete"], totals["arrived"], totals["missing"]) == (STUDIES, STUDIES * INSTANCES, 0)
