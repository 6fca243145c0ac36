"""De-identify by the Basic Application Level Confidentiality Profile and its options (PS3.15 Annex E).

Every attribute of table E.1-1 gets its action, at every depth; private attributes go, and so do attributes of the
standard that no dictionary here knows. What the table doesn't list stays, as the profile has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

from dimse_mesh.hooks.cleaning import ContentCleaner, shifted
from dimse_mesh.hooks.dummies import TEXT_VRS, dummy, has_dummy, stays_in_dummy
from dimse_mesh.hooks.errors import HookRefusal
from dimse_mesh.hooks.paths import Attribute, parse_path
from dimse_mesh.hooks.profile import EDITION, ActionTable, ProfileAction, ProfileRule, safe_private
from dimse_mesh.hooks.pseudonyms import Pseudonyms
from dimse_mesh.runtime.settings_hooks import BurnedIn, DeidentifyHook, ProfileOption

_DATES = frozenset(
    (ProfileOption.RETAIN_LONGITUDINAL_FULL_DATES, ProfileOption.RETAIN_LONGITUDINAL_MODIFIED_DATES)
)
_ENCAPSULATED_DOCUMENT = Tag(0x0042, 0x0011)
_PATIENT_AGE = Tag(0x0010, 0x1010)
_OLDEST = 89
"""Years: of older patients only that they are older may be known."""
_CODES = {  # PS3.16 CID 7050
    None: ("113100", "Basic Application Confidentiality Profile"),
    ProfileOption.CLEAN_STRUCTURED_CONTENT: ("113104", "Clean Structured Content Option"),
    ProfileOption.CLEAN_DESCRIPTORS: ("113105", "Clean Descriptors Option"),
    ProfileOption.RETAIN_LONGITUDINAL_FULL_DATES: (
        "113106",
        "Retain Longitudinal Temporal Information Full Dates Option",
    ),
    ProfileOption.RETAIN_LONGITUDINAL_MODIFIED_DATES: (
        "113107",
        "Retain Longitudinal Temporal Information Modified Dates Option",
    ),
    ProfileOption.RETAIN_PATIENT_CHARACTERISTICS: ("113108", "Retain Patient Characteristics Option"),
    ProfileOption.RETAIN_DEVICE_IDENTITY: ("113109", "Retain Device Identity Option"),
    ProfileOption.RETAIN_UIDS: ("113110", "Retain UIDs Option"),
    ProfileOption.RETAIN_SAFE_PRIVATE: ("113111", "Retain Safe Private Option"),
    ProfileOption.RETAIN_INSTITUTION_IDENTITY: ("113112", "Retain Institution Identity Option"),
}


class Deidentification:
    """The profile under one hook's settings.

    Raises:
        HookRefusal: its key file can't be used, or a keyword is unknown.
    """

    def __init__(self, hook: DeidentifyHook) -> None:
        self._hook = hook
        self._table = ActionTable(hook.options)
        self._pseudonyms = Pseudonyms(hook.key_file)
        self._named = [_nameable(path) for path in hook.pseudonyms]
        self._safe = [re.compile(pattern) for pattern in hook.descriptors]
        self._content = ContentCleaner()
        self._private = safe_private() | {
            (attribute.group, attribute.creator or "", attribute.element)
            for attribute in (parse_path(path).attribute for path in hook.safe_private)
        }

    def apply(self, dataset: Dataset) -> None:
        """De-identify a data set.

        Raises:
            HookRefusal: its pixels, or its document, may show who the patient is.
        """
        self._refuse_what_shows(dataset)
        days = self._pseudonyms.days(str(dataset.get("PatientID") or ""))
        pseudonyms = list(self._pseudonyms_of(dataset))
        self._clean(dataset, days)
        for element in pseudonyms:
            dataset[element.tag] = element
        self._say_so(dataset)

    def _refuse_what_shows(self, dataset: Dataset) -> None:
        if self._hook.burned_in is BurnedIn.ALLOW:
            return
        if _ENCAPSULATED_DOCUMENT in dataset:
            raise HookRefusal("an encapsulated document can't be de-identified")
        says = str(dataset.get("BurnedInAnnotation") or "").strip().upper()
        if says == "YES":
            raise HookRefusal("Burned In Annotation says that its pixels identify the patient")
        if says != "NO" and self._hook.burned_in is BurnedIn.REFUSE_UNLESS_NO:
            raise HookRefusal("Burned In Annotation doesn't say NO")

    def _pseudonyms_of(self, dataset: Dataset) -> Iterator[DataElement]:
        """Yield the elements of pseudonyms: keyed hashes of the values that the profile takes away."""
        for attribute in self._named:
            tag = Tag(attribute.group, attribute.element)
            value = str(dataset[tag].value or "") if tag in dataset else ""
            if value.strip():
                yield DataElement(tag, dictionary_VR(tag), self._pseudonyms.text(value))

    # --- one data set or item

    def _clean(self, dataset: Dataset, days: int, *, replace_all: bool = False) -> None:
        """Give each element its action. `replace_all`: in an item of a sequence that a dummy stands for."""
        for tag in list(dataset.keys()):
            if tag.is_private:
                if replace_all or not self._stays_private(dataset, tag):
                    del dataset[tag]
                continue
            rule = self._table.get(tag)
            if rule is None and not dictionary_has_tag(tag):
                del dataset[tag]  # nobody here knows what it is
            elif rule is None and replace_all:
                self._replace(dataset, tag, days)
            elif rule is not None:
                self._act(dataset, tag, rule, days)
            elif _vr(dataset, tag) in {"SQ", "UN"}:  # else it stays as it is, not even decoded
                self._clean_items(dataset, tag, days)
        if _removed_overlays(self._table):
            for tag in [tag for tag in dataset.keys() if _in_overlay(tag)]:  # noqa: SIM118 - iterating decodes
                del dataset[tag]

    def _clean_items(self, dataset: Dataset, tag: BaseTag, days: int, *, replace_all: bool = False) -> None:
        element = dataset[tag]
        if element.VR == "SQ" and element.value is not None:
            for item in element.value:
                self._clean(item, days, replace_all=replace_all)

    def _act(self, dataset: Dataset, tag: BaseTag, rule: ProfileRule, days: int) -> None:
        match rule.action:
            case ProfileAction.CLEAN if self._cleaned(dataset, tag, rule, days):
                return
            case ProfileAction.KEEP:
                self._keep(dataset, tag, days)
                return
            case ProfileAction.CLEAN:
                action = rule.basic
            case action:
                pass
        match action:
            case ProfileAction.REMOVE:
                del dataset[tag]
            case ProfileAction.EMPTY:
                element = dataset[tag]
                dataset[tag] = DataElement(tag, element.VR, Sequence() if element.VR == "SQ" else None)
            case ProfileAction.DUMMY:
                self._replace(dataset, tag, days)
            case _:
                self._replace_uids(dataset, tag, days)

    def _keep(self, dataset: Dataset, tag: BaseTag, days: int) -> None:
        if tag == _PATIENT_AGE:
            age = str(dataset[tag].value or "")
            if age.endswith("Y") and age[:-1].isdigit() and int(age[:-1]) > _OLDEST:
                dataset[tag] = DataElement(tag, "AS", "090Y")
        elif _vr(dataset, tag) in {"SQ", "UN"}:
            self._clean_items(dataset, tag, days)

    def _replace(self, dataset: Dataset, tag: BaseTag, days: int) -> None:
        """Put a dummy in the place of a value; of a sequence in the place of each value in its items."""
        element = dataset[tag]
        if element.VR == "SQ":
            self._clean_items(dataset, tag, days, replace_all=True)
        elif element.VR == "UI":
            self._replace_uids(dataset, tag, days)
        elif stays_in_dummy(element.VR) and self._table.get(tag) is None:
            return
        elif has_dummy(element.VR):
            dataset[tag] = dummy(element)
        else:
            del dataset[tag]

    def _replace_uids(self, dataset: Dataset, tag: BaseTag, days: int) -> None:
        element = dataset[tag]
        if element.VR == "SQ":
            self._clean_items(dataset, tag, days)
        elif element.VR != "UI":
            del dataset[tag]
        elif element.value:
            values = [element.value] if isinstance(element.value, str) else list(element.value)
            found = [self._pseudonyms.uid(str(value)) for value in values]
            dataset[tag] = DataElement(tag, "UI", found if len(found) > 1 else found[0])

    # --- options

    def _cleaned(self, dataset: Dataset, tag: BaseTag, rule: ProfileRule, days: int) -> bool:
        """Clean a value by an option. False: it can't be, so that its basic action follows."""
        element = dataset[tag]
        if ProfileOption.RETAIN_LONGITUDINAL_MODIFIED_DATES in rule.cleaned_by:
            return shifted(dataset, element, days)
        if ProfileOption.CLEAN_STRUCTURED_CONTENT in rule.cleaned_by and element.VR == "SQ":
            self._content.clean(element)
            self._clean_items(dataset, tag, days)
            return True
        if ProfileOption.CLEAN_DESCRIPTORS in rule.cleaned_by:
            if element.VR == "SQ":
                self._clean_items(dataset, tag, days)
                return all(self._is_safe(each) for item in element.value for each in item.iterall())
            return self._is_safe(element)
        return False

    def _is_safe(self, element: DataElement) -> bool:
        if element.VR not in TEXT_VRS or not element.value:
            return True
        values = [element.value] if isinstance(element.value, str) else list(element.value)
        return all(any(safe.fullmatch(str(value).strip()) for safe in self._safe) for value in values)

    def _stays_private(self, dataset: Dataset, tag: BaseTag) -> bool:
        if ProfileOption.RETAIN_SAFE_PRIVATE not in self._hook.options:
            return False
        if tag.is_private_creator:
            creator = str(dataset[tag].value).strip()
            block = tag.element << 8
            return any(
                (tag.group, creator, other.element & 0xFF) in self._private
                for other in dataset.keys()  # noqa: SIM118 - iterating a data set decodes it
                if other.group == tag.group and other.element & 0xFF00 == block
            )
        creator_tag = Tag(tag.group, tag.element >> 8)
        creator = str(dataset[creator_tag].value).strip() if creator_tag in dataset else ""
        return (tag.group, creator, tag.element & 0xFF) in self._private and _vr(dataset, tag) != "SQ"

    # --- what the object says of it

    def _say_so(self, dataset: Dataset) -> None:
        options = [option for option in _CODES if option in self._hook.options]
        dataset.PatientIdentityRemoved = "YES"
        methods = [f"PS3.15 {EDITION} Basic Profile", *options]
        dataset.DeidentificationMethod = [*_values(dataset, "DeidentificationMethod"), *methods]
        codes = list(dataset.get("DeidentificationMethodCodeSequence") or [])
        for option in [None, *options]:
            item = Dataset()
            item.CodeValue, item.CodeMeaning = _CODES[option]
            item.CodingSchemeDesignator = "DCM"
            codes.append(item)
        dataset.DeidentificationMethodCodeSequence = Sequence(codes)
        if ProfileOption.RETAIN_LONGITUDINAL_FULL_DATES in self._hook.options:
            dataset.LongitudinalTemporalInformationModified = "UNMODIFIED"
        elif self._hook.options & _DATES:
            dataset.LongitudinalTemporalInformationModified = "MODIFIED"
        else:
            dataset.LongitudinalTemporalInformationModified = "REMOVED"


def _nameable(path: str) -> Attribute:
    """Return an attribute that may hold a pseudonym.

    Raises:
        HookRefusal: it is no text of at least 16 characters, or not in the data set itself.
    """
    found = parse_path(path)
    if found.sequences.steps or found.attribute.creator or found.attribute.vr not in {"LO", "PN", "SH", "UC"}:
        raise HookRefusal(f"pseudonyms: {path} is no text attribute of the data set itself")
    return found.attribute


def _values(dataset: Dataset, keyword: str) -> list[str]:
    value = dataset.get(keyword)
    if not value:
        return []
    return [value] if isinstance(value, str) else list(value)


def _vr(dataset: Dataset, tag: BaseTag) -> str:
    """Return a representation, without decoding the value."""
    item = dataset.get_item(tag)
    vr = getattr(item, "VR", None)
    if vr is None:
        vr = dictionary_VR(tag) if dictionary_has_tag(tag) else "UN"
    return str(vr)


def _in_overlay(tag: BaseTag) -> bool:
    return tag.group >> 8 == 0x60 and not tag.is_private


def _removed_overlays(table: ActionTable) -> bool:
    rule = table.get(0x60003000)
    return rule is not None and rule.action is ProfileAction.REMOVE
