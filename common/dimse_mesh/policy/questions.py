"""The questions that a policy answers: at admission, at the opening of an association, at each operation."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """A verified TLS client certificate.

    Attributes:
        subject: `O=...,CN=...`, in the certificate's order; `\\` stands before a separator in a value.
        issuer: the same of its issuer.
        names: its subject alternative names, without their kinds.
    """

    subject: str
    issuer: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionQuestion:
    """May this peer associate here? A front-end asks this before it asks the mesh for a target.

    Attributes:
        port: of the listener.
        listener: AE titles that the listener answers for; None: all.
        certificate: the peer's verified TLS certificate; None: it has sent none.
        user_identity: type and primary field of the User Identity item (PS3.7 §D.3.3.7); None: there is none.
        open_associations: of this front-end.
        from_address: open associations from the peer's address.
        of_calling_ae: open associations of the calling AE title.
        to_called_ae: open associations to the called AE title.
        address_too_fast: whether the peer's address opens more associations a second than one may.
        calling_ae_too_fast: whether the calling AE title does.
        called_ae_too_fast: whether more are opened to the called AE title than may be.
        draining: whether the front-end is stopping.
    """

    peer_host: str
    port: int
    certificate: PeerCertificate | None
    called_ae: str
    calling_ae: str
    protocol_version: int
    user_identity: tuple[int, bytes] | None = field(repr=False)
    listener: tuple[str, ...] | None
    open_associations: int
    from_address: int = 0
    of_calling_ae: int = 0
    to_called_ae: int = 0
    address_too_fast: bool = False
    calling_ae_too_fast: bool = False
    called_ae_too_fast: bool = False
    draining: bool


_USERNAMES: Final = (1, 2)
"""Types of a User Identity item whose primary field is a user name (PS3.7 §D.3.3.7.1)."""


def username(identity: tuple[int, bytes] | None) -> str:
    """Return the user name that a User Identity item holds; empty: it holds none."""
    if identity is None or identity[0] not in _USERNAMES:
        return ""
    return identity[1].decode("utf-8", "replace")


class Side(StrEnum):
    """Which end of the mesh asks about an opening."""

    FRONT_END = "front-end"
    EXECUTOR = "executor"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningQuestion:
    """May this association be opened? The front-end asks this before it asks the mesh, the executor before it connects.

    Attributes:
        from_zone: of the front-end.
        target: the AE title by which the mesh knows the target; None where the front-end doesn't know it.
    """

    side: Side
    from_zone: str
    called_ae: str
    calling_ae: str
    target: str | None


class OperationQuestion(NamedTuple):
    """May this operation be performed? A handler asks this, or the endpoint for an operation that has no handler.

    Attributes:
        service: the name of the DIMSE service; `unknown` if PS3.7 doesn't define it.
        from_client: whether the association's requestor asks; else its acceptor does.
    """

    command_field: int
    service: str
    called_ae: str
    calling_ae: str
    from_client: bool


Question = AdmissionQuestion | OpeningQuestion | OperationQuestion
