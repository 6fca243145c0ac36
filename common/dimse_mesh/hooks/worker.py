"""The process that applies hooks: `python -m dimse_mesh.hooks.worker BYTES`."""

from __future__ import annotations

from collections.abc import Sequence

from dimse_mesh.hooks.errors import HookFailed
from dimse_mesh.isolation import Head, Work, serve_with_pydicom


def start() -> Work:
    """Load what every object needs; return the work."""
    from dimse_mesh.hooks.chain import Chains

    chains = Chains()

    def work(head: Head, parts: list[bytes]) -> tuple[Head, Sequence[bytes]]:
        try:
            chain = chains.get(head["hooks"])
            if not parts:
                return {}, []
            result = chain.apply(parts[0] + parts[1], head["transfer_syntax"])
        except HookFailed as failure:
            return {"failed": str(failure)}, []
        except MemoryError:
            return {"failed": "its hooks need more memory than delivery.hooks.memory"}, []
        answer = {"sop_class": result.sop_class, "sop_instance": result.sop_instance}
        return answer, [result.header, result.trailer]

    return work


if __name__ == "__main__":
    serve_with_pydicom(start, missing='hooks need pydicom: install "dimse-mesh[hooks]"')
