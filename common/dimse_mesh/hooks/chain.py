"""The hooks of a route, loaded and applied one after the other (in the process of hooks, by pydicom)."""

from __future__ import annotations

import importlib
import json
import traceback
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import cast

from pydantic import TypeAdapter
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from dimse_mesh.dimse.encoding import DEFLATED, EXPLICIT_BE, IMPLICIT_LE
from dimse_mesh.hooks.deidentifying import Deidentification
from dimse_mesh.hooks.errors import HookFailed, HookRefusal
from dimse_mesh.hooks.morphing import copier, hasher, mapper, remover, setter
from dimse_mesh.hooks.runner import HookResult
from dimse_mesh.runtime.settings_hooks import HOOK_KINDS, Hook

Step = Callable[[Dataset], Dataset | None]
"""Changes a data set, or returns another one."""
_HOOKS = TypeAdapter(tuple[Hook, ...])
_BEHIND_PIXELS = 0x7FE00011
MOST_INFLATED = 256 << 20


@dataclass(frozen=True, slots=True)
class NamedStep:
    """A step, and what operators are told when it fails."""

    name: str
    apply: Step


class Chains:
    """Chains by their hooks as text. The last one stays loaded: objects of one route come one after the other."""

    def __init__(self) -> None:
        self._chains: dict[str, Chain] = {}

    def get(self, hooks: str) -> Chain:
        """Return a chain, loaded if it isn't the last one.

        Raises:
            HookFailed: it can't be loaded.
        """
        if hooks not in self._chains:
            self._chains = {hooks: Chain(_HOOKS.validate_python(json.loads(hooks)))}
        return self._chains[hooks]


class Chain:
    """Some hooks, in their order.

    Raises:
        HookFailed: one can't be loaded.
    """

    def __init__(self, hooks: Sequence[Hook]) -> None:
        config.settings.reading_validation_mode = config.IGNORE
        config.settings.writing_validation_mode = config.RAISE
        warnings.simplefilter("ignore")  # of odd values, which are no business of ours
        self._steps = [_step(number, hook) for number, hook in enumerate(hooks, start=1)]

    def apply(self, encoded: bytes, transfer_syntax: str) -> HookResult:
        """Apply the hooks to an encoded data set.

        Raises:
            HookFailed: it can't be read, a hook failed, or what a hook made of it can't be encoded.
        """
        dataset = _decoded(encoded, transfer_syntax)
        for step in self._steps:
            try:
                changed = step.apply(dataset)
            except HookRefusal as refusal:
                raise HookFailed(f"{step.name}: {refusal}") from refusal
            except MemoryError:
                raise
            except Exception as error:
                raise HookFailed(f"{step.name}: {_described(error)}") from error
            if changed is not None:
                dataset = changed
            if not isinstance(dataset, Dataset):
                raise HookFailed(f"{step.name}: it returned no pydicom Dataset")
        sop_class, sop_instance = (str(dataset.get(name, "")) for name in ("SOPClassUID", "SOPInstanceUID"))
        if not UID(sop_class).is_valid or not UID(sop_instance).is_valid:
            raise HookFailed("its hooks leave it without a valid SOP class and instance UID")
        try:
            if transfer_syntax in DEFLATED:
                return HookResult(sop_class, sop_instance, _deflated(_encoded(dataset, transfer_syntax)), b"")
            return HookResult(
                sop_class,
                sop_instance,
                _encoded(dataset, transfer_syntax, end=_BEHIND_PIXELS),
                _encoded(dataset, transfer_syntax, first=_BEHIND_PIXELS),
            )
        except MemoryError:
            raise
        except Exception as error:
            raise HookFailed(f"what its hooks made of it can't be encoded: {_described(error)}") from error


def _step(number: int, hook: Hook) -> NamedStep:
    kind = next(kind for kind in HOOK_KINDS if getattr(hook, kind) is not None)
    name = f"hook {number} ({kind.rstrip('_')})"
    try:
        return NamedStep(name, _loaded(hook))
    except HookRefusal as refusal:
        raise HookFailed(f"{name}: {refusal}") from refusal


def _loaded(hook: Hook) -> Step:
    if hook.set is not None:
        return setter(hook.set)
    if hook.remove is not None:
        return remover(hook.remove)
    if hook.copy_ is not None:
        return copier(hook.copy_)
    if hook.map is not None:
        return mapper(hook.map)
    if hook.hash is not None:
        return hasher(hook.hash)
    if hook.deidentify is not None:
        return Deidentification(hook.deidentify).apply
    assert hook.python is not None
    return entry_point(hook.python)


def entry_point(name: str) -> Step:
    """Return a function by its entry point, `package.module:function`.

    Raises:
        HookRefusal: it isn't there.
    """
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function, None)
    except ModuleNotFoundError as missing:
        raise HookRefusal(f"{name} can't be loaded: there is no module {missing.name}") from missing
    except Exception as error:
        raise HookRefusal(f"{name} can't be loaded: {_described(error)}") from error
    if not callable(found):
        raise HookRefusal(f"{name} is no function")
    return cast(Step, found)


def _described(error: BaseException) -> str:
    """Return the type of an exception and where it was raised; never its text, which may hold a patient's data."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


def _decoded(encoded: bytes, transfer_syntax: str) -> Dataset:
    try:
        if transfer_syntax in DEFLATED:
            encoded = _inflated(encoded)
        return read_dataset(
            BytesIO(encoded),
            is_implicit_VR=transfer_syntax == IMPLICIT_LE,
            is_little_endian=transfer_syntax != EXPLICIT_BE,
        )
    except MemoryError:
        raise
    except Exception as error:
        raise HookFailed(f"its data set can't be read: {_described(error)}") from error


def _encoded(
    dataset: Dataset, transfer_syntax: str, *, first: int | None = None, end: int | None = None
) -> bytes:
    target = DicomBytesIO()
    target.is_implicit_VR = transfer_syntax == IMPLICIT_LE
    target.is_little_endian = transfer_syntax != EXPLICIT_BE
    part = dataset[first:end]
    write_dataset(target, part, dataset.get("SpecificCharacterSet") or "ISO_IR 6")
    return target.getvalue()


def _inflated(encoded: bytes) -> bytes:
    inflate = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    plain = inflate.decompress(encoded, MOST_INFLATED)
    if inflate.unconsumed_tail:
        raise HookFailed(f"its data set has more than {MOST_INFLATED} bytes when it is inflated")
    return plain


def _deflated(plain: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    encoded = deflate.compress(plain) + deflate.flush()
    return encoded + b"\0" * (len(encoded) % 2)  # PS3.5 §A.5
