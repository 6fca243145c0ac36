"""A certificate of a test's own authority, as the PEM files that a configuration names."""

from __future__ import annotations

from pathlib import Path

import trustme


def write_pair(issued: trustme.LeafCert, cert: Path, key: Path) -> None:
    """Write a certificate with its chain, and its private key."""
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
