"""Attributes by keyword, by tag or by private creator, in sequences too.

PatientID                                          a keyword of PS3.6
(0010,0020)                                        a tag
(0019,SIEMENS MR HEADER,0C)                        a private element: group, creator, element
RequestAttributesSequence[*].ScheduledProcedureStepID   in every item of a sequence; [0]: in the first one alone
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from pydicom.datadict import dictionary_VR, keyword_dict, private_dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from dimse_mesh.hooks.errors import HookRefusal

_STEP = re.compile(r"(?P<name>[A-Za-z]\w*|\([^)]*\))(?:\[(?P<item>\*|\d+)\])?(?:\.|$)")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a data set or an item. `creator`: of a private one."""

    group: int
    element: int
    creator: str | None = None

    def tag_in(self, dataset: Dataset, *, create: bool = False) -> BaseTag | None:
        """Return its tag in a data set; None: the creator of a private element has no block there.

        Args:
            create: reserve a block then (PS3.5 §7.8.1).
        """
        if self.creator is None:
            return Tag(self.group, self.element)
        try:
            block = dataset.private_block(self.group, self.creator, create=create)
        except KeyError:
            return None
        return block.get_tag(self.element)

    @property
    def vr(self) -> str | None:
        """Its value representation, where a dictionary knows it."""
        try:
            if self.creator is not None:
                return private_dictionary_VR(Tag(self.group, 0x1000 | self.element), self.creator)
            return dictionary_VR(Tag(self.group, self.element))
        except KeyError:
            return None


@dataclass(frozen=True, slots=True)
class Sequences:
    """The sequences on the way to an attribute, and which of their items are meant (None: all)."""

    steps: tuple[tuple[Attribute, int | None], ...]

    def holders(self, dataset: Dataset) -> Iterator[Dataset]:
        """Yield the data set or the items that may hold the attribute."""
        holders = [dataset]
        for attribute, number in self.steps:
            items: list[Dataset] = []
            for holder in holders:
                tag = attribute.tag_in(holder)
                found = None if tag is None else holder.get(tag)
                if found is not None and found.VR == "SQ" and found.value is not None:
                    items += found.value if number is None else list(found.value)[number : number + 1]
            holders = items
        yield from holders


@dataclass(frozen=True, slots=True)
class AttributeAt:
    """An attribute, at the end of a path."""

    text: str
    sequences: Sequences
    attribute: Attribute

    def holders(self, dataset: Dataset) -> Iterator[Dataset]:
        """Yield what may hold it."""
        return self.sequences.holders(dataset)

    def found(self, dataset: Dataset) -> Iterator[tuple[Dataset, DataElement]]:
        """Yield the elements that are there, with their holders."""
        for holder in self.holders(dataset):
            tag = self.attribute.tag_in(holder)
            if tag is not None and tag in holder:
                yield holder, holder[tag]


def parse_path(text: str) -> AttributeAt:
    """Read a path.

    Raises:
        HookRefusal: a keyword is in no dictionary.
    """
    steps: list[tuple[Attribute, int | None]] = []
    for step in _STEP.finditer(text):
        item = step["item"]
        steps.append((_attribute(step["name"]), None if item in {None, "*"} else int(item)))
    (attribute, _), sequences = steps[-1], steps[:-1]
    return AttributeAt(text, Sequences(tuple(sequences)), attribute)


def _attribute(name: str) -> Attribute:
    if name.startswith("("):
        group, *creator, element = name[1:-1].split(",")
        return Attribute(int(group, 16), int(element, 16), creator[0].strip() if creator else None)
    found = tag_for_keyword(name)
    if found is None:
        near = get_close_matches(name, keyword_dict, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise HookRefusal(f"{name} is no keyword of PS3.6{hint}")
    tag = Tag(found)
    return Attribute(tag.group, tag.element)
