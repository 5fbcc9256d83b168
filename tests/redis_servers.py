"""Runs a redis-server of a test's own, puts it into trouble, and takes it out again."""

import contextlib
import ipaddress
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from redis.retry import Retry

from tests.places import free_ports

START_S = 20.0
PASSWORD = "hunter2/no?one#knows"


def until(what: str, check: Callable[[], object], seconds: float = START_S) -> None:
    """Waits until the check is true; an error of Redis's counts as not yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(RedisError):
            if check():
                return
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s for: {what}")


class RedisServer:
    """One redis-server on loopback, its data in `directory`."""

    def __init__(self, program: str, directory: Path) -> None:
        self.program = program
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        (self.port,) = free_ports(1)
        self.url = f"redis://127.0.0.1:{self.port}/0"

    @property
    def operator(self) -> Redis:
        """The operator's own client, apart from the tested one."""
        return Redis.from_url(self.url, retry=Retry(NoBackoff(), 0))

    def begin(self, *options: str) -> None:
        """Starts it, and does not wait."""
        self._directory.mkdir(exist_ok=True)
        fixed = ["--bind", "127.0.0.1", "--dir", str(self._directory)]
        fixed += ["--repl-diskless-sync-delay", "0"]  # Redis 7 waits 5 s for further replicas
        port = [] if "--tls-port" in options else ["--port", str(self.port)]
        self._process = subprocess.Popen(
            [self.program, *port, *fixed, *options], stdout=subprocess.DEVNULL
        )

    def start(self, *options: str) -> None:
        self.begin(*options)
        with self.operator as operator:
            until("the server", operator.ping)

    @property
    def has_ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def stop(self) -> None:
        """Ends it after it has written its file."""
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:  # what it cannot write holds it back
            self._process.kill()
            self._process.wait()

    # What an operator may do to it. Each ends the trouble at its end.

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        with self.operator as operator:
            operator.save()
        self.stop()
        yield
        self.start()

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        with self.operator as operator:
            operator.config_set("maxmemory-policy", "noeviction")
            operator.config_set("maxmemory", "1")
            yield
            operator.config_set("maxmemory", "0")

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        """A replica takes over, and this one becomes the replica's replica."""
        other = RedisServer(self.program, self._directory / "other")
        other.start()
        try:
            with self.operator as here, other.operator as there:
                there.replicaof("127.0.0.1", self.port)
                until("the copy", lambda: there.info("replication")["master_link_status"] == "up")
                there.replicaof("NO", "ONE")
                here.replicaof("127.0.0.1", other.port)
                until("the copy", lambda: here.info("replication")["master_link_status"] == "up")
                yield
                here.replicaof("NO", "ONE")
        finally:
            other.stop()

    @contextlib.contextmanager
    def wrong_password(self) -> Iterator[None]:
        with self.operator as operator:
            operator.config_set("requirepass", PASSWORD)
            operator.client_kill_filter(_type="normal", skipme=True)
            yield
            operator.config_set("requirepass", "")

    @contextlib.contextmanager
    def forbidden(self) -> Iterator[None]:
        with self.operator as operator:
            operator.execute_command("ACL SETUSER", "default", "-set", "-evalsha", "-eval")
            yield
            operator.execute_command("ACL SETUSER", "default", "+@all")

    @contextlib.contextmanager
    def disk(self) -> Iterator[None]:
        in_its_way = self._directory / "dump.rdb" / "a-file"
        with self.operator as operator:
            operator.config_set("save", "3600 1000000")
            in_its_way.parent.unlink(missing_ok=True)
            in_its_way.parent.mkdir()
            in_its_way.touch()
            operator.bgsave()
            until("the failure", lambda: operator.info()["rdb_last_bgsave_status"] == "err")
            yield
            shutil.rmtree(in_its_way.parent)
            operator.bgsave()
            until("the file", lambda: operator.info()["rdb_last_bgsave_status"] == "ok")

    @contextlib.contextmanager
    def no_replica(self) -> Iterator[None]:
        with self.operator as operator:
            operator.config_set("min-replicas-to-write", "1")
            yield
            operator.config_set("min-replicas-to-write", "0")

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """It reads a file of 60 MB, and looks at its clients after each 2 MB."""
        fillers = {f"filler:{place}": "x" * 200_000 for place in range(300)}
        with self.operator as operator:
            operator.config_set("rdbcompression", "no")
            operator.mset(fillers)
            operator.save()
        self.stop()
        self.begin("--key-load-delay", "10000")
        with self.operator as operator:
            until("the port", lambda: says_that_it_loads(operator))
            yield
            until("the data", operator.ping)
            operator.config_set("key-load-delay", "0")
            operator.delete(*fillers)


def says_that_it_loads(operator: Redis) -> bool:
    try:
        operator.get("filler:0")
    except BusyLoadingError:
        return True
    return False


def certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's redis")])
    today = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "redis.crt", directory / "redis.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths
