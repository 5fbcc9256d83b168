"""Fetches a customer's file: from allowed hosts alone, over redirects, without any credentials.

Chatwoot's links need none: they redirect to storage by a signed id, which is a secret by itself, so
that no message here tells more of a link than its host. Source: Chatwoot v4.15.1 and its issues
#14511 and #14644 (a file can be asked for before its upload ends: 404, for less than a second).
"""

import asyncio
import contextlib
import socket
import ssl
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import NamedTuple

import httpx

from actors.channels.addresses import is_allowed_address, is_allowed_host
from actors.channels.media import spoken_size
from actors.clock import Clock
from actors.companies.company import FileRules
from actors.errors import Permanent, Retryable

REDIRECTS_MAX = 5
ADDRESSES_MAX = 4
"""Addresses of one name that are tried in turn, if no connection can be made."""

WAITS_S = (0.5, 1.0, 2.0)
"""Waits before the next attempts after a failure that may pass, seconds."""

DOWNLOAD_S = 30.0
"""A download ends within so long, attempts and redirects included."""

CONNECT_S = 5.0
READ_S = 10.0
"""Longest silence of a server while it is listened to, seconds."""

CHUNK_BYTES = 64 << 10

_REDIRECTS = (301, 302, 303, 307, 308)

_PASSING = (403, 404, 408, 425, 429)
"""Answers that another attempt may change. 403 is S3's word for a file that is not there yet, where
the bucket may not be listed."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name, as text. Raises OSError."""


class Refused(Permanent):
    """The file is not to be had. `told` is the reason in words for the customer's ears; the message
    is for the operator."""

    def __init__(self, told: str, message: str = "") -> None:
        super().__init__(message or told)
        self.told = told


class Unavailable(Retryable):
    """The file may be had later. `told` as in Refused."""

    def __init__(self, told: str, message: str = "") -> None:
        super().__init__(message or told)
        self.told = told


class Download(NamedTuple):
    """A file. `said_type` is the media type that its server names."""

    data: bytes
    said_type: str


class _Place(NamedTuple):
    """A link that may be asked, and the addresses that its name was checked to have."""

    url: httpx.URL
    host: str
    addresses: tuple[str, ...]


def file_client(*, verify: ssl.SSLContext | bool = True) -> httpx.AsyncClient:
    """A client that sends nothing of ours along, for Downloads.

    No proxy and no .netrc of the environment, no cookie kept. No connection is used twice: the pool
    would take one to the same address for another name, whose certificate was never looked at.
    """
    return httpx.AsyncClient(
        verify=verify,
        trust_env=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
    )


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name by the machine's resolver. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


@contextlib.contextmanager
def _translating(host: str) -> Iterator[None]:
    try:
        yield
    except httpx.HTTPError as error:
        name = type(error).__name__
        raise Unavailable("its server cannot be reached", f"{host}: {name}") from error


class Downloads:
    """Fetches files for all companies of a process."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        clock: Clock,
        *,
        resolve: Resolve = resolve,
        within_s: float = DOWNLOAD_S,
    ) -> None:
        """`http`: see file_client."""
        self._within_s = within_s
        self._http = http
        self._clock = clock
        self._resolve = resolve

    async def fetch(self, url: str, rules: FileRules, *, bytes_max: int) -> Download:
        """The file behind a link. Raises Refused or Unavailable.

        `rules.hosts` are all that may be asked; at most `bytes_max` bytes are taken.
        """
        try:
            async with asyncio.timeout(self._within_s):
                for wait_s in WAITS_S:
                    with contextlib.suppress(Unavailable):
                        return await self._follow(url, rules, bytes_max)
                    await self._clock.sleep(wait_s)
                return await self._follow(url, rules, bytes_max)
        except TimeoutError as error:
            message = f"{host_of(url)}: no file within {self._within_s:g} s"
            raise Unavailable("its download takes too long", message) from error

    async def _follow(self, url: str, rules: FileRules, bytes_max: int) -> Download:
        """From link to link, each checked before anything is sent."""
        next_url = _parsed(url)
        for _ in range(REDIRECTS_MAX + 1):
            place = await self._checked(next_url, rules)
            found = await self._get(place, bytes_max)
            if isinstance(found, Download):
                return found
            next_url = found
        raise Refused(
            "its link leads nowhere", f"{host_of(url)}: more than {REDIRECTS_MAX} redirects"
        )

    async def _checked(self, url: httpx.URL, rules: FileRules) -> _Place:
        host = url.raw_host.decode("ascii")
        if url.scheme not in ("http", "https") or not host or url.userinfo:
            raise Refused(
                "its link is not a web address",
                f"{host or 'no host'}: only http and https, without user and password",
            )
        if not is_allowed_host(host, rules.hosts):
            raise Refused(
                "it lies at a place that is not allowed",
                f"{host} may not be asked for attachments; if it holds them, add it to "
                "ATTACHMENT_HOSTS",
            )
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            addresses = tuple(await self._resolve(host, port))
        except (OSError, UnicodeError) as error:
            raise Unavailable("its server cannot be found", f"{host}: no address") from error
        for address in addresses:
            if not is_allowed_address(address, private=rules.private_addresses):
                raise Refused(
                    "it lies at a place that is not allowed",
                    f"{host} has the address {address}, which is not public; if it is meant, set "
                    "ATTACHMENT_PRIVATE_ADDRESSES (link-local addresses are never asked)",
                )
        return _Place(url, host, addresses[:ADDRESSES_MAX])

    async def _get(self, place: _Place, bytes_max: int) -> Download | httpx.URL:
        """The file, or the link that its server names instead."""
        with _translating(place.host):
            for address in place.addresses[:-1]:
                with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
                    return await self._ask(place, address, bytes_max)
            if place.addresses:
                return await self._ask(place, place.addresses[-1], bytes_max)
        raise Unavailable("its server cannot be found", f"{place.host}: no address")

    async def _ask(self, place: _Place, address: str, bytes_max: int) -> Download | httpx.URL:
        # To the very address that was checked: a second look-up could give another. The name goes
        # along for the server (Host) and for TLS, which checks the certificate against it. Made
        # here and not by the client, which would add what it holds.
        timeout = httpx.Timeout(READ_S, connect=CONNECT_S)
        request = httpx.Request(
            "GET",
            place.url.copy_with(host=address, fragment=None),
            headers={
                "Host": place.url.netloc.decode("ascii"),
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                "User-Agent": "Turnwise",
                "Connection": "close",
            },
            extensions={"sni_hostname": place.host, "timeout": timeout.as_dict()},
        )
        response = await self._http.send(request, stream=True, auth=None, follow_redirects=False)
        try:
            return await _taken(response, place, bytes_max)
        finally:
            await response.aclose()


async def _taken(response: httpx.Response, place: _Place, bytes_max: int) -> Download | httpx.URL:
    status = response.status_code
    location = response.headers.get("location")
    if status in _REDIRECTS and location:
        return _parsed(location, place.url)
    message = f"{place.host} answered {status}"
    if status in _PASSING or status >= 500:
        raise Unavailable("its server does not give it now", message)
    if status != 200:
        raise Refused("its server does not give it", message)
    data = await _body(response, bytes_max)
    return Download(data, response.headers.get("content-type", ""))


async def _body(response: httpx.Response, bytes_max: int) -> bytes:
    """The body as it is after unpacking; what is over the limit is never held."""
    length = response.headers.get("content-length", "")
    if length.isdecimal() and int(length) > bytes_max:
        raise _too_big(bytes_max)
    unpacker = _unpacker(response.headers.get("content-encoding", ""))
    data = bytearray()
    async for chunk in response.aiter_raw(CHUNK_BYTES):
        try:
            room = bytes_max + 1 - len(data)
            data += unpacker.decompress(chunk, room) if unpacker else chunk
        except zlib.error as error:
            raise Refused("it is broken", "a packed answer that cannot be unpacked") from error
        if len(data) > bytes_max:
            raise _too_big(bytes_max)
    if unpacker and not unpacker.eof:
        raise Unavailable("its download broke off")
    if not data:
        raise Refused("it is empty")
    return bytes(data)


def _unpacker(encoding: str) -> "zlib._Decompress | None":
    """For a server that packs although it was asked not to."""
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip" | "deflate":
            return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # tells gzip and zlib by itself
        case other:
            raise Refused("it is packed in an unknown way", f"content-encoding {other[:40]!r}")


def _too_big(bytes_max: int) -> Refused:
    return Refused(f"it is over {spoken_size(bytes_max)}")


def _parsed(url: str, base: httpx.URL | None = None) -> httpx.URL:
    try:
        return base.join(url) if base else httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise Refused("its link is not a web address") from error


def host_of(url: str) -> str:
    """The host of a link, the one part of it that may be told."""
    try:
        return httpx.URL(url).host or "a link without a host"
    except (httpx.InvalidURL, ValueError):
        return "a link that cannot be read"
