"""The handshake of an association: its messages ride in `OpenRequest` and `OpenReply`, and prove both (ADR 25).

A front-end may not know which zone's executor will take its request, so it offers a handshake to each zone that it has
a public key of. The executor checks the offer to its zone before it asks the target. Both messages are bound to what
they travel with: whoever changes an AE title or a presentation context on the way makes the handshake fail.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from dimse_mesh.encryption.binding import bound, decode_message
from dimse_mesh.encryption.errors import EncryptionError
from dimse_mesh.encryption.keys import KeySource, ZoneKeys, keys_to_open
from dimse_mesh.encryption.noise import Initiated, Responding, initiate, respond
from dimse_mesh.encryption.protection import Protection
from dimse_mesh.encryption.segments import protection
from dimse_mesh.schemas.addresses import HalfAddress
from dimse_mesh.schemas.association import EncryptionOffer, OpenRequest

_DOMAIN = "dimse-mesh association 1"


def _prologue(request: OpenRequest, pdu: bytes | memoryview, front_end: HalfAddress, to_zone: str) -> bytes:
    return bound(
        (
            _DOMAIN,
            request.association,
            front_end.instance.tokens,
            str(front_end.channel),
            to_zone,
            request.called_ae,
            request.calling_ae,
            request.delivery,
            bytes(pdu),
        )
    )


def _answer(executor: HalfAddress, pdu: bytes | memoryview) -> bytes:
    return bound((executor.instance.tokens, str(executor.channel), bytes(pdu)))


def _encode(message: bytes) -> str:
    return base64.b64encode(message).decode()


@dataclass(frozen=True, slots=True)
class Offered:
    """What a front-end has offered to each zone."""

    offers: dict[str, EncryptionOffer]
    _initiated: dict[str, Initiated]

    def accept(self, zone: str, message: str, executor: HalfAddress, pdu: bytes) -> Protection:
        """Return the protection of the association that an executor has opened.

        Args:
            zone: the executor's.
            message: its handshake message.
            pdu: the target's answer.

        Raises:
            EncryptionError: the executor has no key of that zone, or the answer was changed on its way.
        """
        initiated = self._initiated.get(zone)
        if initiated is None:
            raise EncryptionError("encryption-key-unknown")
        keys, payload = initiated.finish(decode_message(message))
        if payload != _answer(executor, pdu):
            raise EncryptionError("encryption-broken")
        return protection(keys, at_initiator=True)


def offer(
    keys: ZoneKeys, request: OpenRequest, pdu: bytes, front_end: HalfAddress, zones: Iterable[str]
) -> Offered:
    """Offer an association's encryption to each of these zones."""
    ephemeral = X25519PrivateKey.generate()
    offers, initiated = {}, {}
    for zone in zones:
        remote = keys.public[zone][0]
        initiated[zone], message = initiate(
            keys.current.key, remote.key, _prologue(request, pdu, front_end, zone), ephemeral
        )
        offers[zone] = EncryptionOffer(
            from_key=keys.current.public.id, to_key=remote.id, message=_encode(message)
        )
    return Offered(offers, initiated)


@dataclass(frozen=True, slots=True)
class Taken:
    """An offer that an executor has found to be true."""

    _responding: Responding

    def answer(self, executor: HalfAddress, pdu: bytes) -> tuple[Protection, str]:
        """Return the association's protection and the handshake message for the front-end."""
        keys, message = self._responding.finish(_answer(executor, pdu), X25519PrivateKey.generate())
        return protection(keys, at_initiator=False), _encode(message)


def take(source: KeySource, request: OpenRequest, pdu: bytes | memoryview, front_end: HalfAddress) -> Taken:
    """Check a front-end's offer.

    Raises:
        EncryptionError: there is none for our zone, or it was not made by the front-end's zone for this opening.
    """
    zone = front_end.instance.zone
    made = request.encryption.get(source.now().zone)
    if made is None:
        raise EncryptionError("encryption-required")
    keys = keys_to_open(source, zone, from_key=made.from_key, to_key=made.to_key)
    own = keys.private_key(made.to_key)
    remote = keys.public_key(zone, made.from_key)
    prologue = _prologue(request, pdu, front_end, keys.zone)
    return Taken(respond(own, remote, prologue, decode_message(made.message)))


@dataclass(frozen=True, slots=True)
class AssociationEncryption:
    """What a zone's settings ask of associations.

    Args:
        source: of the zone's keys. Each association takes those of the moment, and stands when they change.
        required: whether nothing passes between it and zones of which no key is known.
    """

    source: KeySource
    required: bool

    def is_required_with(self, zone: str) -> bool:
        """Tell whether associations with a zone must be encrypted."""
        return self.required or zone in self.source.now().public

    def offer(
        self, request: OpenRequest, pdu: bytes, front_end: HalfAddress, *, to_zone: str | None, required: bool
    ) -> Offered:
        """Offer an association's encryption to the zone that it goes to; None: to every zone.

        Args:
            required: by the route.

        Raises:
            EncryptionError: it has to be encrypted, and no key of the zone is known.
        """
        keys = self.source.now()
        known = keys.public
        zones = list(known) if to_zone is None else [to_zone] if to_zone in known else []
        if not zones and (required or self.required):
            raise EncryptionError("encryption-key-unknown", f"no public key of zone {to_zone} is known here")
        return offer(keys, request, pdu, front_end, zones)

    def settle(
        self, offered: Offered, message: str, executor: HalfAddress, pdu: bytes, *, required: bool
    ) -> Protection | None:
        """Return the protection of an association that an executor has opened; None: it needs none.

        Raises:
            EncryptionError: it needs one, and the executor has not proved that it is of its zone.
        """
        zone = executor.instance.zone
        if message:
            return offered.accept(zone, message, executor, pdu)
        if required or self.is_required_with(zone):
            raise EncryptionError("encryption-missing", f"zone {zone} has answered without encryption")
        return None

    def take(self, request: OpenRequest, pdu: bytes | memoryview, front_end: HalfAddress) -> Taken | None:
        """Check a front-end's offer before the target is asked; None: there is none, and none is needed.

        Raises:
            EncryptionError: one is needed, or this one is not true.
        """
        zone = front_end.instance.zone
        if self.source.now().zone not in request.encryption and not self.is_required_with(zone):
            return None
        return take(self.source, request, pdu, front_end)
