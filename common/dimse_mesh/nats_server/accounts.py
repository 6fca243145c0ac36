"""nats-server's configuration of accounts and users, written from what each zone's file says.

    one server for all       one account; a user for each zone and role
    a hub, a leaf per zone   at the hub an account for each zone, which exports to another zone's account what that
                             zone's services hear from it; at the leaf that zone's account alone

Permissions of a leaf link's user can't do the second: a server passes on a subscription only if the permissions cover
all of it, and ours leave the sender open (`*.*.*`). Exports and imports of accounts narrow a subscription instead.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from dimse_mesh.nats_server.permissions import (
    Permissions,
    ZoneFacts,
    crossing,
    meeting,
    permissions_of,
    permissions_of_listener,
    permissions_of_monitor,
)
from dimse_mesh.schemas.addresses import Role

MONITOR = "monitor"
"""The user of tools that only watch."""
LISTENER = "events"
"""The user of programs that act on a zone's events."""
ONE_ACCOUNT = "MESH"

PublicKey = Callable[[str, str], str]
"""The public nkey of a zone's user."""
LeafKey = Callable[[str], str]
"""The public nkey as which a zone's own nats-server joins the hub."""


@dataclass(frozen=True, slots=True)
class Guest:
    """Some roles of a zone that has no file."""

    facts: ZoneFacts
    roles: tuple[Role, ...]


def one_account(
    zones: Sequence[ZoneFacts], key: PublicKey, guests: Sequence[Guest] = (), *, jetstream: bool = True
) -> str:
    """Return the accounts of a server that all services of these zones connect to.

    Guests of one zone name, under several subject roots, are one user for each role.
    """
    users = [user for zone in meeting(zones) for user in _users(zone, key)]
    users += _guest_users(guests, key)
    return _accounts([_account(ONE_ACCOUNT, users, jetstream=jetstream)])


def hub_accounts(zones: Sequence[ZoneFacts], key: PublicKey, leaf_key: LeafKey) -> str:
    """Return the accounts of a hub: for the services of these zones that connect to it, and for their leaf servers."""
    accounts = []
    zones = meeting(zones)
    for zone in zones:
        leaf = f'{{ nkey: {leaf_key(zone.zone)}, allowed_connection_types: ["LEAFNODE"] }}'
        others = [other for other in zones if other.zone != zone.zone]
        exports = [
            f"{{ stream: {_text(subject)}, accounts: [{_text(other.zone)}] }}"
            for other in others
            for subject in crossing(zone, other)
        ]
        imports = [
            f"{{ stream: {{ account: {_text(other.zone)}, subject: {_text(subject)} }} }}"
            for other in others
            for subject in crossing(other, zone)
        ]
        users = [f"# {zone.zone}: its own nats-server", leaf, *_users(zone, key)]
        accounts.append(_account(zone.zone, users, exports=exports, imports=imports))
    return _accounts(accounts)


def leaf_accounts(name: str, zones: Sequence[ZoneFacts], key: PublicKey) -> str:
    """Return the accounts of a zone's own server, which keeps what that zone's durable routes acknowledge.

    Args:
        name: of the zone.
        zones: all that the hub knows.
    """
    # Where a JetStream domain is, nats-server maps requests for it to requests without it, and checks those.
    here = [replace(one, domain=None) if one.zone == name else one for one in zones]
    (zone,) = (one for one in meeting(here) if one.zone == name)
    return _accounts([_account(name, list(_users(zone, key)), jetstream=bool(zone.spools))])


def _users(zone: ZoneFacts, key: PublicKey) -> Iterator[str]:
    for role in Role:
        yield f"# {zone.zone}: {role.value}"
        yield from _user(key(zone.zone, role.value), permissions_of(zone, role))
    yield f"# {zone.zone}: tools that watch"
    yield from _user(key(zone.zone, MONITOR), permissions_of_monitor(zone.root))
    if zone.has_events:
        yield f"# {zone.zone}: programs that act on its events"
        yield from _user(key(zone.zone, LISTENER), permissions_of_listener(zone))


def _guest_users(guests: Sequence[Guest], key: PublicKey) -> Iterator[str]:
    permitted: dict[tuple[str, Role], Permissions] = {}
    for guest in guests:
        for role in guest.roles:
            user = (guest.facts.zone, role)
            granted = permissions_of(guest.facts, role)
            permitted[user] = permitted[user] | granted if user in permitted else granted
    for (zone, role), permissions in permitted.items():
        yield f"# {zone}: {role.value}"
        yield from _user(key(zone, role.value), permissions)


def _user(public_key: str, permissions: Permissions) -> Iterator[str]:
    yield f'{{ nkey: {public_key}, allowed_connection_types: ["STANDARD", "WEBSOCKET"], permissions: {{'
    for name, subjects in (("publish", permissions.publish), ("subscribe", permissions.subscribe)):
        yield f"    {name}: {{ allow: ["
        yield from (f"      {_text(subject)}" for subject in subjects)
        yield "    ] }"
    yield "} }"


def _account(
    name: str,
    users: Iterable[str],
    *,
    exports: Sequence[str] = (),
    imports: Sequence[str] = (),
    jetstream: bool = False,
) -> str:
    sections = (("users", users), ("exports", exports), ("imports", imports))
    lines = [f"  {_text(name)} {{"]
    if jetstream:
        lines.append("    jetstream: enabled")
    for title, entries in sections:
        listed = [f"      {entry}" for entry in entries]
        if listed:
            lines += [f"    {title}: [", *listed, "    ]"]
    return "\n".join((*lines, "  }"))


def _accounts(accounts: Iterable[str]) -> str:
    return "\n".join(("accounts {", *accounts, "}", ""))


def _text(value: str) -> str:
    return json.dumps(value)
