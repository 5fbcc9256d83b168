"""Is a second node of a Ray cluster on loopback: `python -m tests.chaos.node GCS_ADDRESS`.

As `ray start --address` would make it, which refuses to join a cluster that keeps to loopback.
"""

import signal
import sys

from ray._private.node import Node
from ray._private.parameter import RayParams

from tests.places import free_ports


def main() -> None:
    """Stays until it is ended."""
    agent, metrics = free_ports(2)
    params = RayParams(
        gcs_address=sys.argv[1],
        node_ip_address="127.0.0.1",
        num_cpus=1,
        object_store_memory=80 << 20,
        dashboard_agent_listen_port=agent,
        metrics_export_port=metrics,
    )
    node = Node(params, head=False, shutdown_at_exit=True, spawn_reaper=False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.pause()
    del node


if __name__ == "__main__":
    main()
