"""What `dimse-mesh audit verify` does."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from dimse_mesh.app.printable import printable
from dimse_mesh.audit import BrokenChain, Verified, verify_file, verify_trail
from dimse_mesh.runtime.auditing import chain_key


def verify_paths(paths: Sequence[Path], key: Path | None, *, received: int = 0) -> int:
    """Print one line for each file or folder; return 1 if one of them isn't whole.

    Args:
        received: number of the last record that the repository has; a trail that ends before it isn't whole.

    Raises:
        StartError: the key can't be read.
    """
    secret = b"" if key is None else chain_key(key)
    broken = False
    for path in paths:
        try:
            whole = _verified(path, secret, received)
        except BrokenChain as error:
            print(printable(str(error)), file=sys.stderr)
            broken = True
        except OSError as error:
            print(printable(f"{path}: {error.strerror}"), file=sys.stderr)
            broken = True
        else:
            print(
                f"{printable(str(path))}: whole, records {whole.begins.number + 1} to {whole.ends.number},"
                f" last hash {whole.ends.hash}"
            )
    return int(broken)


def _verified(path: Path, key: bytes, received: int) -> Verified:
    whole = verify_trail(path, key) if path.is_dir() else verify_file(path, key)
    if whole.ends.number < received:
        raise BrokenChain(
            f"{path}: it ends with record {whole.ends.number}, and the repository has record {received}"
        )
    return whole
