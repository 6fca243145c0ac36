"""The bounds that a half keeps, in one value that its process builds from the configuration."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfSettings:
    """Bounds of one half. Sizes in bytes, times in seconds."""

    window: int
    """Bytes that a half has in flight, where the way to the other instance isn't long."""
    largest_window: int
    """Unconsumed bytes that this endpoint is ready to hold for a half; not less than `window`."""
    max_buffered: int
    """Bytes that all halves of the instance may have in flight together, before each is held to a fair share."""
    chunk_size: int
    """Data set bytes in one DATA frame, at most: over a thin line, as many as are read at once."""
    inline_limit: int
    """A data set up to this size rides in its command's message."""
    retransmit_timeout: float
    """How long nothing may be acknowledged before the other endpoint is asked what it has received."""
    deadline: float
    """How long the mesh may be out before operations fail."""
    ack_delay: float
    """How long an acknowledgement may wait for a frame that carries it."""
    operation_timeout: float
    """How long a peer may say nothing about an operation; 0: for ever."""
    stalled_write_timeout: float
    """How long a peer may take nothing of what is written to it."""
    idle_timeout: float = 0.0
    """How long a peer may send and get nothing while no operation is under way; 0: for ever."""
    stalled_read_timeout: float = 60.0
    """How long a peer may pause in the middle of a message."""
    least_read_rate: int = 0
    """Bytes a second that a peer in the middle of a message moves at least, over `stalled_read_timeout`."""
    max_operations: int = 1 << 30
    """Operations that a peer may have outstanding; with more it isn't read."""
    least_peer_pdu_length: int = 7
    """Smallest Maximum Length of a peer, in bytes: with less, a PDV has no room for data (PS3.8 §9.3.5.1)."""
    release_timeout: float
    """How long a peer may take to answer A-RELEASE-RQ."""
    artim_timeout: float
    """How long a peer that has closed one direction may be told nothing that it waits for."""
