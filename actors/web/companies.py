"""Serves the companies' settings: what is in force and where it comes from, and changes of it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import SecretStr

from actors.companies import changing
from actors.companies.changing import Change, Table
from actors.companies.directory import Directory, Entry
from actors.companies.sealing import MARK, SECRETS
from actors.companies.store import table_in
from actors.errors import Misconfigured
from actors.layers import WHOLE, leaves, source_of
from actors.tables import CompanySettings
from actors.telemetry import redact
from actors.web.access import Access, bearer
from actors.web.ingress import body_of
from actors.web.refusals import Refused
from actors.wiring import Parts

TABLE_SCHEMA = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": CompanySettings.model_json_schema()}},
    }
}


class Companies:
    """What the API shows of companies, and how it changes them."""

    def __init__(self, parts: Parts) -> None:
        self._directory: Directory = parts.directory
        self._redis = parts.redis

    async def all(self) -> dict[str, Any]:
        """Every company, the broken ones too. Raises Retryable."""
        await self._directory.refresh(self._redis)
        return {
            "companies": [self._head(company_id) for company_id in self._directory.ids()],
            "companies_file": self._directory.trouble or "ok",
        }

    async def one(self, company_id: str) -> dict[str, Any]:
        """A company with all its settings. Raises Retryable or UnknownCompany."""
        await self._directory.refresh(self._redis)
        entry, raw = self._directory.entry(company_id), self._stored(company_id)
        return {
            **self._head(company_id),
            "stored": None if raw is None else sorted(_stored_keys(company_id, raw)),
            "settings": explained(entry),
        }

    def knows(self, company_id: str) -> bool:
        return company_id in self._directory.ids()

    async def change(self, company_id: str, body: Table, change: Change) -> bool:
        """Stores what `change` makes of the company's table; `body` is what the caller gave.
        Whether the company is new.

        Raises Refused 422 for what no company can be, and then nothing has changed.
        """
        try:
            return await changing.change(self._directory, self._redis, company_id, body, change)
        except Misconfigured as error:
            raise Refused(422, f"{error}; nothing was changed") from error
        except changing.Crowded as error:
            raise Refused(409, str(error), retry_after_s=1) from error

    def _stored(self, company_id: str) -> bytes | None:
        return self._directory.stored.tables.get(company_id)

    def _head(self, company_id: str) -> dict[str, Any]:
        entry = self._directory.entry(company_id)
        name = entry.company.name if entry.company is not None else company_id
        state = "ok" if entry.reason is None else "broken"
        return {"id": company_id, "name": name, "state": state, "reason": entry.reason}


def _stored_keys(company_id: str, raw: bytes) -> Iterator[str]:
    try:
        table = table_in(company_id, raw)
    except Misconfigured:
        return
    for path in leaves(table):
        yield ".".join(path).removesuffix(f".{MARK}")


def explained(entry: Entry) -> dict[str, dict[str, Any]]:
    """Each setting in force by its key, with its value and the layer that it comes from; of a
    secret only whether it is set. Empty for a company that was never good."""
    if entry.settings is None or entry.company is None:
        return {}
    shown = {}
    for path, value in _values(entry.settings.model_dump()):
        what = {"set": bool(value)} if _is_secret(path, value) else {"value": _plain(value)}
        shown[".".join(path)] = {**what, "from": source_of(path, entry.layers)}
    shown["name"]["value"] = entry.company.name
    return shown


def _values(
    table: Mapping[str, Any], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping) and value and key not in WHOLE:
            yield from _values(value, (*above, key))
        else:
            yield (*above, key), value


def _is_secret(path: tuple[str, ...], value: Any) -> bool:
    return path in SECRETS or isinstance(value, SecretStr)


def _plain(value: Any) -> Any:
    """As JSON has it; an address may hold a password."""
    if value is None or isinstance(value, bool | int | float | list | dict):
        return value
    if isinstance(value, tuple):
        return list(value)
    return value if isinstance(value, str) else redact(str(value))


def table_of(company_id: str, body: bytes) -> Table:
    """The JSON object of a body. Raises Refused 422."""
    try:
        table = json.loads(body)
        json.dumps(table, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Refused(422, f"the body is not JSON in UTF-8: {error}") from error
    if not isinstance(table, dict):
        raise Refused(422, f"companies.{company_id[:64]}: send an object with the company's keys")
    return table


def replacing(company_id: str, table: Table) -> Change:
    """PUT: this and nothing else."""
    for path, value in _values(table):
        if value is None:
            where = ".".join(["companies", company_id[:64], *path])
            raise Refused(422, f"{where}: null is no value here; leave the key out")
    return lambda _: table


def routes(parts: Parts, access: Access) -> APIRouter:
    """The operator's API under /api/companies."""
    companies = Companies(parts)
    api = APIRouter(prefix="/api/companies", tags=["companies"])

    @api.get("")
    async def get_companies(request: Request) -> JSONResponse:
        """All companies, and why some are broken. For the operator."""
        access.operator(request)
        return JSONResponse(await companies.all())

    @api.get("/{company_id}")
    async def get_company(company_id: str, request: Request) -> JSONResponse:
        """A company's settings, each with its origin. For the operator and the company itself."""
        if not _is_its_own(parts.directory, company_id, request):
            access.operator(request)
        return JSONResponse(await companies.one(company_id))

    @api.put("/{company_id}", openapi_extra=TABLE_SCHEMA)
    async def put_company(company_id: str, request: Request) -> JSONResponse:
        """Stores a company's table in the place of the stored one. For the operator."""
        access.operator(request)
        table = table_of(company_id, await body_of(request))
        is_new = await companies.change(company_id, table, replacing(company_id, table))
        return JSONResponse(await companies.one(company_id), 201 if is_new else 200)

    @api.patch("/{company_id}", openapi_extra=TABLE_SCHEMA)
    async def patch_company(company_id: str, request: Request) -> JSONResponse:
        """Changes some keys of a company's stored table; null removes one. For the operator."""
        access.operator(request)
        await companies.one(company_id)
        table = table_of(company_id, await body_of(request))
        await companies.change(company_id, table, changing.merging(company_id, table))
        return JSONResponse(await companies.one(company_id))

    @api.delete("/{company_id}")
    async def delete_company(company_id: str, request: Request) -> JSONResponse:
        """Removes a company's stored table; its journals stay. For the operator."""
        access.operator(request)
        if (await companies.one(company_id))["stored"] is None:
            raise Refused(
                409,
                f"nothing is stored for company {company_id}: it comes from COMPANIES_FILE or the "
                "environment, remove it there",
            )
        await companies.change(company_id, {}, lambda _: None)
        if companies.knows(company_id):
            return JSONResponse(await companies.one(company_id))
        return JSONResponse({"id": company_id, "state": "removed"})

    return api


def _is_its_own(directory: Directory, company_id: str, request: Request) -> bool:
    """Whether the request carries the token of this very company."""
    if company_id not in directory.ids():
        return False
    company = directory.entry(company_id).company
    return company is not None and company.owns_token(bearer(request))
