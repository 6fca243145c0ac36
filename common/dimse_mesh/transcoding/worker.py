"""The process that changes transfer syntaxes: `python -m dimse_mesh.transcoding.worker BYTES`."""

from __future__ import annotations

from collections.abc import Sequence

from dimse_mesh.isolation import Head, Work, serve_with_pydicom


def start() -> Work:
    """Load what every object needs; return the work."""
    from dimse_mesh.transcoding.converting import Unconvertible, convert

    def work(head: Head, parts: list[bytes]) -> tuple[Head, Sequence[bytes]]:
        try:
            return {}, [convert(parts[0], head["source"], head["target"])]
        except Unconvertible as failure:
            return {"failed": str(failure)}, []
        except MemoryError:
            return {"failed": "it needs more memory than delivery.transcoding.memory"}, []

    return work


if __name__ == "__main__":
    serve_with_pydicom(start, missing='it needs pydicom: install "dimse-mesh[transcoding]"')
