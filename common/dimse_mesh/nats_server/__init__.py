"""The nats-server that this project starts or configures: its version, accounts, users, permissions and keys.

Nothing here speaks NATS: `mesh` does, to any nats-server.

version              the nats-server that is tried and shipped
build_info           what a binary of nats-server was built from
embedded             one as a child process
permissions          what each role may publish and subscribe to
permissions_durable  what durable delivery adds
accounts             nats-server's configuration of accounts and users
keys                 the files of their nkeys
"""

from dimse_mesh.nats_server.embedded import EmbeddedServer, EmbeddedServerError, embedded_server

__all__ = ["EmbeddedServer", "EmbeddedServerError", "embedded_server"]
