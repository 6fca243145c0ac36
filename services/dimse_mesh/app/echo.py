"""The `echo` command: C-ECHO to an AE anywhere in the mesh."""

from __future__ import annotations

import statistics
import time
from functools import partial

import anyio

from dimse_mesh.app.printable import printable
from dimse_mesh.app.way_in import WayIn, open_door
from dimse_mesh.client import VERIFICATION, AssociationError


def echo(way: WayIn, ae_title: str, *, count: int) -> int:
    """Verify `ae_title` that many times; print what came of it and return the exit code."""
    return anyio.run(partial(_echo, way, ae_title, count))


async def _echo(way: WayIn, ae_title: str, count: int) -> int:
    times: list[float] = []
    status = 0
    async with open_door(way) as door:
        began = time.perf_counter()
        try:
            async with door.association(ae_title, [VERIFICATION]) as client:
                opened = time.perf_counter() - began
                for _ in range(count):
                    began = time.perf_counter()
                    status = await client.echo()
                    times.append(time.perf_counter() - began)
                    if status:
                        break
        except AssociationError as error:
            print(printable(f"{ae_title}: {error}"))
            return 1
    if status:
        print(f"{ae_title}: C-ECHO answered with status {status:04X}H")
        return 1
    print(
        f"{ae_title}: alive; association {opened * 1e3:.1f} ms, "
        f"C-ECHO {statistics.median(times) * 1e3:.2f} ms" + (f" (median of {count})" if count > 1 else "")
    )
    return 0
