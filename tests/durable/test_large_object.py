"""A large object is never held whole in memory."""

from __future__ import annotations

from pathlib import Path

from tests.durable.site import Inbox, site, store
from tests.support.files import synthetic

SIZE = 200_000_000
MOST = 150_000_000
"""Bytes that a service may have had at its peak: its own start, and the windows."""


def test_a_large_object(tmp_path: Path) -> None:
    content = synthetic(1, SIZE, frames=400)
    inbox = Inbox()
    with site(tmp_path) as where, where.destination(inbox):
        with where.open() as client:
            assert store(client, content) == 0
            client.release()
        assert inbox.wait_for(1, timeout=120)[0].data == content.data
        peaks = where.mesh.memory(peak=True)
    for name in ("hospital/association", "cloud/delivery"):
        assert peaks[name] < MOST, peaks
