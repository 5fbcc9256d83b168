"""Serves the catch-up by hand: what a company's Chatwoot holds and no webhook told of."""

from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from actors.maintenance.catch_up import CatchUp
from actors.maintenance.search import Found
from actors.placement import Router
from actors.web.access import Access
from actors.web.refusals import Refused
from actors.wiring import Parts

FOUND: dict[str, Any] = msgspec.json.schema_components([Found])[1]["Found"]
"""What the answer is, for the API's description."""


def routes(parts: Parts, router: Router, access: Access) -> APIRouter:
    """POST /api/companies/{company_id}/catch-up."""
    catch_up = CatchUp(parts, router.deliver)
    api = APIRouter(prefix="/api/companies/{company_id}", tags=["companies"])

    @api.post(
        "/catch-up",
        responses={200: {"content": {"application/json": {"schema": FOUND}}}},
    )
    async def post_catch_up(company_id: str, request: Request) -> JSONResponse:
        """Looks for what no webhook told of, for 20 s at most: `state` says whether that was all,
        else call it again. For the company itself and the operator."""
        company = parts.directory.company(company_id)
        access.company(request, company)
        if company.chatwoot is None:
            raise Refused(
                404,
                f"company {company_id} has no Chatwoot; set CHATWOOT_BASE_URL, CHATWOOT_API_KEY "
                "and ACCOUNT_ID, or its table in COMPANIES_FILE",
            )
        return JSONResponse(msgspec.to_builtins(await catch_up.search(company)))

    return api
