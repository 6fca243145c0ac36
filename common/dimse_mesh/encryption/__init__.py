"""End-to-end encryption between zones: keys, handshakes, and what is sealed with them. No input or output but keys'.

    keys           a zone's private keys and the public keys of others, from files and settings
    noise          the Noise handshakes: KK for an association, K for an object that is kept
    associations   the handshake of an association, bound to its opening
    objects        the objects of durable routes, sealed for those who may read them
    segments       what an association's handshake makes: seals and opens the segments of each direction

Importing this module needs no library; importing the others needs `cryptography` (the extra `encryption`).
"""

from dimse_mesh.encryption.errors import EncryptionError
from dimse_mesh.encryption.protection import OpenSegment, Protection, SealSegment

__all__ = ["EncryptionError", "OpenSegment", "Protection", "SealSegment"]
