"""Maps each conversation to a named Ray actor, and reaches it there."""

from actors.placement.cluster import cluster, holder_of
from actors.placement.hosts import (
    answering,
    end_all,
    ensure_hosts,
    replace,
    serve_is_running,
    start_hosts,
)
from actors.placement.names import NAMESPACE, host_of, slots_of
from actors.placement.router import Router

__all__ = [
    "NAMESPACE",
    "Router",
    "answering",
    "cluster",
    "end_all",
    "ensure_hosts",
    "holder_of",
    "host_of",
    "replace",
    "serve_is_running",
    "slots_of",
    "start_hosts",
]
