"""Changes a company's stored table: found good first, written at the version that was read."""

import asyncio
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis

from actors.companies.directory import Directory, Entry
from actors.companies.store import COMPANIES_MAX, CompanyStore, table_in
from actors.errors import Misconfigured, Retryable
from actors.layers import patched, source_of

WRITES_MAX = 5
"""So often a change is tried anew where somebody else changed a company in the same moment."""

Table = dict[str, Any]
Change = Callable[[bytes | None], Table | None]
"""From what is stored (None: nothing) to the table that is to be (None: remove it); may raise
Misconfigured."""


class Crowded(Retryable):
    """The change cannot be written now: too many companies, or too many who change them."""


def merging(company_id: str, table: Table) -> Change:
    """These keys, the others as they are; null removes one."""
    return lambda raw: patched({} if raw is None else table_in(company_id, raw), table)


async def change(
    directory: Directory, redis: Redis, company_id: str, body: Table, change: Change
) -> bool:
    """Stores what `change` makes of the company's table; `body` is what the caller gave.

    Returns whether the company is new. Raises Misconfigured for what no company can be, Crowded,
    and Retryable; then nothing has changed.
    """
    store = CompanyStore(redis)
    for _ in range(WRITES_MAX):
        await directory.refresh(redis)
        is_new = company_id not in directory.ids()
        # Of one moment: another change in this process may refresh the directory meanwhile.
        stored = directory.stored
        table = change(stored.tables.get(company_id))
        sealed = await _sealed(directory, company_id, body, table)
        written = await store.write(company_id, sealed, stored.version)
        if written == "full":
            raise Crowded(f"{COMPANIES_MAX} companies are stored, no more are allowed")
        if written != "changed":
            await directory.refresh(redis)
            return is_new
    raise Crowded("the companies are being changed by others")


async def _sealed(
    directory: Directory, company_id: str, body: Table, table: Table | None
) -> Table | None:
    """The table to be stored, after the company that it makes was found good."""
    if table is None and not directory.is_written(company_id):
        return None
    # Aside: a check may import somebody's code, and a passphrase takes its time.
    made = await asyncio.to_thread(directory.tried, company_id, table)
    before = directory.entry(company_id) if company_id in directory.ids() else None
    if _takes_a_key_elsewhere(body, before, made):
        raise Misconfigured(
            f"companies.{company_id}.chatwoot.base_url: another address needs its own "
            "chatwoot.api_key; give both together"
        )
    if table is None:
        return None
    return await asyncio.to_thread(directory.sealed, company_id, table)


def _takes_a_key_elsewhere(body: Table, before: Entry | None, after: Entry) -> bool:
    """Whether a key, which nobody can read here, would be sent where it was not given for."""
    url, key = ("chatwoot", "base_url"), ("chatwoot", "api_key")
    if after.settings is None or after.settings.chatwoot is None:
        return False
    if source_of(url, after.layers) != "api":
        return False
    in_force = before.settings.chatwoot if before and before.settings else None
    is_new = in_force is None or in_force.base_url != after.settings.chatwoot.base_url
    given = isinstance(table := body.get("chatwoot"), dict) and table.get("api_key") is not None
    return source_of(key, after.layers) != "api" or (is_new and not given)
