"""Keeps a port that Ray Serve opens in every replica to the address of the replica's node."""

import functools
import importlib
from typing import Any

import ray

REPLICA = "ray.serve._private.replica"
ANY = "[::]"
"""All interfaces of the machine, in the address that Serve asks for."""


def node_only(address: str) -> str:
    """The address with all interfaces replaced by the node's own, by which others know it: the
    loopback address where Ray keeps to this machine."""
    util: Any = ray.util
    node = util.get_node_ip_address()
    return address.replace(ANY, f"[{node}]" if ":" in node else node)


def keep_to_the_node() -> None:
    """To be called in a replica before it opens its port for calls between deployments.

    That port unpickles whatever it is sent, and asks for no token: whoever reaches it can run code.
    Serve (2.60, _private/replica.py) opens it on all interfaces whether it is used or not, and has
    no option for it.
    """
    replica: Any = importlib.import_module(REPLICA)  # in a replica it is loaded already
    opening = replica.add_port_to_grpc_server
    if isinstance(opening, functools.partial):
        return

    def open_there(original: Any, server: Any, address: str) -> Any:
        return original(server, node_only(address))

    replica.add_port_to_grpc_server = functools.partial(open_there, opening)
