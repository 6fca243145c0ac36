"""Connect to a destination over TCP or TLS, as its zone's configuration says."""

from __future__ import annotations

from dimse_mesh.client import DicomClient, connect_tcp
from dimse_mesh.endpoint.tls import TlsContext, remote_context
from dimse_mesh.runtime.settings_scu import RemoteAe


class Dialer:
    """Connects to one destination.

    Raises (from the constructor):
        StartError: a TLS file is unusable.
    """

    def __init__(self, remote: RemoteAe) -> None:
        self._remote = remote
        self._tls: TlsContext | None = None if remote.tls is None else remote_context(remote.tls)

    async def connect(self) -> DicomClient:
        """Return a client without an association.

        Raises:
            AssociationError: the destination can't be reached.
        """
        host, port = self._remote.endpoint
        return await connect_tcp(
            host,
            port,
            timeout=self._remote.connect_timeout,
            tls=None if self._tls is None else self._tls.now(),
            server_name=None if self._remote.tls is None else self._remote.tls.server_name,
        )
