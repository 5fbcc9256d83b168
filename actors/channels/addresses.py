"""Decides which names and which network addresses may be asked for a customer's file."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_NEVER_PUBLIC = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))
"""IETF's protocol assignments and the old 6to4 relays, which `ipaddress` takes for public."""

_PRIVATE = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv4Network("127.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),  # carriers' and many clusters' inner addresses (RFC 6598)
    IPv6Network("::1/128"),
    IPv6Network("fc00::/7"),
)

_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All that IANA has given to public hosts so far."""

_NAT64 = IPv6Network("64:ff9b::/96")
"""An IPv4 address as a network without IPv4 writes it (RFC 6052)."""

_TRANSLATED = IPv6Network("::ffff:0:0:0/96")
"""An IPv4 address as a stateless translator writes it (RFC 2765)."""


def is_allowed_host(host: str, allowed: Iterable[str]) -> bool:
    """Whether a name may be asked; an entry with a leading dot stands for all names below it."""
    host = host.lower().rstrip(".")
    return any(
        host.endswith(name) and host != name if name.startswith(".") else host == name
        for name in (entry.strip().lower().rstrip(".") for entry in allowed)
    )


def is_allowed_address(text: str, *, private: bool) -> bool:
    """Whether a connection may go to an address, as the resolver wrote it.

    `private` admits private and loopback networks as well: a Chatwoot beside us. Link-local
    addresses (a cloud's metadata, 169.254.169.254), multicast and reserved ones serve no files and
    are never admitted. An IPv4 address within an IPv6 one is judged by itself.
    """
    try:
        address = _unwrapped(ip_address(text))
    except ValueError:
        return False
    if any(address in network for network in _PRIVATE):
        return private
    if isinstance(address, IPv6Address):
        return address in _GLOBAL_UNICAST and address.is_global
    special = address.is_multicast or address.is_reserved
    return (
        address.is_global
        and not special
        and not any(address in network for network in _NEVER_PUBLIC)
    )


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one stands for, if it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64 or address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour or address
