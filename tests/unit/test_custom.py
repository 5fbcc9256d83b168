"""A company's own code: how it is found, what is said where it is not, what its failures become."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.companies.company import Company
from actors.companies.making import company_of
from actors.errors import Misconfigured, Permanent, Retryable
from actors.llm.custom import CustomResponder, check_callables, load, responder_of, tools_of
from actors.llm.prompt import Prompt
from actors.llm.responder import Answer
from actors.llm.tools import HAND_OVER
from actors.settings import Settings
from actors.tables import CompanySettings
from tests.fakes import settle

PROMPT = Prompt("Be brief.", (), "Is it there?", 1, "single", conversation="acme:321")

SHOP = """
LIMIT = 3

async def answer(prompt):
    return f"the shop says: {prompt.question}"

def slow_answer(prompt):
    return "no"

async def stock(call):
    return {"left": 3}

class Answerer:
    async def __call__(self, prompt):
        return "an object"

answerer = Answerer()
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The directory where turnwise runs, with a company's modules in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "shop_code.py").write_text(SHOP)
    (tmp_path / "shop_broken.py").write_text("import shop_code\n1 / 0\n")
    (tmp_path / "shop_exits.py").write_text("raise SystemExit(2)\n")
    (tmp_path / "shop_typo.py").write_text("def f(:\n")
    (tmp_path / "shop_needs.py").write_text("import no_such_package\n")
    (tmp_path / "colorsys.py").write_text("raise ImportError('not the installed one')\n")
    yield
    for name in [name for name in sys.modules if name.startswith(("shop_", "colorsys"))]:
        del sys.modules[name]


def company(responder: str | None = None, tools: dict[str, Any] | None = None) -> Company:
    settings = Settings.model_validate({"redis_url": "redis://127.0.0.1:1/0"})
    table = {"responder": responder, "tools": tools or {}}
    return company_of("acme", CompanySettings.model_validate(table), settings)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("shop_code", "'shop_code' is not of the form module:callable"),
        ("shop_code:", "is not of the form module:callable"),
        (":answer", "is not of the form module:callable"),
        ("../shop:answer", "is not of the form module:callable"),
        ("shop_cod:answer", "there is no module 'shop_cod', neither installed nor in /"),
        ("no_pack.age:answer", "there is no module 'no_pack', neither"),
        ("shop_code.answers:reply", "there is no module 'shop_code.answers', neither"),
        ("shop_needs:answer", "module 'shop_needs' imports 'no_such_package': not installed"),
        ("shop_broken:answer", "module 'shop_broken' cannot be read: ZeroDivisionError: division"),
        ("shop_exits:answer", "module 'shop_exits' cannot be read: SystemExit: 2"),
        ("shop_typo:answer", "module 'shop_typo' cannot be read: SyntaxError: "),
        ("shop_code:anwser", "has no 'anwser'; it has: Answerer, answer, answerer, slow_answer"),
        ("shop_code:LIMIT", "'shop_code:LIMIT' cannot be called: it is a int"),
    ],
)
@pytest.mark.usefixtures("shop")
def test_code_that_cannot_be_found(spec: str, says: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        load(spec)
    assert says in str(caught.value)


@pytest.mark.usefixtures("shop")
def test_code_is_found_where_turnwise_runs_but_hides_nothing_installed() -> None:
    assert load("shop_code:answer") is load("shop_code:answer")
    assert load("colorsys:rgb_to_hsv")(0, 0, 0) == (0.0, 0.0, 0)


STOCK = {"call": "shop_code:stock", "description": "Looks it up."}


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ({"responder": "shop_code:anwser"}, "responder: module 'shop_code' has no 'anwser'"),
        ({"responder": "shop_code:slow_answer"}, "responder: 'shop_code:slow_answer' would hold"),
        ({"responder": "shop_code:Answerer"}, "responder: 'shop_code:Answerer' would hold up"),
        (
            {"tools": {"stock": {**STOCK, "call": "shop_code:stok"}}},
            "tools.stock.call: module 'shop_code' has no 'stok'",
        ),
        (
            {"tools": {"stock": {**STOCK, "parameters": {"type": "object", "required": 1}}}},
            "tools.stock.parameters: is no JSON schema: $.required: 1 is not of type 'array'",
        ),
        ({"tools": {HAND_OVER: STOCK}}, f"tools.{HAND_OVER}: this name is the built-in"),
    ],
)
@pytest.mark.usefixtures("shop")
def test_a_company_is_told_which_key_is_wrong(made: dict[str, Any], says: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        check_callables(company(**made))
    assert str(caught.value).startswith(f"companies.acme.{says}")


@pytest.mark.usefixtures("shop")
async def test_a_company_with_code_of_its_own() -> None:
    made = company("shop_code:answer", {"stock": STOCK})
    check_callables(made)
    responder = responder_of(made, timeout_s=60)
    assert responder is not None
    assert await responder.answer(PROMPT) == Answer(
        "the shop says: Is it there?", model="shop_code:answer"
    )
    assert [tool.name for tool in tools_of(made)] == ["stock"]
    answerer = responder_of(company("shop_code:answerer"), timeout_s=60)
    assert answerer is not None
    assert (await answerer.answer(PROMPT)).text == "an object"


def test_a_company_without() -> None:
    check_callables(company())
    assert responder_of(company(), timeout_s=60) is None


def custom(answer: Callable[[Prompt], Awaitable[Any]], timeout_s: float = 60) -> CustomResponder:
    return CustomResponder("shop:answer", answer, timeout_s=timeout_s)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (" yes \n", Answer("yes", model="shop:answer")),
        ("cut: \ud83d", Answer("cut: ?", model="shop:answer")),
        (Answer("yes ", "own", 3, 4), Answer("yes", "own", 3, 4)),
        (Answer("", hand_over="angry"), Answer("", "shop:answer", hand_over="angry")),
    ],
)
async def test_what_it_may_return(said: object, expected: Answer) -> None:
    async def answer(prompt: Prompt) -> object:
        return said

    assert await custom(answer).answer(PROMPT) == expected


@pytest.mark.parametrize(
    ("said", "error", "says"),
    [
        ("  ", Retryable, "shop:answer answered with an empty text"),
        (Answer(""), Retryable, "shop:answer answered with an empty text"),
        (None, Permanent, "shop:answer returned a NoneType, not an Answer or a str"),
        ({"text": "yes"}, Permanent, "shop:answer returned a dict, not an Answer or a str"),
        (Answer(None), Permanent, "returned a wrong Answer: ValidationError"),  # type: ignore[arg-type]
        (Answer("a", tokens_in="3"), Permanent, "returned a wrong Answer"),  # type: ignore[arg-type]
        (Answer("a", model=object()), Permanent, "returned a wrong Answer"),  # type: ignore[arg-type]
    ],
)
async def test_what_it_may_not_return(said: object, error: type[Exception], says: str) -> None:
    async def answer(prompt: Prompt) -> object:
        return said

    with pytest.raises(error) as caught:
        await custom(answer).answer(PROMPT)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("raised", "error", "says"),
    [
        (Retryable("busy", after_s=7), Retryable, "busy"),
        (Permanent("never"), Permanent, "never"),
        (TimeoutError("slow"), Retryable, "shop:answer: TimeoutError: slow"),
        (ConnectionResetError("gone"), Retryable, "shop:answer: ConnectionResetError: gone"),
        (KeyError("x"), Permanent, "shop:answer failed: KeyError: 'x'"),
        (ValueError("one\ntwo"), Permanent, "shop:answer failed: ValueError: one"),
        (ValueError("api_key=abcdef"), Permanent, "api_key=***"),
        (SystemExit(3), Permanent, "shop:answer failed: SystemExit: 3"),
        (asyncio.CancelledError(), Permanent, "shop:answer cancelled itself"),
    ],
)
async def test_what_its_errors_become(
    raised: BaseException, error: type[Exception], says: str
) -> None:
    async def answer(prompt: Prompt) -> str:
        raise raised

    with pytest.raises(error) as caught:
        await custom(answer).answer(PROMPT)
    assert says in str(caught.value)
    assert "two" not in str(caught.value)
    assert getattr(caught.value, "after_s", None) == getattr(raised, "after_s", None)


async def test_it_has_a_time_limit() -> None:
    async def answer(prompt: Prompt) -> str:
        await asyncio.Event().wait()
        return "never"

    with pytest.raises(Retryable, match=r"shop:answer did not answer within 0\.01 s"):
        await custom(answer, timeout_s=0.01).answer(PROMPT)


async def test_it_is_cancelled_with_the_turn() -> None:
    ended: list[str] = []

    async def answer(prompt: Prompt) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(prompt.question)
        return "never"

    turn = asyncio.create_task(custom(answer).answer(PROMPT))
    await settle()
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert ended == ["Is it there?"]
