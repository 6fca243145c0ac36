"""`dimse-mesh` as a newer minor version of the protocol would be: every message has a field more, every ACK a frame.

    python -m tests.compat.newer run scu --config cloud.yaml

The modules below take version, models and `encode_frame` by name, so all of it is changed before they are imported.
"""

from __future__ import annotations

import importlib
from typing import Any

from dimse_mesh.schemas import version

NEWER = version.ProtocolVersion(version.VERSION.major, version.VERSION.minor + 1)
ADDED_FIELD = "added_in_newer"
ADDED_KIND = 30
_MODULES = ("service", "association", "operation", "slots")


def become_newer() -> None:
    """Change this process's protocol."""
    version.VERSION = NEWER
    for name in _MODULES:
        module = importlib.import_module(f"dimse_mesh.schemas.{name}")
        base: Any = importlib.import_module("dimse_mesh.schemas.service").WireModel
        for model in [value for value in vars(module).values() if _is_model(value, base, module.__name__)]:
            namespace = {
                "__module__": module.__name__,
                "__annotations__": {ADDED_FIELD: str},
                ADDED_FIELD: "x" * 20,
            }
            setattr(module, model.__name__, type(model.__name__, (model,), namespace))
    frames: Any = importlib.import_module("dimse_mesh.schemas.frames")
    encode, ack = frames.encode_frame, frames.FrameKind.ACK

    def encode_more(channel: int, kind: int, *parts: bytes, **fields: int) -> bytes:
        frame: bytes = encode(channel, kind, *parts, **fields)
        return frame + encode(channel, ADDED_KIND, b"added", **fields) if kind == ack else frame

    frames.encode_frame = encode_more


def _is_model(value: object, base: type, module: str) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, base)
        and value is not base
        and value.__module__ == module
    )


if __name__ == "__main__":
    become_newer()
    from dimse_mesh.app.cli import main

    main()
