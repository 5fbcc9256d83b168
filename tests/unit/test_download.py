"""A file is fetched from allowed hosts and public addresses alone; nothing of ours goes along."""

import datetime
import gzip
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from actors.channels.addresses import is_allowed_address, is_allowed_host
from actors.channels.download import (
    DOWNLOAD_S,
    REDIRECTS_MAX,
    WAITS_S,
    Download,
    Downloads,
    Refused,
    Unavailable,
    file_client,
    host_of,
)
from actors.companies.company import FileRules
from tests.file_server import (
    FileServer,
    Reply,
    Waits,
    answer,
    endless,
    packed,
    raw,
    redirect,
    silence,
)

SECRET = "signed-id-that-is-a-secret"
RULES = FileRules(
    hosts=("files.example", ".storage.example"), bytes_max=1_000, private_addresses=True
)


class Names:
    """A resolver that knows a few names, and keeps what it was asked."""

    def __init__(self, **addresses: Sequence[str]) -> None:
        self.asked: list[str] = []
        self._addresses = addresses

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        known = self._addresses.get(host.replace(".", "_"), ("127.0.0.1",))
        if not known:
            raise OSError("no such name")
        return known


class Side:
    """A server, and a Downloads that takes every name for it."""

    def __init__(self, server: FileServer, port: int, downloads: Downloads, waits: Waits) -> None:
        self.server, self.port, self._downloads, self.waits = server, port, downloads, waits

    def url(self, path: str, host: str = "files.example", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}/{path}?{SECRET}"

    async def fetch(self, url: str, rules: FileRules = RULES) -> Download:
        return await self._downloads.fetch(url, rules, bytes_max=rules.bytes_max)


@asynccontextmanager
async def serving(
    names: Names | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    trusted: ssl.SSLContext | bool = False,
    within_s: float = DOWNLOAD_S,
    **replies: Reply | list[Reply],
) -> AsyncIterator[Side]:
    server, waits = FileServer(**replies), Waits()
    port = await server.start(tls)
    async with file_client(verify=trusted) as http:
        downloads = Downloads(http, waits, resolve=names or Names(), within_s=within_s)
        try:
            yield Side(server, port, downloads, waits)
        finally:
            await server.stop()


@pytest.mark.parametrize(
    ("address", "is_public", "is_private"),
    [
        ("8.8.8.8", True, False),
        ("2001:4860:4860::8888", True, False),
        ("::ffff:8.8.8.8", True, False),
        ("64:ff9b::8.8.8.8", True, False),
        ("10.0.0.1", False, True),
        ("172.16.0.1", False, True),
        ("172.32.0.1", True, False),
        ("192.168.1.1", False, True),
        ("127.0.0.1", False, True),
        ("127.255.255.254", False, True),
        ("100.64.0.1", False, True),
        ("100.127.255.255", False, True),
        ("::1", False, True),
        ("fc00::1", False, True),
        ("fd12:3456::1", False, True),
        ("::ffff:10.0.0.1", False, True),
        ("::ffff:127.0.0.1", False, True),
        ("64:ff9b::10.0.0.1", False, True),
        ("2002:a00:1::1", False, True),
        # Of no use to anybody: never asked, even where private addresses are allowed.
        ("169.254.169.254", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("fe80::1", False, False),
        ("fe80::1%eth0", False, False),
        ("0.0.0.0", False, False),
        ("0.1.2.3", False, False),
        ("::", False, False),
        ("224.0.0.1", False, False),
        ("ff02::1", False, False),
        ("240.0.0.1", False, False),
        ("255.255.255.255", False, False),
        ("192.0.0.8", False, False),
        ("192.0.2.1", False, False),
        ("198.18.0.1", False, False),
        ("192.88.99.1", False, False),
        ("2001:db8::1", False, False),
        ("fec0::1", False, False),
        ("::127.0.0.1", False, False),
        ("4000::1", False, False),
        ("not an address", False, False),
        ("2130706433", False, False),
    ],
)
def test_which_addresses_may_be_asked(address: str, is_public: bool, is_private: bool) -> None:  # noqa: FBT001 -- a table's columns
    assert is_allowed_address(address, private=False) is is_public
    assert is_allowed_address(address, private=True) is (is_public or is_private)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("files.example", True),
        ("FILES.example", True),
        ("files.example.", True),
        ("a.files.example", False),
        ("notfiles.example", False),
        ("files.example.evil.test", False),
        ("bucket.storage.example", True),
        ("a.b.storage.example", True),
        ("storage.example", False),
        ("evilstorage.example", False),
        ("127.0.0.1", False),
        ("", False),
    ],
)
def test_which_names_may_be_asked(host: str, allowed: bool) -> None:  # noqa: FBT001 -- a table's column
    assert is_allowed_host(host, RULES.hosts) is allowed


async def test_a_file_comes_with_what_its_server_says_of_it() -> None:
    async with serving(a=answer(b"bytes", 200, "image/png; q=1")) as side:
        assert await side.fetch(side.url("a")) == Download(b"bytes", "image/png; q=1")
    assert side.waits.slept == []


async def test_redirects_are_followed_over_hosts_and_nothing_is_sent_along(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine files.example login ana password secret")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with serving(c=answer(b"there")) as side:
        side.server.replies["/a"] = [redirect("b")]
        side.server.replies["/b"] = [redirect(side.url("c", "bucket.storage.example"), 307)]
        assert (await side.fetch(side.url("a"))).data == b"there"
        assert (await side.fetch(side.url("c"))).data == b"there"
    assert side.server.paths() == ["/a", "/b", "/c", "/c"]
    for request in side.server.asked:
        assert not {"cookie", "authorization", "proxy-authorization", "referer"} & {
            line.partition(":")[0].lower() for line in request.split("\r\n")
        }
    hosts = [request.split("Host: ")[1].split(":")[0] for request in side.server.asked]
    assert hosts == ["files.example"] * 2 + ["bucket.storage.example", "files.example"]


async def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    """These names have no address but ours: a second look-up would find nothing, or another."""
    names = Names()
    async with serving(names, a=redirect("b"), b=answer(b"there")) as side:
        assert (await side.fetch(side.url("a"))).data == b"there"
    assert names.asked == ["files.example", "files.example"], "one look-up for each link"


async def test_another_address_of_the_name_is_tried_if_the_first_does_not_answer() -> None:
    names = Names(files_example=("127.0.0.9", "127.0.0.1"))
    async with serving(names, a=answer(b"there")) as side:
        assert (await side.fetch(side.url("a"))).data == b"there"
    assert side.waits.slept == []


REFUSED: dict[str, tuple[Callable[[Side], str], str, str]] = {
    "another host": (lambda s: s.url("a", "evil.example"), "not allowed", "ATTACHMENT_HOSTS"),
    "an address": (lambda s: s.url("a", "127.0.0.1"), "not allowed", "ATTACHMENT_HOSTS"),
    "a number": (lambda s: s.url("a", "2130706433"), "not allowed", "ATTACHMENT_HOSTS"),
    "user and password": (lambda s: s.url("a", "ana:pw@files.example"), "web address", "password"),
    "a file": (lambda _: f"file:///etc/passwd?{SECRET}", "web address", "http"),
    "ftp": (lambda s: s.url("a", scheme="ftp"), "web address", "http"),
    "no host": (lambda _: f"http:///{SECRET}", "web address", "http"),
    "nonsense": (lambda _: f"http://files.example:{SECRET}/", "web address", "web address"),
    "to another host": (lambda s: s.url("away"), "not allowed", "evil.example"),
    "to a file": (lambda s: s.url("inside"), "web address", "http"),
    "to user and password": (lambda s: s.url("named"), "web address", "password"),
    "round and round": (lambda s: s.url("round"), "leads nowhere", "redirects"),
    "gone": (lambda s: s.url("gone"), "does not give", "410"),
    "forbidden by the method": (lambda s: s.url("no"), "does not give", "401"),
    "too big, as it says": (lambda s: s.url("says"), "over 1000 bytes", "over 1000 bytes"),
    "too big, unsaid": (lambda s: s.url("endless"), "over 1000 bytes", "over 1000 bytes"),
    "too big when unpacked": (lambda s: s.url("bomb"), "over 1000 bytes", "over 1000 bytes"),
    "packed, but broken": (lambda s: s.url("torn"), "broken", "unpacked"),
    "packed as nobody does": (lambda s: s.url("odd"), "unknown way", "content-encoding"),
    "empty": (lambda s: s.url("empty"), "empty", "empty"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_refused_is_refused_once_and_says_why(case: str) -> None:
    make, told, message = REFUSED[case]
    async with serving(
        a=answer(b"never"),
        away=redirect(f"http://evil.example/{SECRET}"),
        inside=redirect("file:///etc/passwd"),
        named=redirect("http://ana:pw@files.example/a"),
        round=redirect("round"),
        gone=answer(b"", 410),
        no=answer(b"", 401),
        says=raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"),
        endless=endless,
        bomb=packed(b"\0" * 5_000_000),
        torn=answer(b"no gzip", 200, "", "Content-Encoding: gzip"),
        odd=answer(b"?", 200, "", "Content-Encoding: br"),
        empty=answer(b""),
    ) as side:
        with pytest.raises(Refused) as refused:
            await side.fetch(make(side))
    assert told in refused.value.told
    assert message in str(refused.value)
    for text in (refused.value.told, str(refused.value)):
        assert SECRET not in text and "pw" not in text.replace("password", "")
    assert side.waits.slept == [] and "/a" not in side.server.paths()
    assert len(side.server.asked) <= REDIRECTS_MAX + 1


@pytest.mark.parametrize(
    ("addresses", "private"),
    [
        (("10.0.0.1",), False),
        (("127.0.0.1",), False),
        (("93.184.216.34", "127.0.0.1"), False),
        (("127.0.0.1", "::ffff:169.254.169.254"), True),
    ],
)
async def test_one_address_that_is_not_public_is_enough(
    addresses: Sequence[str],
    private: bool,  # noqa: FBT001 -- a table's column
) -> None:
    rules = FileRules(RULES.hosts, RULES.bytes_max, private_addresses=private)
    names = Names(bucket_storage_example=addresses)
    async with serving(names, a=answer(b"never")) as side:
        with pytest.raises(Refused, match="ATTACHMENT_PRIVATE_ADDRESSES") as refused:
            await side.fetch(side.url("a", "bucket.storage.example"), rules)
    assert refused.value.told == "it lies at a place that is not allowed"
    assert side.server.asked == []


@pytest.mark.parametrize(
    ("failures", "waited"),
    [
        ([answer(b"", 404)], 1),
        ([answer(b"", 404)] * 3, 3),
        ([answer(b"", 403), answer(b"", 500), answer(b"", 429)], 3),
        ([raw(b"")], 1),
        ([raw(b"nonsense\r\n\r\n")], 1),
        ([redirect("http://files.example:nonsense/")], 1),
        ([raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")], 1),
    ],
)
async def test_what_may_pass_is_tried_again_from_the_first_link_on(
    failures: list[Reply], waited: int
) -> None:
    async with serving(a=redirect("b"), b=[*failures, answer(b"there")]) as side:
        assert (await side.fetch(side.url("a"))).data == b"there"
    assert side.waits.slept == list(WAITS_S[:waited])
    assert side.server.paths() == ["/a", "/b"] * (waited + 1)


async def test_what_does_not_pass_is_given_up() -> None:
    async with serving(a=answer(b"", 404)) as side:
        with pytest.raises(Unavailable, match=r"^files\.example answered 404$") as given_up:
            await side.fetch(side.url("a"))
    assert given_up.value.told == "its server does not give it now"
    assert side.waits.slept == list(WAITS_S)


async def test_a_server_that_cannot_be_found_or_reached() -> None:
    names = Names(files_example=(), a_storage_example=("127.0.0.9",))
    async with serving(names) as side:
        with pytest.raises(Unavailable, match=r"files\.example: no address"):
            await side.fetch(side.url("a"))
        with pytest.raises(Unavailable, match=r"^a\.storage\.example: ConnectError$"):
            await side.fetch(side.url("a", "a.storage.example"))


async def test_a_silent_server_is_left_when_the_time_is_over() -> None:
    async with serving(a=silence, within_s=0.1) as side:
        with pytest.raises(Unavailable, match=r"^files\.example: no file within 0\.1 s$") as left:
            await side.fetch(side.url("a"))
    assert left.value.told == "its download takes too long"


async def test_what_is_packed_all_the_same_is_unpacked() -> None:
    text = b"words " * 150
    half = answer(gzip.compress(text)[:-9], 200, "text/plain", "Content-Encoding: gzip")
    async with serving(a=packed(text), b=[half, packed(text)]) as side:
        assert (await side.fetch(side.url("a"))).data == text
        assert (await side.fetch(side.url("b"))).data == text
    assert side.waits.slept == [WAITS_S[0]]


def _certificate(name: str, directory: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's side with a certificate for a name, and the side of one who trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (directory / "both.pem").write_bytes(
        pem
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(directory / "both.pem")
    return server, ssl.create_default_context(cadata=pem.decode())


async def test_tls_is_spoken_with_the_name_though_the_address_is_called(tmp_path: Path) -> None:
    server, trusting = _certificate("files.example", tmp_path)
    async with serving(tls=server, trusted=trusting, a=answer(b"there")) as side:
        assert (await side.fetch(side.url("a", scheme="https"))).data == b"there"
    assert side.server.names == ["files.example"]


async def test_a_certificate_for_another_name_is_not_taken(tmp_path: Path) -> None:
    server, trusting = _certificate("127.0.0.1", tmp_path)
    async with serving(tls=server, trusted=trusting, a=answer(b"never")) as side:
        with pytest.raises(Unavailable, match=r"files\.example: ConnectError"):
            await side.fetch(side.url("a", scheme="https"))
    assert side.server.asked == []


def test_of_a_link_only_the_host_is_told() -> None:
    assert host_of(f"https://ana:pw@files.example:8443/a/{SECRET}?{SECRET}") == "files.example"
    assert host_of(f"/{SECRET}") == "a link without a host"
    assert host_of(f"http://files.example:{SECRET}/") == "a link that cannot be read"
