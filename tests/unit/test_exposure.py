"""The port of a Serve replica, which runs what it is sent, is open on the node's address alone."""

import importlib
import inspect
from ipaddress import ip_address
from typing import Any

import psutil
import pytest
import ray

from actors.placement.exposure import ANY, REPLICA, keep_to_the_node, node_only

grpc: Any = importlib.import_module("grpc")  # comes with ray, without types
# Ray's own modules use what pydantic is about to take away.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def replica(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Serve's module, as it was again afterwards."""
    module: Any = importlib.import_module(REPLICA)
    monkeypatch.setattr(module, "add_port_to_grpc_server", module.add_port_to_grpc_server)
    return module


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The node's address."""
    address = ["127.0.0.1"]
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: address[0])
    return address


def test_serve_asks_for_all_interfaces_in_the_place_that_we_know(replica: Any) -> None:
    source = inspect.getsource(replica.Replica._on_initialized)
    assert f'add_port_to_grpc_server(self._server, "{ANY}:0")' in source
    assert inspect.getsource(replica).count(ANY) == 1, "another port was opened to everybody"


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1", "127.0.0.1:0"), ("10.1.2.3", "10.1.2.3:0"), ("fd00::7", "[fd00::7]:0")],
)
def test_the_nodes_own_address(address: str, expected: str, node: list[str]) -> None:
    node[0] = address
    assert node_only("[::]:0") == expected
    assert node_only("192.0.2.1:80") == "192.0.2.1:80"


async def test_the_port_is_open_there_and_nowhere_else(node: list[str], replica: Any) -> None:
    assert node == ["127.0.0.1"]
    keep_to_the_node()
    keep_to_the_node()  # a replica that is initialised again
    server = grpc.aio.server()
    port = replica.add_port_to_grpc_server(server, "[::]:0")
    await server.start()
    listening = [
        ip_address(connection.laddr.ip)
        for connection in psutil.Process().net_connections("inet")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
    ]
    await server.stop(0)
    assert listening
    assert all((getattr(ip, "ipv4_mapped", None) or ip).is_loopback for ip in listening)
