"""What a process shows of its memory and its keys, and which files of secrets others can read."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import BaseModel, SecretStr

log = logging.getLogger(__name__)

_PR_SET_DUMPABLE: Final = 4
_KEY_LOG: Final = "SSLKEYLOGFILE"
"""The variable that makes Python's ssl, and what is built on it, write the keys of every TLS session to a file."""
_SECRET_FILES: Final = frozenset(("key", "keys", "credentials", "nkey_seed", "token_file"))
"""Names of the settings that are files, or folders of files, of secrets."""
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def keep_secrets(*, allow_debuggers: bool) -> None:
    """Hide our memory, and write no TLS keys to a file, unless debuggers are allowed; warn of what isn't as it seems.

    Call this before the first TLS context is made, and before other threads run.
    """
    if allow_debuggers:
        if _KEY_LOG in os.environ:
            log.warning(
                "%s is set: whoever reads that file can decrypt our TLS connections to DICOM peers, NATS and others",
                _KEY_LOG,
            )
        return
    hide_memory()
    if os.environ.pop(_KEY_LOG, None) is not None:
        log.warning(
            "%s is ignored: TLS keys are written nowhere, unless observability.allow_debuggers is set",
            _KEY_LOG,
        )


def hide_memory() -> None:
    """Leave no core dump, and let no other process of the same user read our memory or trace us.

    Our memory holds data sets and keys. Root can read it all the same.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def secrets_others_can_read(settings: BaseModel, source: Path) -> list[str]:
    """Return one line for each file of secrets that its owner's group, or everybody, can read.

    Args:
        source: the file that the settings come from; it counts if it holds a secret itself.
    """
    paths = [source] if any(_secret_values(settings)) else []
    paths += _secret_files(settings)
    return [
        f"{path} holds a secret and can be read by others than its owner: chmod {wanted} {path}"
        for path in dict.fromkeys(paths)
        for wanted in _too_open(path)
    ]


def _too_open(path: Path) -> Iterator[str]:
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # whoever needs it says so
    if mode & _OTHERS:
        yield "700" if stat.S_ISDIR(mode) else "600"


def _fields(model: BaseModel) -> Iterator[tuple[str, object]]:
    """Yield every field of a model and of the models in it."""
    for name in type(model).model_fields:
        yield from _within(name, getattr(model, name))


def _within(name: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, BaseModel):
        yield from _fields(value)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _within(name, item)
    else:
        yield name, value


def _secret_values(settings: BaseModel) -> Iterator[bool]:
    for name, value in _fields(settings):
        in_url = name == "servers" and isinstance(value, str) and "@" in value
        yield isinstance(value, SecretStr) or in_url


def _secret_files(settings: BaseModel) -> Iterator[Path]:
    for name, value in _fields(settings):
        if name in _SECRET_FILES and isinstance(value, (Path, os.PathLike)):
            yield Path(value)
