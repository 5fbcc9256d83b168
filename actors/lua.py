"""Loads the Redis scripts that stand beside the modules, one file a command."""

from importlib.resources import files

from redis.asyncio import Redis
from redis.commands.core import AsyncScript


def load(redis: Redis, package: str, name: str) -> AsyncScript:
    """The script `name`.lua of a package, called by digest and sent again if Redis forgot it."""
    source = files(package).joinpath(f"{name}.lua").read_text(encoding="utf-8")
    return redis.register_script(source)
