"""Fuzz every parser, coverage-guided: `python -m tests.fuzz [--seconds 60] [--inputs N] [--keep] [TARGET ...]`.

Inputs that reach something new go to .fuzz/<target>; `--keep` puts the smallest set that reaches as much, without what
is over 512 bytes, into tests/fuzz/corpus/<target>. A finding stands in .fuzz/findings; others go on.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.file_targets import FOLDER
from tests.fuzz.mutation import LONGEST
from tests.fuzz.plain import Finding, try_many
from tests.fuzz.reach import smallest_set
from tests.fuzz.target import CORPUS, FuzzTarget
from tests.fuzz.targets import TARGETS

MEMORY = Path("/dev/shm")
WORK = Path(".fuzz")
FINDINGS = WORK / "findings"
LEAST_SLICE = 5
"""Seconds that a target gets at once, at least."""
SLICE_FOR_COUNT = 60
"""Seconds that each target gets before the next one does, while inputs are counted."""
MOST_MEGABYTES = 512
SLOWEST_SECONDS = 20
"""On a busy machine, by the clock."""
MOST_KEPT, LONGEST_KEPT = 32, 512


@dataclass(slots=True)
class Score:
    """What a target has taken."""

    inputs: int = 0
    reached: int = 0
    """Places in our code, as the coverage counts them; 0: not counted."""
    slowest: float = 0.0
    """Seconds."""
    megabytes: int = 0
    findings: list[str] = field(default_factory=list)


def fuzz(target: FuzzTarget, seconds: int, score: Score) -> None:
    """Fuzz one target for some seconds, by Atheris if it is there."""
    if importlib.util.find_spec("atheris") is None:
        try:
            tried = try_many(target, seconds=seconds, start=time.time_ns())
        except Finding as finding:
            score.findings.append(str(finding))
        else:
            score.inputs += tried.inputs
            score.slowest = max(score.slowest, tried.slowest)
        return
    folder = WORK / target.name
    folder.mkdir(parents=True, exist_ok=True)
    for data in target.seeds():
        _put(folder, data)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST}",
        f"-rss_limit_mb={MOST_MEGABYTES}",
        f"-timeout={SLOWEST_SECONDS}",
        f"-artifact_prefix={FINDINGS}/{target.name}-",
        "-print_final_stats=1",
        "-verbosity=1",
    ]
    corpora = [folder, *([CORPUS / target.name] if target.corpus() else [])]
    done = _atheris(target.name, *options, *map(str, corpora))
    score.inputs += _number(done.stderr, r"stat::number_of_executed_units:\s*(\d+)")
    score.reached = max(score.reached, _number(done.stderr, r"cov: (\d+)"))
    score.slowest = max(score.slowest, _number(done.stderr, r"stat::slowest_unit_time_sec:\s*(\d+)"))
    score.megabytes = max(score.megabytes, _number(done.stderr, r"stat::peak_rss_mb:\s*(\d+)"))
    if done.returncode:
        tail = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        score.findings.append("\n    ".join([f"exit code {done.returncode}", *tail[-30:]]))


def keep(target: FuzzTarget) -> int:
    """Put the smallest set of inputs that reaches all that was reached into the corpus; return how many it has."""
    kept = CORPUS / target.name
    folders = [folder for folder in (WORK / target.name, kept) if folder.is_dir()]
    found = [path.read_bytes() for folder in folders for path in folder.iterdir()]
    chosen = smallest_set(target, (data for data in found if len(data) <= LONGEST_KEPT), most=MOST_KEPT)
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for data in chosen:
        _put(kept, data)
    return len(chosen)


def _atheris(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz.libfuzzer", *arguments]
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        environment = {**os.environ, FOLDER: folder}
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, env=environment
        )


def _put(folder: Path, data: bytes) -> None:
    (folder / hashlib.sha1(data, usedforsecurity=False).hexdigest()[:16]).write_bytes(data)


def _number(text: str, pattern: str) -> int:
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


def _print(scores: dict[str, Score], began: float) -> None:
    print(f"{'parser':16}{'inputs':>12}{'reached':>9}{'slowest':>9}{'MiB':>6}  findings")
    for name, score in scores.items():
        print(
            f"{name:16}{score.inputs:12,}{score.reached:9}{score.slowest:8.1f}s{score.megabytes:6}"
            f"  {len(score.findings)}"
        )
    total = sum(score.inputs for score in scores.values())
    print(f"{total:,} inputs in {time.monotonic() - began:,.0f} s, {len(scores)} parsers")
    for name, score in scores.items():
        for finding in score.findings:
            print(f"\n{name}: {finding}")


def main() -> int:
    """Fuzz; return 1 if something was found."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=60, help="in all, at least 5 for each parser")
    parser.add_argument("--inputs", type=int, default=0, help="go on until so many were tried")
    parser.add_argument("--keep", action="store_true", help="renew tests/fuzz/corpus")
    given = parser.parse_args()
    targets = [TARGETS[name] for name in given.targets or TARGETS]
    FINDINGS.mkdir(parents=True, exist_ok=True)
    scores = {target.name: Score() for target in targets}
    began = time.monotonic()
    while True:
        for target in targets:
            seconds = SLICE_FOR_COUNT if given.inputs else max(given.seconds // len(targets), LEAST_SLICE)
            score = scores[target.name]
            fuzz(target, seconds, score)
            print(f"{target.name}: {score.inputs:,} inputs, {len(score.findings)} findings", flush=True)
        if sum(score.inputs for score in scores.values()) >= given.inputs or any(
            score.findings for score in scores.values()
        ):
            break
    if given.keep:
        print(f"{sum(map(keep, targets))} inputs are kept")
    _print(scores, began)
    return int(any(score.findings for score in scores.values()))


if __name__ == "__main__":
    sys.exit(main())
