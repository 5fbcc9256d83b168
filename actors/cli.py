"""The command line: run everything, show what happened, replay it under another pace, tune it."""

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from actors.errors import Misconfigured, Permanent, Retryable
from actors.settings import read_settings

if TYPE_CHECKING:
    from actors.wiring import Parts

T = TypeVar("T")
TOKEN = re.compile(r"[!-+\--~]{16,1024}")
Seconds = Annotated[float | None, typer.Option(min=0, max=3_600)]


class OnNewMessage(Enum):
    """What a message during a turn does."""

    supersede = "supersede"
    queue = "queue"


app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@contextlib.contextmanager
def exit_if_misconfigured() -> Iterator[None]:
    """One sentence and exit code 1 for what the operator can put right."""
    try:
        yield
    except (Permanent, Retryable) as error:
        print(f"turnwise: {error}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None


@app.callback()
def turnwise() -> None:
    """Turnwise answers customers' conversations: once, in order, through crashes."""


@app.command()
def run() -> None:
    """Start Redis, Ray, the hosts, the HTTP service and the scheduler; stop them on Ctrl-C."""
    from actors.launch import launch  # sets Ray's environment before Ray is imported

    with exit_if_misconfigured():
        launch(read_settings())


@app.command()
def show(
    company: Annotated[str, typer.Argument(help="the company's id")],
    conversation: Annotated[str, typer.Argument(help="the conversation's id")],
    count: Annotated[int, typer.Option(min=1, max=500, help="events from the end")] = 50,
) -> None:
    """Print the end of a conversation's journal, one JSON object a line (REDIS_URL says where)."""
    from actors.journal.keys import Key
    from actors.web.views import event_view

    async def lines(parts: "Parts") -> list[str]:
        entries = await parts.journal.read_last(Key(company, conversation), count)
        return [json.dumps(event_view(entry), ensure_ascii=False) for entry in entries]

    with exit_if_misconfigured():
        print("\n".join(_with_parts(lines)))


@app.command(name="replay")
def replay_command(  # noqa: PLR0913 -- one option for each behaviour of a pace
    conversation: Annotated[str, typer.Argument(help="as company:conversation, acme:321")],
    quiet_window: Seconds = None,
    first_window: Seconds = None,
    longest_wait: Seconds = None,
    max_batch: Annotated[int | None, typer.Option(min=1, max=100)] = None,
    join_max_avg_chars: Annotated[int | None, typer.Option(min=1)] = None,
    on_new_message: Annotated[
        OnNewMessage | None, typer.Option(help="a message during the answer")
    ] = None,
    supersede_max: Annotated[int | None, typer.Option(min=0, max=10)] = None,
    learned: Annotated[
        bool | None, typer.Option(help="the window follows the customer's own rhythm")
    ] = None,
    window_min: Seconds = None,
    window_max: Seconds = None,
    early_lead: Seconds = None,
    model_takes: Seconds = None,
) -> None:
    """Replay a recorded conversation under another pace and print both timelines (seconds)."""
    from rich.console import Console

    from actors.journal.keys import Key
    from actors.replaying import Change, printed, replayed

    changes: dict[str, Change] = {
        "quiet_window_ms": _ms(quiet_window),
        "first_window_ms": _ms(first_window),
        "longest_wait_ms": _ms(longest_wait),
        "largest_batch": max_batch,
        "join_max_avg_chars": join_max_avg_chars,
        "on_new_message": on_new_message.value if on_new_message else None,
        "supersede_max": supersede_max,
        "learned": learned,
        "window_min_ms": _ms(window_min),
        "window_max_ms": _ms(window_max),
        "early_lead_ms": _ms(early_lead),
    }
    with exit_if_misconfigured():
        key = Key.parse(conversation)
        found = _with_parts(lambda parts: replayed(parts, key, changes, _ms(model_takes)))
        printed(found, Console())


@app.command()
def tune(
    company: Annotated[str, typer.Argument(help="the company's id")],
    *,
    apply: Annotated[
        bool, typer.Option("--apply", help="store what is recommended for the company")
    ] = False,
) -> None:
    """Recommend a quiet window and a joining threshold from a company's recorded traffic."""
    from actors.conversation.tuning import as_text
    from actors.maintenance import tune as tuning
    from actors.personas import pace_of

    async def tuned(parts: "Parts") -> str:
        found = parts.directory.company(company)
        recommended = await tuning.recommendation(parts.journal, found)
        text = as_text(recommended, pace_of(found))
        changes = tuning.changes(recommended, found)
        if apply and changes:
            await tuning.apply(parts.directory, parts.redis, found, changes)
            return f"{text}\n\nstored; it holds within seconds"
        return f"{text}\n\nnothing to store" if apply else text

    with exit_if_misconfigured():
        print(_with_parts(tuned))


@app.command(name="hash-token")
def hash_token() -> None:
    """Print the hash of a token, to be set in its place: API_TOKEN, api_token, ADMIN_TOKEN.

    The token comes on standard input: on a command line others on the machine could read it.
    """
    from getpass import getpass

    from actors.tokens import hashed

    with exit_if_misconfigured():
        token = getpass("token: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
        if not TOKEN.fullmatch(token):
            raise Misconfigured(
                "a token is one line of 16 to 1,024 visible ASCII characters without spaces and "
                "commas, such as `openssl rand -hex 32` prints"
            )
        print(hashed(token))


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1_000)


def _with_parts(work: "Callable[[Parts], Awaitable[T]]") -> T:
    """Does something with Redis and the companies as they are now."""
    from actors import wiring

    async def done() -> T:
        parts = wiring.build(read_settings())
        try:
            await parts.directory.refresh(parts.redis)
            return await work(parts)
        finally:
            await parts.redis.aclose(close_connection_pool=True)

    if not read_settings().redis_url.get_secret_value():
        raise Misconfigured("REDIS_URL is not set; `. .turnwise/env` sets it for a local run")
    return asyncio.run(done())


def main() -> None:
    """The entry point of the `turnwise` command."""
    app()
