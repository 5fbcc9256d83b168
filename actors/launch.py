"""Starts everything on one machine in the right order, watches it, stops it."""

import contextlib
import os
import signal
import sys
import threading
import types
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil

from actors import embedded, wiring
from actors.clock import SystemClock
from actors.errors import Misconfigured
from actors.settings import Settings

WATCH_S = 0.5
READY_S = 60
SCHEDULER_PAUSE_S = 2.0
SERVE_STOP_S = 5.0
HOSTS_STOP_S = 6.0
SERVE_APP = "default"
"""The name that `serve run` uses too, so that it redeploys this application."""


def say(text: str) -> None:
    """A line for the person at the terminal."""
    print(text, flush=True)


class Run:
    """One run of everything; `stop` undoes what was begun, in the opposite order."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._environment = dict(os.environ)
        self._stopping = threading.Event()
        self._undo = contextlib.ExitStack()
        self._redis: embedded.EmbeddedRedis | None = None
        self._scheduler: psutil.Popen | None = None
        self._ray_address = settings.ray_address
        self._ray_head: list[psutil.Process] = []

    def start(self) -> None:
        """Brings everything up. Raises Misconfigured."""
        settings, undo = self._settings, self._undo
        self._directory = wiring.directory_of(settings)
        self._directory.require_one()
        undo.enter_context(embedded.locked(settings.data_dir))
        embedded.end(embedded.leftovers(settings.data_dir))
        undo.callback(lambda: embedded.end(embedded.leftovers(settings.data_dir), 2.0))
        own_ray = not settings.ray_address
        embedded.require_free(settings.port, settings.bind_address, "PORT")
        if own_ray:
            embedded.require_free(settings.dashboard_port, "127.0.0.1", "DASHBOARD_PORT")
        os.environ[embedded.RUN_MARK] = str(settings.data_dir.resolve())
        # A Ray job's `python` is this one.
        os.environ["PATH"] = os.pathsep.join(
            [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
        )
        self._start_redis()
        if own_ray:
            os.environ.update(embedded.ray_environment())
            self._ray_address = embedded.start_ray(settings)
            self._ray_head = embedded.ray_head()
            os.environ["RAY_ADDRESS"] = self._ray_address
        else:
            self._ray_address = embedded.join_ray(settings)
        undo.callback(embedded.leave_ray)
        self._start_service()
        self._start_scheduler()

    def _start_redis(self) -> None:
        url = self._settings.redis_url.get_secret_value()
        if url:
            embedded.check_redis(url)
            return
        if self._settings.durability == "replicated":
            raise Misconfigured(
                "DURABILITY=replicated needs a Redis with a replica; set REDIS_URL to it"
            )
        appendfsync = "always" if self._settings.durability == "always" else "everysec"
        self._redis = embedded.EmbeddedRedis(self._settings.data_dir, appendfsync)
        self._undo.callback(self._redis.stop)
        self._redis.start()
        os.environ["REDIS_URL"] = self._redis.url
        self._settings = Settings()

    def _start_service(self) -> None:
        from ray import serve

        import serve_app
        from actors import placement

        settings = self._settings
        ran_before = placement.serve_is_running()
        placement.start_hosts(settings)
        self._undo.callback(_within, HOSTS_STOP_S, placement.end_all)
        leave = partial(serve.delete, SERVE_APP) if ran_before else serve.shutdown
        self._undo.callback(_within, SERVE_STOP_S, leave)
        serve.start(http_options={"host": settings.bind_address, "port": settings.port})
        serve.run(serve_app.application(settings), name=SERVE_APP, route_prefix="/")

    def _start_scheduler(self) -> None:
        self._scheduler = _spawn_scheduler()
        self._undo.callback(self._stop_scheduler)

    def _stop_scheduler(self) -> None:
        if self._scheduler is not None:
            embedded.end([self._scheduler], 3.0)

    def announce(self) -> None:
        """Prints where everything is, once it is ready."""
        settings = self._settings
        url = f"http://{_reachable(settings.bind_address)}:{settings.port}"
        _wait_until_ready(f"{url}/readyz")
        dashboard = f"http://127.0.0.1:{settings.dashboard_port}"
        known = {
            "REDIS_URL": settings.redis_url.get_secret_value(),
            "RAY_ADDRESS": self._ray_address,
            "PATH": os.environ["PATH"],
        }
        if not settings.ray_address:
            known |= embedded.ray_environment() | {"RAY_API_SERVER_ADDRESS": dashboard}
        embedded.write_environment(settings.data_dir / "env", known)
        companies = settings.companies()
        say(f"  service    {url}  (API at {url}/docs)")
        if any(company.webchat for company in companies.values()):
            say(f"  web chat   {url}/chat")
        for name, company in companies.items():
            if company.chatwoot is not None:
                say(f"  webhook    {url}/webhook/chatwoot/{name}")
        for company_id, why in self._directory.broken().items():
            say(f"  broken     {company_id}: {why}")
        say(f"  dashboard  {dashboard if not settings.ray_address else settings.ray_address}")
        say(f"  shell      . {settings.data_dir / 'env'}   (sets REDIS_URL, RAY_ADDRESS)")
        say("ready")

    def watch(self) -> None:
        """Waits for the end; brings back a child that died."""
        while not self._stopping.wait(WATCH_S):
            if self._ray_head and not embedded.all_run(self._ray_head):
                self._start_again()
            if self._redis is not None and not self._redis.is_running:
                say("redis-server died and is started again")
                self._redis.start()
            if self._scheduler is not None and self._scheduler.poll() is not None:
                say("the scheduler died and is started again")
                self._stopping.wait(SCHEDULER_PAUSE_S)
                self._scheduler = _spawn_scheduler()

    def _start_again(self) -> None:
        """Becomes a new run. Whatever is left of Ray is ended by the new run, as after a kill."""
        say("Ray died, everything is started again")
        if self._redis is not None:
            self._redis.terminate()
        if self._scheduler is not None:
            self._scheduler.terminate()
        os.execve(sys.executable, [sys.executable, *sys.argv], self._environment)

    def ask_to_stop(self, _: int, __: types.FrameType | None) -> None:
        """The signal handler."""
        self._stopping.set()

    def stop(self) -> None:
        """Stops all that was started."""
        self._undo.close()


def _within(seconds: float, call: Callable[[], object]) -> None:
    """Makes a call of Ray's in a thread of its own: it may wait long for what is gone."""
    calling = threading.Thread(target=call, daemon=True)
    calling.start()
    calling.join(seconds)


def _spawn_scheduler() -> psutil.Popen:
    return psutil.Popen([sys.executable, "-m", "scheduler"])


def _reachable(address: str) -> str:
    return "127.0.0.1" if address in ("0.0.0.0", "::") else address


def _wait_until_ready(url: str) -> None:
    clock, pause = SystemClock(), threading.Event()
    until_ms = clock.now_ms() + READY_S * 1_000
    last = ""
    while clock.now_ms() < until_ms:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError as error:
            last = str(error)
            pause.wait(0.1)
    raise Misconfigured(f"the service did not get ready within {READY_S} s ({last}); see its log")


def launch(settings: Settings) -> None:
    """Runs everything until SIGINT or SIGTERM. Raises Misconfigured if it cannot start."""
    Path(settings.data_dir).mkdir(parents=True, exist_ok=True)
    run = Run(settings)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run.start()
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, run.ask_to_stop)
        run.announce()
        run.watch()
    except KeyboardInterrupt:
        pass
    finally:
        say("stopping")
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, signal.SIG_IGN)
        run.stop()
