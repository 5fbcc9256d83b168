"""Maps each conversation to a named Ray actor, and reaches it there."""

from actors.placement.hosts import end_all, ensure_hosts, serve_is_running, start_hosts
from actors.placement.names import NAMESPACE, host_of, slots_of
from actors.placement.router import Router

__all__ = [
    "NAMESPACE",
    "Router",
    "end_all",
    "ensure_hosts",
    "host_of",
    "serve_is_running",
    "slots_of",
    "start_hosts",
]
