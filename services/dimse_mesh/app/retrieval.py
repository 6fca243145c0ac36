"""What `get` proposes for the objects to come: presentation contexts in which the target may send them.

A target sends an object only in a context that was accepted for its SOP class and, mostly, its transfer syntax. 128
contexts can't cover every pair, so usual images get a context for each usual syntax, the other SOP classes
one for what is not compressed. SOP classes that are named get every syntax.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom import uid
from pynetdicom import AllStoragePresentationContexts, StoragePresentationContexts
from pynetdicom import sop_class as sop_classes

from dimse_mesh.app.uid import is_uid
from dimse_mesh.client import MAX_CONTEXTS, Proposal
from dimse_mesh.dimse.encoding import EXPLICIT_LE, IMPLICIT_LE
from dimse_mesh.runtime.settings_errors import ConfigurationError

NATIVE = (EXPLICIT_LE, IMPLICIT_LE)
USUAL_SYNTAXES = (
    uid.JPEGBaseline8Bit,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
    uid.JPEG2000,
    uid.RLELossless,
)
USUAL_IMAGES = (
    "CTImageStorage",
    "MRImageStorage",
    "ComputedRadiographyImageStorage",
    "DigitalXRayImageStorageForPresentation",
    "DigitalMammographyXRayImageStorageForPresentation",
    "UltrasoundImageStorage",
    "UltrasoundMultiFrameImageStorage",
    "SecondaryCaptureImageStorage",
    "XRayAngiographicImageStorage",
)


def storage_proposals(named: Sequence[str] = ()) -> list[Proposal]:
    """Return at most 127 contexts with the role of SCP, leaving one for the query.

    Args:
        named: SOP classes by UID or keyword; none: the usual ones.

    Raises:
        ConfigurationError: an unknown SOP class, or too many.
    """
    if named:
        chosen, problems = [], []
        for word in named:
            try:
                chosen.append(storage_class(word))
            except ValueError as error:
                problems.append(f"--sop-class {word}: {error}")
        if problems:
            raise ConfigurationError(problems)
        proposals = [proposal for sop_class in dict.fromkeys(chosen) for proposal in _every_syntax(sop_class)]
        if len(proposals) >= MAX_CONTEXTS:
            raise ConfigurationError(["--sop-class: too many for one association"])
        return proposals
    usual = [storage_class(keyword) for keyword in USUAL_IMAGES]
    proposals = [
        Proposal(sop_class, syntaxes, as_scp=True)
        for sop_class in usual
        for syntaxes in (NATIVE, *((syntax,) for syntax in USUAL_SYNTAXES))
    ]
    for context in StoragePresentationContexts:
        sop_class = str(context.abstract_syntax)
        if sop_class not in usual and len(proposals) < MAX_CONTEXTS - 1:
            proposals.append(Proposal(sop_class, (*NATIVE, *USUAL_SYNTAXES), as_scp=True))
    return proposals


def storage_class(word: str) -> str:
    """Return the UID of a SOP class given by UID or keyword (`CTImageStorage`, or `CT`).

    Raises:
        ValueError: it is neither.
    """
    if "." in word and is_uid(word):
        return word
    known = {str(context.abstract_syntax) for context in AllStoragePresentationContexts}
    for name in (word, f"{word}ImageStorage", f"{word}Storage"):
        found = str(getattr(sop_classes, name, ""))
        if found in known:
            return found
    raise ValueError("no storage SOP class of that name")


def _every_syntax(sop_class: str) -> list[Proposal]:
    compressed = [
        syntax for syntax in uid.AllTransferSyntaxes if str(syntax) not in NATIVE and not syntax.is_private
    ]
    return [
        Proposal(sop_class, NATIVE, as_scp=True),
        *(Proposal(sop_class, (str(syntax),), as_scp=True) for syntax in compressed),
    ]
