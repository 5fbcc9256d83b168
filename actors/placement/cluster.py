"""Names this Ray cluster, and the hosts in it, among all that share a Redis."""

import socket

import ray

from actors.placement.names import holder_name

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def cluster() -> str:
    """The name of the cluster that this process is connected to: the same after a restart.

    An address on loopback is the same on every machine, and several may share one Redis.
    """
    host, _, port = str(ray.get_runtime_context().gcs_address).rpartition(":")
    return f"{socket.gethostname() if host.strip('[]') in LOOPBACK else host}:{port}"


def holder_of(name: str) -> str:
    """How the journals name the actor of this name."""
    return holder_name(cluster(), name)
