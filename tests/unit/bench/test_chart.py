"""The bench's chart: a bar for each way that has a colour, and a legend that fits."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from tests.bench.chart import COLOURS, WIDTH, svg
from tests.bench.measure import Sample
from tests.bench.plan import EVERY, Cell
from tests.bench.report import Row

SVG = "{http://www.w3.org/2000/svg}"
TITLES = {
    "direct": "direct, no proxy",
    "relay": "two socat relays",
    "mesh": "mesh, 10 % traced",
    "mesh-hosted": "mesh, handlers in the front-end",
    "pynetdicom": "pynetdicom relay",
    "orthanc": "Orthanc auto-routing, as installed",
}


def chart(*ways: str) -> ET.Element:
    row = Row(Cell("small-1", "small (500 x 8 KB)", ways, lambda _: Sample(1, 1)))
    for number, way in enumerate(ways, 1):
        row.results[way] = [Sample(number / 10, 500)]
    return ET.fromstring(svg([row], TITLES))


def test_every_way_with_a_colour_has_a_bar_and_stands_in_the_legend() -> None:
    drawn = chart(*EVERY)
    colours = [rect.get("fill") for rect in drawn.iter(f"{SVG}rect")]
    said = [text.text for text in drawn.iter(f"{SVG}text")]
    assert "mesh-hosted" in COLOURS
    for way, colour in COLOURS.items():
        assert colours.count(colour) == 2, way
        assert said.count(TITLES[way]) == 1


def test_a_way_that_was_not_measured_stands_nowhere() -> None:
    drawn = chart("relay", "mesh")
    assert TITLES["mesh-hosted"] not in [text.text for text in drawn.iter(f"{SVG}text")]


def test_nothing_leaves_the_picture_or_lies_on_something_else() -> None:
    drawn = chart(*EVERY)
    height = float(drawn.get("viewBox", "").split()[3])
    texts = [text for text in drawn.iter(f"{SVG}text") if text.get("text-anchor") is None]
    places = set()
    for text in texts:
        x, y = float(text.get("x", "")), float(text.get("y", ""))
        assert x + 7 * len(text.text or "") <= WIDTH
        assert 0 < y < height
        places.add((x, y))
    assert len(places) == len(texts)
    legend = max(float(text.get("y", "")) for text in texts if text.text in TITLES.values())
    first_bar = min(
        float(text.get("y", "")) for text in texts if re.fullmatch(r"[\d.]+ m?s", text.text or "")
    )
    assert legend < first_bar - 12
