"""The rules of docs/architecture.md, Deaths, as stories: what happened when, and who is dead then."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimse_mesh.mesh.failure_detector import MOST_ZONE_AES, Death, Evidence, FailureDetector, LivenessSettings
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.service import Heartbeat

HERE, THERE = "SERVER1", "SERVER2"
SETTINGS = LivenessSettings()


def peer(instance: str = "peer", zone: str = "cloud") -> InstanceAddress:
    return InstanceAddress(zone, Role.SCU, instance)


def beat(server: str = HERE) -> Heartbeat:
    return Heartbeat(server_id=server)


ME, PEER = peer("me", "hospital"), peer()


def core(now: float = 0.0) -> FailureDetector:
    watch = FailureDetector(SETTINGS, ME)
    watch.connected(HERE, now)
    return watch


@dataclass
class Story:
    """Steps `(time, what)`; then at `at` the watched `peer` is dead of `cause`, or alive (None)."""

    name: str
    steps: list[tuple[float, str]]
    at: float
    evidence: Evidence | None
    announce: bool = False
    zone: str = field(default="hospital")


STORIES = [
    Story("alive while it beats", [(1, "beat"), (29, "beat")], 30, None),
    Story("503 that does not last is nothing", [(1, "beat"), (10, "503"), (10.5, "503")], 11.1, None),
    Story(
        "503 for the confirm time is death",
        [(1, "beat"), (10, "503"), (10.5, "503")],
        11.21,
        Evidence.NO_RESPONDERS,
        announce=True,
    ),
    Story(
        "an answer breaks the series",
        [(1, "beat"), (10, "503"), (11, "answer"), (11.1, "503")],
        12.2,
        None,
    ),
    Story(
        "a heartbeat breaks the series", [(1, "beat"), (10, "503"), (11, "beat"), (11.1, "503")], 12.2, None
    ),
    Story("503 about another server's instance proves nothing", [(1, "beat there"), (10, "503")], 30, None),
    Story("503 about an instance never heard of proves nothing", [(1, "503")], 20, None),
    Story("it moved to another server", [(1, "beat"), (9, "answer there"), (10, "503")], 30, None),
    Story("silence until the deadline is life", [(1, "beat there")], 30.9, None),
    Story("silence past the deadline is death, unannounced", [(1, "beat there")], 31, Evidence.SILENCE),
    Story("never heard of, and silent", [], 30, Evidence.SILENCE),
    Story("nobody dies while we are disconnected", [(1, "beat"), (2, "503"), (2.5, "down")], 1000, None),
    Story("our absence is not its silence", [(1, "beat"), (2, "down"), (50, "up")], 79, None),
    Story("silence after our absence", [(1, "beat"), (2, "down"), (50, "up")], 80, Evidence.SILENCE),
    Story(
        "after a restart others may come later than we",
        [(1, "beat"), (20, "down"), (21, "up"), (21.1, "503")],
        25.9,
        None,
    ),
    Story(
        "but not later than the grace",
        [(1, "beat"), (20, "down"), (21, "up"), (21.1, "503")],
        26.01,
        Evidence.NO_RESPONDERS,
        announce=True,
    ),
    Story(
        "once seen since the restart, the short time counts again",
        [(1, "beat"), (20, "down"), (21, "up"), (21.1, "503"), (21.5, "answer"), (22, "503")],
        23.21,
        Evidence.NO_RESPONDERS,
        announce=True,
    ),
    Story(
        "a series does not span our absence",
        [(1, "beat"), (19.9, "503"), (20, "down"), (21, "up"), (25.5, "503")],
        26.1,
        None,
    ),
    Story(
        "died before we heard it on the server that replaced ours",
        [(1, "beat"), (20, "down"), (21, "up there instead"), (21.1, "503")],
        26.01,
        Evidence.NO_RESPONDERS,
        announce=True,
    ),
    Story(
        "was only slow to come to the server that replaced ours",
        [(1, "beat"), (20, "down"), (21, "up there instead"), (21.1, "503"), (24, "beat there")],
        26.01,
        None,
    ),
    Story(
        "on our return we are on another server than it is",
        [(1, "beat"), (20, "down"), (21, "up there"), (22, "503")],
        50,
        None,
    ),
]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_stories(story: Story) -> None:
    watch, who = core(), peer(zone=story.zone)
    watch.watch(who, 0.0)
    for now, what in story.steps:
        assert watch.deaths(now) == []
        match what.split():
            case ["beat", *where]:
                watch.heartbeat(who, beat(THERE if where else HERE), now)
            case ["answer", *where]:
                watch.answered(who, THERE if where else HERE, now)
            case ["503"]:
                watch.refused(who, now)
            case ["down"]:
                watch.disconnected()
            case ["up", *where]:
                watch.connected(THERE if where else HERE, now, replaced="instead" in where)
            case _:
                raise AssertionError(what)
    expected = (
        [] if story.evidence is None else [Death(who, story.evidence, announce=story.announce, watched=True)]
    )
    assert watch.deaths(story.at) == expected
    assert watch.deaths(story.at + 0.001) == []


def test_an_obituary_is_believed_once_nobody_answers_in_its_place() -> None:
    watch = core()
    watch.watch(PEER, 0.0)
    assert watch.obituary(PEER)
    assert watch.accused() == [PEER]
    assert watch.deaths(1.0) == []
    assert watch.refused(PEER, 1.0) == Death(PEER, Evidence.OBITUARY, announce=False, watched=True)
    assert watch.accused() == []
    assert not watch.obituary(PEER), "it is known"
    assert not watch.obituary(ME)


@pytest.mark.parametrize("sign", ["beat", "answer"])
@pytest.mark.parametrize("known", [True, False])
def test_a_sign_of_life_refutes_an_obituary(sign: str, known: bool) -> None:
    watch = core()
    if known:
        watch.watch(PEER, 0.0)
    assert watch.obituary(PEER)
    if sign == "beat":
        watch.heartbeat(PEER, beat(), 1.0)
    else:
        watch.answered(PEER, HERE, 1.0)
    assert watch.accused() == []
    assert watch.refused(PEER, 2.0) is None


def test_a_death_on_another_server_is_believed_when_ours_knows_of_nobody_any_more() -> None:
    watch = core()
    watch.heartbeat(PEER, beat(THERE), 0.0)
    assert watch.refused(PEER, 1.0) is None
    watch.obituary(PEER)
    assert watch.refused(PEER, 1.1) is not None


def test_a_flood_of_obituaries_is_bounded() -> None:
    watch = core()
    watch.watch(PEER, 0.0)
    for number in range(10_000):
        watch.obituary(peer(f"nobody{number}"))
    assert len(watch.accused()) == 256
    watch.obituary(PEER)
    assert PEER in watch.accused()


def test_who_is_known_dead_is_dead_for_a_new_watcher() -> None:
    watch = core()
    watch.obituary(PEER)
    watch.refused(PEER, 0.0)
    assert watch.watch(PEER, 1.0) is not None
    watch.heartbeat(PEER, beat(), 2.0)
    assert watch.watch(PEER, 3.0) is None, "a sign of life refutes an obituary"


def test_watches_are_counted() -> None:
    watch = core()
    watch.watch(PEER, 0.0)
    watch.watch(PEER, 0.0)
    watch.unwatch(PEER)
    assert watch.to_probe(1.0) == [PEER]
    watch.unwatch(PEER)
    watch.unwatch(PEER)
    assert watch.to_probe(2.0) == []


def test_probes_keep_their_interval_and_hurry_under_suspicion() -> None:
    watch = core()
    watch.watch(PEER, 0.0)
    watch.heartbeat(PEER, beat(), 0.0)
    assert watch.to_probe(0.0) == [PEER]
    assert watch.to_probe(0.25) == []
    assert watch.to_probe(0.5) == [PEER]
    watch.refused(PEER, 0.51)
    assert watch.suspects()
    assert watch.to_probe(0.75) == [PEER]


def test_nothing_is_probed_while_disconnected() -> None:
    watch = core()
    watch.watch(PEER, 0.0)
    watch.disconnected()
    assert watch.to_probe(1.0) == []


@pytest.mark.parametrize(
    ("server", "zone", "probed"),
    [(HERE, "hospital", True), (THERE, "hospital", False), (HERE, "cloud", False)],
)
def test_a_witness_probes_its_own_zone_on_its_own_server_when_overdue(
    server: str, zone: str, probed: bool
) -> None:
    watch = core()
    following, other = peer("next", "hospital"), peer(zone=zone)
    watch.heartbeat(following, beat(), 1.0)
    watch.heartbeat(other, beat(server), 1.0)
    assert watch.to_probe(1.0 + SETTINGS.overdue) == [following]
    assert set(watch.to_probe(2.0 + SETTINGS.overdue)) == ({following, other} if probed else {following})


@pytest.mark.parametrize(
    ("others", "ward"), [(["a", "b"], ["a"]), (["z", "b", "n"], ["n"]), (["me"], []), ([], [])]
)
def test_everybody_probes_the_next_of_its_zone_all_the_time(others: list[str], ward: list[str]) -> None:
    watch = core()
    for other in others:
        watch.heartbeat(peer(other, "hospital"), beat(), 1.0)
    watch.heartbeat(peer("mf"), beat(), 1.0)
    watch.heartbeat(peer("mg", "hospital"), beat(THERE), 1.0)
    assert watch.to_probe(1.1) == [peer(name, "hospital") for name in ward]


def test_a_witness_announces_and_tells_nobody_here() -> None:
    watch = core()
    who = peer(zone="hospital")
    watch.heartbeat(who, beat(), 1.0)
    watch.refused(who, 5.0)
    assert watch.deaths(6.2) == [Death(who, Evidence.NO_RESPONDERS, announce=True, watched=False)]
    assert watch.instances() == []


def test_a_flood_of_instances_is_bounded() -> None:
    watch = FailureDetector(LivenessSettings(max_instances=10), ME)
    new = [watch.heartbeat(peer(f"peer{number % 100}"), beat(), 0.0) for number in range(200)]
    assert len(watch.instances()) == 10
    assert sum(new) == 10, "who is not remembered is not greeted again and again"


def test_one_zone_can_not_crowd_out_the_others() -> None:
    watch = FailureDetector(LivenessSettings(max_instances=100, max_zone_instances=10), ME)
    for number in range(200):
        watch.heartbeat(peer(f"invented{number}", "lab"), beat(), 0.0)
    assert watch.heartbeat(PEER, beat(), 0.0)
    assert len(watch.instances()) == 11
    watch.connected(HERE, 0.0)
    assert len(watch.deaths(SETTINGS.deadline)) == 11
    assert watch.heartbeat(peer("real", "lab"), beat(), 40.0), "the dead of a zone make room for its living"


def test_the_ae_titles_of_one_zone_are_bounded_and_come_back_when_there_is_room() -> None:
    watch = core()
    fat = [f"AE{number:05}" for number in range(1024)]
    for number in range(100):
        told = {f"{number:03}{title}": 1 for title in fat}
        watch.heartbeat(peer(f"fat{number}", "lab"), Heartbeat(server_id=HERE, associations=told), 0.0)
    kept = [len(one.heartbeat.associations) for one in watch.instances()]
    assert sum(kept) == MOST_ZONE_AES
    slim = Heartbeat(server_id=HERE, associations={"PACS": 3})
    watch.heartbeat(PEER, slim, 0.0)
    assert watch.instances()[-1].heartbeat == slim, "another zone has its own room"
    last = peer("fat99", "lab")
    watch.heartbeat(last, slim, 0.0)
    assert not next(one for one in watch.instances() if one.address == last).heartbeat.associations
    watch.heartbeat(peer("fat0", "lab"), slim, 0.0)
    watch.heartbeat(last, slim, 0.0)
    assert next(one for one in watch.instances() if one.address == last).heartbeat == slim


def test_of_others_than_executors_no_ae_titles_are_kept() -> None:
    watch = core()
    watch.heartbeat(
        InstanceAddress("cloud", Role.STORE, "x"), Heartbeat(server_id=HERE, associations={"A": 1}), 0.0
    )
    assert watch.instances()[0].heartbeat.associations == {}


@given(
    st.lists(
        st.tuples(st.floats(0, 2), st.sampled_from(["beat", "answer", "503", "down", "up", "obituary"])),
        max_size=50,
    )
)
def test_nobody_dies_of_anything_but_an_obituary_while_disconnected_or_just_seen(
    steps: list[tuple[float, str]],
) -> None:
    watch, now, up, accused = core(), 0.0, True, False
    for pause, what in steps:
        now += pause
        match what:
            case "beat":
                watch.heartbeat(PEER, beat(), now)
            case "answer":
                watch.answered(PEER, HERE, now)
            case "503":
                assert watch.refused(PEER, now) is None or (accused and up)
            case "down":
                watch.disconnected()
                up = False
            case "up":
                watch.connected(HERE, now)
                up = True
            case _:
                watch.obituary(PEER)
        accused = PEER in watch.accused()
        deaths = watch.deaths(now)
        assert up or not deaths
        assert what not in {"beat", "answer", "up"} or not deaths
