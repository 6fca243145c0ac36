"""What a configuration asks of AE title rewriting that can't be translated back (docs/adr/0014)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from dimse_mesh.runtime.settings import ZoneSettings
from dimse_mesh.runtime.settings_scu import RemoteAe

_WILD = frozenset("*?[")


def untranslatable(settings: ZoneSettings) -> Iterator[str]:
    """Yield a line for each combination of `called_ae` and `calling_ae` whose way back is not certain."""
    remotes = settings.scu.remote_aes
    rewritten = [
        remote for remote in remotes if remote.called_ae is not None or remote.calling_ae is not None
    ]
    if rewritten and not settings.association.listeners:
        names = ", ".join(remote.ae_title for remote in rewritten)
        yield (
            f"scu.remote_aes: {names}: AE titles are rewritten, and this zone has no listener: what these targets open "
            "themselves arrives elsewhere and is not translated back"
        )
    by_title: dict[str, list[RemoteAe]] = defaultdict(list)
    for remote in remotes:
        by_title[remote.called_ae or remote.ae_title].append(remote)
    for title, sharing in by_title.items():
        if len(sharing) > 1 and any(remote in rewritten for remote in sharing):
            names = ", ".join(remote.ae_title for remote in sharing)
            yield (
                f"scu.remote_aes: {names} are all called {title!r}: when one of them calls back, the latest "
                "operation of any of them decides by which name it is shown"
            )
    served = {remote.ae_title for remote in remotes}
    for remote in remotes:
        if remote.calling_ae is None:
            continue
        where = f"scu.remote_aes: {remote.ae_title}: calling_ae {remote.calling_ae!r}"
        if remote.calling_ae in served:
            yield (
                f"{where} is an AE of this zone, too: while a storage commitment is awaited, what the target sends "
                "to it goes to the client that has asked"
            )
        if not _one_client(remote):
            yield (
                f"{where} stands for several clients: reports of storage commitments that they await at once are told "
                "apart by their order alone"
            )


def _one_client(remote: RemoteAe) -> bool:
    allowed = remote.from_calling
    return allowed is not None and len(allowed) == 1 and not _WILD.intersection(allowed[0])
