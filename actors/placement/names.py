"""Names the actors, and says which of them owns a conversation."""

import hashlib

from actors.journal.keys import SLOTS, Key
from actors.settings import Settings

NAMESPACE = "turnwise"
"""All our actors are named in this Ray namespace."""

DEDICATED = "conversation:"
"""The names of dedicated actors begin so."""


def host_name(host: int) -> str:
    """The Ray name of the host with this number."""
    return f"conversations-{host:02d}"


def holder_name(cluster: str, name: str) -> str:
    """How the journals name an actor: the same in all clusters and after every restart."""
    return f"{cluster}/{name}"


def host_of(slot: int, hosts: int) -> int:
    """The host that owns a slot; hosts own ranges of slots."""
    return slot * hosts // SLOTS


def slots_of(host: int, hosts: int) -> range:
    """The slots that a host owns."""
    return range(-(-host * SLOTS // hosts), -(-(host + 1) * SLOTS // hosts))


def actor_name(key: Key, settings: Settings) -> str:
    """The Ray name of the actor that owns a conversation."""
    if settings.placement == "dedicated":
        return f"{DEDICATED}{key}"
    return host_name(host_of(key.slot, settings.hosts))


ELSEWHERE = {"port", "bind_address", "data_dir", "dashboard_port", "ray_address", "replicas"}
"""Settings that may differ between the machines of one release, and that no host uses."""


def release_of(settings: Settings) -> str:
    """Changes when the environment does: actors of another release are replaced at start-up. What
    the companies file holds is taken up while they live."""
    plain = settings.model_dump(mode="json", exclude=ELSEWHERE)
    secrets = [
        value.get_secret_value()
        for _, value in settings
        if value is not None and hasattr(value, "get_secret_value")
    ]
    return hashlib.sha256(repr((plain, secrets)).encode()).hexdigest()[:16]
