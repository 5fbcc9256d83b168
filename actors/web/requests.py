"""Reads what a request to the API names and holds; refuses it with the field's name."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from actors.companies.company import Company
from actors.journal.keys import CONVERSATION_ID, Key
from actors.tables import one_sentence
from actors.web.refusals import Refused

M = TypeVar("M", bound=BaseModel)


def key_of(company: Company, conversation_id: str) -> Key:
    """The conversation of this id. Raises Refused 422."""
    if not CONVERSATION_ID.fullmatch(conversation_id):
        raise Refused(
            422,
            "conversation_id: 1 to 128 letters, digits and _ . @ + -, with a letter or digit first",
        )
    return Key(company.company_id, conversation_id)


def read_as(shape: type[M], body: bytes) -> M:
    """The body as this shape; none at all is an empty object. Raises Refused 422."""
    try:
        return shape.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise Refused(422, one_sentence(error)) from error


def takes(shape: type[BaseModel]) -> dict[str, Any]:
    """How the API's description says that a request has a body of this shape."""
    schema = {"schema": shape.model_json_schema()}
    return {"requestBody": {"required": True, "content": {"application/json": schema}}}
