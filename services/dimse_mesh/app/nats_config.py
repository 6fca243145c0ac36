"""`dimse-mesh nats-config`: nats-server's configuration for some zones, from their files.

hub.conf                    yours to edit: where it listens, TLS; written once
hub-accounts.conf           accounts, users and permissions; written anew each time
leaf-<zone>.conf            a zone's own server, which joins the hub; yours to edit
leaf-<zone>-accounts.conf
keys/<zone>/<role>.nk       seeds, for that zone alone; kept when they are there
keys/<zone>/leaf.conf       the seed with which its server joins the hub
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dimse_mesh.app.zone_files import Zone, load_zones
from dimse_mesh.nats_server.accounts import LeafKey, PublicKey, hub_accounts, leaf_accounts
from dimse_mesh.nats_server.keys import KeyFolder
from dimse_mesh.nats_server.permissions import ZoneFacts
from dimse_mesh.runtime.errors import StartError
from dimse_mesh.runtime.settings import ZoneSettings
from dimse_mesh.runtime.settings_errors import ConfigurationError
from dimse_mesh.runtime.spools import shares_of, spools_of
from dimse_mesh.schemas.addresses import Role
from dimse_mesh.schemas.service import ServiceName
from dimse_mesh.schemas.tokens import encode_token

KEYS = "keys"
_GENERATED = (
    "# Written by `dimse-mesh nats-config`. Don't edit it: write it anew when a zone's file changes.\n"
)
_PRINTED = """\
# Nothing was written, and no keys were made: these files are a preview, with names where public keys will stand.
# `dimse-mesh nats-config FILE... --output DIR` writes them with keys, the secret halves in DIR/keys.
"""

_HUB = """\
# The hub: services of any zone, and the zones' own nats-servers, connect here. Yours to edit.
server_name: "hub"
listen: "0.0.0.0:4222"
max_payload: 1MB
max_pending: 128MB
# tls { cert_file: "hub.crt", key_file: "hub.key" }
leafnodes {
  listen: "0.0.0.0:7422"
  compression: s2_fast
  # tls { cert_file: "hub.crt", key_file: "hub.key" }
}
"""


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One file of nats-server. `edited`: by the site, so that it is written only where it is missing."""

    name: str
    text: str
    edited: bool


def facts_of(settings: ZoneSettings) -> ZoneFacts:
    """Return what the permissions of a zone depend on."""
    return ZoneFacts(
        root=settings.subject_root,
        zone=settings.zone,
        ae_titles=tuple(remote.ae_title for remote in settings.scu.remote_aes),
        has_default=settings.scu.default_ae is not None,
        spools=spools_of(settings),
        shares=shares_of(settings),
        domain=settings.spool.domain,
        hosted={Role(service.value): settings.hosted_by(service) for service in ServiceName},
        has_events=settings.events.enabled,
    )


def print_config(files: Sequence[Path], hub: str) -> str:
    """Return what would be written, one file after the other, with names in the places of keys.

    Raises:
        ConfigurationError: the files can't be used, alone or together.
    """
    made = _config_files(
        _facts(files), hub, lambda zone, user: f"<key of {zone}/{user}>", lambda zone: f"<key of {zone}/leaf>"
    )
    return _PRINTED + "".join(f"\n# ---- {file.name}\n{file.text}" for file in made)


def write_config(files: Sequence[Path], hub: str, output: Path) -> str:
    """Write the files below `output`, and return what to do with them.

    Raises:
        ConfigurationError: the files can't be used, alone or together.
        KeyFileError: the keys can't be kept there.
        StartError: nothing can be written there.
    """
    zones = _facts(files)
    keys = KeyFolder(output / KEYS)
    try:
        output.mkdir(parents=True, exist_ok=True)
        made = _config_files(zones, hub, keys.public_key, keys.leaf_public_key)
        kept = [file for file in made if file.edited and (output / file.name).exists()]
        for file in made:
            if file not in kept:
                (output / file.name).write_text(file.text)
    except OSError as error:
        raise StartError(f"can't write in {output}: {error.strerror}") from error
    lines = [f"{output / file.name}: {'kept as it is' if file in kept else 'written'}" for file in made]
    lines += [
        f"{keys.zone(zone.zone)}: secret keys of zone {zone.zone}; in its file: nats.nkey_seed: FOLDER"
        for zone in zones
    ]
    return "".join(f"{line}\n" for line in lines)


def _facts(files: Sequence[Path]) -> list[ZoneFacts]:
    loaded = load_zones(files)
    zones = [facts_of(zone.settings) for zone in loaded]
    problems = [
        f"{zone.config}: zone: accounts whose names start with '$' belong to NATS itself"
        for zone in loaded
        if zone.settings.zone.startswith("$")
    ]
    problems += _domain_problems(loaded, zones)
    if problems:
        raise ConfigurationError(problems)
    return zones


def _domain_problems(loaded: Sequence[Zone], zones: Sequence[ZoneFacts]) -> Iterator[str]:
    """Yield why a zone's delivery service would not reach what another zone keeps for it on its own nats-server."""
    keeping: dict[str, Path] = {}
    for file, source in zip((zone.config for zone in loaded), zones, strict=True):
        if source.spools and source.domain is not None:
            if source.domain in keeping:
                yield f"{file}: spool.domain: {source.domain!r} is that of {keeping[source.domain]} too"
            keeping.setdefault(source.domain, file)
        for other, zone in zip(loaded, zones, strict=True):
            names = ", ".join(spool.label for spool in source.spools if zone.is_for(spool))
            if not names or zone.zone == source.zone:
                continue
            if source.domain is None:
                yield (
                    f"{file}: spool.domain: name the JetStream domain of this zone's nats-server ({source.zone}, say): "
                    f"zone {zone.zone} takes from it what is kept for {names}"
                )
            elif source.domain not in other.settings.delivery.domains:
                yield (
                    f"{other.config}: delivery.domains: {source.domain!r} is missing: zone {source.zone} keeps there "
                    f"what is for {names}"
                )


def _config_files(
    zones: Sequence[ZoneFacts], hub: str, key: PublicKey, leaf_key: LeafKey
) -> list[ConfigFile]:
    made = _pair("hub", _HUB, hub_accounts(zones, key, leaf_key))
    for zone in zones:
        made += _pair(
            f"leaf-{encode_token(zone.zone)}", _leaf_server(zone, hub), leaf_accounts(zone.zone, zones, key)
        )
    return made


def _pair(name: str, server: str, accounts: str) -> list[ConfigFile]:
    """Return a server's own file, and the one that it includes."""
    included = f"{name}-accounts.conf"
    return [
        ConfigFile(f"{name}.conf", f'{server}include "{included}"\n', edited=True),
        ConfigFile(included, _GENERATED + accounts, edited=False),
    ]


def _leaf_server(zone: ZoneFacts, hub: str) -> str:
    link = KeyFolder(Path(KEYS)).leaf_file(zone.zone)
    return f"""\
# The nats-server of zone {zone.zone}: its services connect here, and it joins the hub. Yours to edit.
server_name: "{zone.zone}"
listen: "0.0.0.0:4222"
max_payload: 1MB
max_pending: 128MB
leafnodes {{
  remotes: [ {{
    url: "{hub}"
    account: "{zone.zone}"
    compression: s2_fast
    include "{link}"
  }} ]
}}
{_jetstream(zone) if zone.spools else ""}"""


def _jetstream(zone: ZoneFacts) -> str:
    domain = "" if zone.domain is None else f'  domain: "{zone.domain}"\n'
    return f"""\
# What durable routes have acknowledged, and their destinations don't have yet. One server fsyncs each message: three of
# them, and `spool.replicas: 3`, needn't.
jetstream {{
  store_dir: "jetstream-{encode_token(zone.zone)}"
{domain}  sync_interval: always
}}
"""
