"""No secret stands on a command line: every user of the machine sees it there."""

from __future__ import annotations

from urllib.parse import urlsplit

from dimse_mesh.runtime.settings_errors import ConfigurationError


def refuse_secrets_in(url: str, option: str) -> None:
    """Refuse a URL that has a user, a password or a query.

    Raises:
        ConfigurationError: it has; what it is isn't repeated.
    """
    parts = urlsplit(url)
    if "@" in url or parts.query:
        raise ConfigurationError(
            [
                f"{option}: no user, password or token here: everybody on this machine sees it; give --config FILE"
            ]
        )
