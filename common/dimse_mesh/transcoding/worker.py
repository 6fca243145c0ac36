"""The process that changes transfer syntaxes: `python -m dimse_mesh.transcoding.worker BYTES`."""

from __future__ import annotations

from collections.abc import Sequence

from dimse_mesh.isolation import Head, Work, serve


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


def without_pydicom() -> Work:
    """Return work that says of every object what is missing."""
    answer = {"failed": 'it needs pydicom: install "dimse-mesh[transcoding]"'}
    return lambda _, __: (answer, [])


def main() -> None:
    """Serve until standard input ends."""
    try:
        import pydicom  # noqa: F401 - is it there?
    except ImportError:
        serve(without_pydicom)
    else:
        serve(start)


if __name__ == "__main__":
    main()
