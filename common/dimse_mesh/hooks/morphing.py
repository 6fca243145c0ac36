"""Declarative hooks: set, remove, copy, map and hash attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from dimse_mesh.hooks.errors import HookRefusal
from dimse_mesh.hooks.paths import AttributeAt, parse_path
from dimse_mesh.hooks.pseudonyms import Pseudonyms
from dimse_mesh.runtime.settings_hooks import HashHook, MapHook, PrivateValue, Value

_T = TypeVar("_T")
Morph = Callable[[Dataset], None]
_TEXT_VRS = frozenset(
    ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
)
_NOT_SET = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UN"))
_LONGEST = {"AE": 16, "CS": 16, "SH": 16, "LO": 64, "PN": 64}


def setter(values: Mapping[str, Value | PrivateValue]) -> Morph:
    """Return a hook that sets values; the sequences on the way must be there."""
    wanted = [(path, *_value_of(path, value)) for path, value in _parsed(values).items()]

    def apply(dataset: Dataset) -> None:
        for path, vr, value in wanted:
            for holder in path.holders(dataset):
                tag = path.attribute.tag_in(holder, create=True)
                assert tag is not None
                holder[tag] = DataElement(tag, vr, value)

    return apply


def _value_of(path: AttributeAt, value: Value | PrivateValue) -> tuple[str, Any]:
    vr = value.vr if isinstance(value, PrivateValue) else path.attribute.vr
    if vr is None:
        raise HookRefusal(
            f"{path.text}: no dictionary knows its representation: give {{vr: ..., value: ...}}"
        )
    vr = vr.split(" or ")[0]
    if vr in _NOT_SET:
        raise HookRefusal(f"{path.text}: values of representation {vr} can't be set")
    plain: Any = value.value if isinstance(value, PrivateValue) else value
    if vr in _TEXT_VRS and plain is not None:
        plain = [str(each) for each in plain] if isinstance(plain, tuple) else str(plain)
    elif isinstance(plain, tuple):
        plain = list(plain)
    try:
        DataElement(
            path.attribute.group << 16 | path.attribute.element, vr, plain, validation_mode=config.RAISE
        )
    except Exception as error:
        raise HookRefusal(f"{path.text}: {plain!r} is no value of representation {vr}") from error
    return vr, plain


def remover(paths: Sequence[str]) -> Morph:
    """Return a hook that removes attributes."""
    wanted = [parse_path(path) for path in paths]

    def apply(dataset: Dataset) -> None:
        for path in wanted:
            for holder, element in list(path.found(dataset)):
                del holder[element.tag]

    return apply


def copier(copies: Mapping[str, str]) -> Morph:
    """Return a hook that copies values: in the same item, or from the data set into items."""
    wanted = [(parse_path(source), target) for target, source in _parsed(copies).items()]
    for source, target in wanted:
        if source.sequences.steps and source.sequences != target.sequences:
            raise HookRefusal(
                f"{target.text}: a value is copied within its item, or from the data set itself"
            )

    def apply(dataset: Dataset) -> None:
        for source, target in wanted:
            for holder in target.holders(dataset):
                origin = holder if source.sequences == target.sequences else dataset
                tag = source.attribute.tag_in(origin)
                if tag is None or tag not in origin:
                    continue
                place = target.attribute.tag_in(holder, create=True)
                assert place is not None
                holder[place] = DataElement(place, target.attribute.vr or origin[tag].VR, origin[tag].value)

    return apply


def mapper(hook: MapHook) -> Morph:
    """Return a hook that looks values up in a table."""
    path = parse_path(hook.attribute)

    def new(value: Any) -> str:
        old = str(value)
        if old in hook.values:
            return hook.values[old]
        if hook.strict:
            raise HookRefusal(f"{path.text} has a value that is not listed")
        return old if hook.otherwise is None else hook.otherwise

    return _over(path, lambda _, value: new(value))


def hasher(hook: HashHook) -> Morph:
    """Return a hook that replaces values by a keyed hash."""
    pseudonyms = Pseudonyms(hook.key_file)
    paths = [parse_path(path) for path in hook.attributes]
    for path in paths:
        longest = _LONGEST.get(path.attribute.vr or "LO", 64)
        if path.attribute.vr != "UI" and len(hook.prefix) + hook.length > longest:
            raise HookRefusal(f"{path.text}: prefix and hash have at most {longest} characters there")

    def new(vr: str, value: Any) -> str:
        if vr == "UI":
            return pseudonyms.uid(str(value))
        return hook.prefix + pseudonyms.text(str(value), hook.length)

    steps = [_over(path, new) for path in paths]

    def apply(dataset: Dataset) -> None:
        for step in steps:
            step(dataset)

    return apply


def _over(path: AttributeAt, new: Callable[[str, Any], str]) -> Morph:
    """Return a hook that replaces each value of an attribute; empty ones stay empty."""

    def apply(dataset: Dataset) -> None:
        for holder, element in path.found(dataset):
            if element.VR not in _TEXT_VRS:
                raise HookRefusal(f"{path.text} has no text here, but representation {element.VR}")
            value = element.value
            if value is None or value == "":
                continue
            replaced: Any
            if isinstance(value, (MultiValue, list, tuple)):
                replaced = [new(element.VR, each) for each in value]
            else:
                replaced = new(element.VR, value)
            holder[element.tag] = DataElement(element.tag, element.VR, replaced)

    return apply


def _parsed(by_path: Mapping[str, _T]) -> dict[AttributeAt, _T]:
    return {parse_path(path): value for path, value in by_path.items()}
