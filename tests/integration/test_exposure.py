"""Nothing that `turnwise run` starts is open to another machine."""

from ipaddress import IPv6Address, ip_address
from pathlib import Path

import psutil
import pytest

from actors.embedded import RUN_MARK
from tests.places import Place

pytestmark = pytest.mark.cluster


def is_loopback(text: str) -> bool:
    address = ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def listening(mark: str) -> list[tuple[str, str, int]]:
    """Process, address and port of all that listens in a run."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(RUN_MARK) != mark:
                continue
            for connection in process.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN:
                    found.append((process.name(), connection.laddr.ip, connection.laddr.port))
        except psutil.Error:  # it ended meanwhile
            continue
    return found


def test_everything_listens_on_the_loopback_address_alone(place: Place) -> None:
    ports = listening(str(Path(place.environment["DATA_DIR"]).resolve()))
    names = {name for name, _, _ in ports}
    assert {"redis-server", "gcs_server", "raylet"} <= names, names
    assert any("ServeReplica" in name for name in names), names
    assert [port for port in ports if not is_loopback(port[1])] == []
