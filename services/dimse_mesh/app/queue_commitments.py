"""`dimse-mesh queue commitments`: the requests for storage commitment that a zone has to report on."""

from __future__ import annotations

import time

from dimse_mesh.app.queue import Queues, age, show
from dimse_mesh.schemas.commitment import CommitmentRequest
from dimse_mesh.spool import CommitmentStore


async def show_commitments(queues: Queues, *, as_json: bool) -> int:
    """Print one line for each request, the oldest first."""
    if not queues.spools:
        print("no durable route")
        return 0
    store = CommitmentStore(queues.jetstream, queues.spools[0].root, queues.spools[0].zone)
    count = 0
    async for pending in store.since(0):
        count += 1
        request = pending.request
        if as_json:
            print(request.model_dump_json(exclude={"owner", "transfer_syntax"}))
        else:
            names = ", ".join(each.destination for each in request.destinations)
            show(
                f"{request.calling_ae:<16}  asked {request.called_ae} {age(request.received)} ago for"
                f" {request.instances} instances at {names}: {_state_of(request)}"
            )
    if as_json:
        return 0
    if not count:
        print("nothing waits")
    return 0


def _state_of(request: CommitmentRequest) -> str:
    if not request.attempts or request.next_attempt is None:
        return request.awaits or "some are not settled yet, or it is being reported"
    wait = max(0.0, request.next_attempt - time.time())
    return f"{request.attempts} reports failed: {request.trouble}; next attempt in {wait:.0f} s"
