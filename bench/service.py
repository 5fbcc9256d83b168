"""Starts the service as a user does, but apart from any other: own data, own ports, own peers."""

import asyncio
import contextlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from actors import embedded
from actors.settings import Settings
from bench import webhooks
from bench.figures import Unmeasured
from bench.sides import Sides, sides

READY_S = 90.0
STOP_S = 30.0
ANOTHER_RAY_S = 120.0
"""How long we wait for another Ray on this machine to end: two would measure each other."""

CALM_CORES = 0.35
"""Ray at rest takes a little; below so many cores nothing is left over from a round."""

CALM_S = 8.0
FIRST_PORT = 20_000
LOG_TAIL = 12


@dataclass(frozen=True)
class Service:
    """A service that is ready."""

    port: int
    redis_url: str
    sides: Sides
    process: psutil.Process

    async def calm(self) -> None:
        """Waits until the work that a round left behind is done, at most CALM_S."""
        until_s = time.monotonic() + CALM_S
        while time.monotonic() < until_s:
            before = self._cpu_s()
            await asyncio.sleep(0.4)
            if self._cpu_s() - before < 0.4 * CALM_CORES:
                return

    def _cpu_s(self) -> float:
        total = 0.0
        for process in [self.process, *self.process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
        return total


def plain_environment() -> dict[str, str]:
    """The environment without what would set up Turnwise or Ray otherwise."""
    own = {name.upper() for name in Settings.model_fields} | {embedded.RUN_MARK}
    return {
        name: value
        for name, value in os.environ.items()
        if name.upper() not in own and not name.startswith("RAY_")
    }


def some_port() -> int:
    """A free port, far from where other runs of this bench begin to look."""
    return embedded.free_port(FIRST_PORT + os.getpid() * 17 % 10_000)


@contextlib.contextmanager
def temporary_data() -> Iterator[Path]:
    """A data directory that is removed, with every process and Ray directory that belongs to it."""
    with tempfile.TemporaryDirectory(prefix="turnwise-bench-") as directory:
        data_dir = Path(directory)
        try:
            yield data_dir
        finally:
            embedded.end(embedded.leftovers(data_dir))
            shutil.rmtree(embedded.ray_directory(data_dir), ignore_errors=True)


def _another_ray() -> bool:
    """Whether a Ray runs here that is not ours; a dead one may stay in the list for a while."""
    return any(
        process.info["name"] == "gcs_server" and process.info["status"] != psutil.STATUS_ZOMBIE
        for process in psutil.process_iter(["name", "status"])
    )


async def no_other_ray() -> None:
    """Waits for the end of any Ray on this machine, our own last one too. Raises Unmeasured."""
    until_s = time.monotonic() + ANOTHER_RAY_S
    while _another_ray():
        if time.monotonic() > until_s:
            raise Unmeasured("another Ray runs on this machine; stop it and measure again")
        await asyncio.sleep(1)


def _lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()


async def _ready(process: asyncio.subprocess.Process, log: Path) -> None:
    until_s = time.monotonic() + READY_S
    while time.monotonic() < until_s and process.returncode is None:
        if "ready" in _lines(log):
            return
        await asyncio.sleep(0.1)
    tail = "\n".join(_lines(log)[-LOG_TAIL:])
    raise Unmeasured(f"the service did not get ready:\n{tail}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_S)
    if process.returncode is None:
        process.kill()
        await process.wait()


def _environment(data_dir: Path, peer: int, settings: dict[str, str]) -> dict[str, str]:
    return plain_environment() | {
        "DATA_DIR": str(data_dir),
        "COMPANY_ID": webhooks.COMPANY,
        "CHATWOOT_BASE_URL": f"http://127.0.0.1:{peer}",
        "CHATWOOT_API_KEY": "bench",
        "ACCOUNT_ID": str(webhooks.ACCOUNT),
        "CHATWOOT_WEBHOOK_SECRET": webhooks.SECRET,
        "OPENAI_BASE_URL": f"http://127.0.0.1:{peer}/v1",
        "OPENAI_API_KEY": "bench",
        "LOG_LEVEL": "WARNING",
        "WAITING_PER_COMPANY_MAX": "1000000",
        **settings,
    }


@contextlib.asynccontextmanager
async def service(model_delay_s: float, **settings: str) -> AsyncIterator[Service]:
    """The service under these settings (environment variables) beside peers of its own."""
    with temporary_data() as data_dir:
        async with sides(some_port(), model_delay_s) as other:
            environment = _environment(data_dir, other.port, settings)
            port = embedded.free_port(other.port + 1)
            ports = {"PORT": str(port), "DASHBOARD_PORT": str(embedded.free_port(port + 1))}
            log = data_dir / "log"
            with log.open("wb") as lines:
                process = await asyncio.create_subprocess_exec(
                    Path(sys.executable).with_name("turnwise"),
                    "run",
                    stdout=lines,
                    stderr=lines,
                    env=environment | ports,
                    start_new_session=True,
                )
            try:
                await _ready(process, log)
                url = _redis_url(data_dir / "env")
                running = Service(port, url, other, psutil.Process(process.pid))
                await running.calm()  # Ray goes on starting for a while
                yield running
            finally:
                await _stop(process)
                _show_warnings(log)


def _redis_url(env: Path) -> str:
    found = re.search(r"export REDIS_URL='([^']+)'", env.read_text())
    if found is None:
        raise Unmeasured("the service does not say where its Redis is")
    return found.group(1)


def _show_warnings(log: Path) -> None:
    """What the service complained of belongs beside its figures."""
    lines = [line for line in _lines(log) if "turnwise." in line]
    for line in lines[:3]:
        print(f"  the service said: {line[:300]}", file=sys.stderr)
    if len(lines) > 3:
        print(f"  … and {len(lines) - 3} more lines", file=sys.stderr)
