"""The command line: `turnwise run` starts everything, `turnwise show` tells what happened."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from actors.errors import Misconfigured, Retryable
from actors.settings import read_settings

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@contextlib.contextmanager
def exit_if_misconfigured() -> Iterator[None]:
    """One sentence and exit code 1 for what the operator can put right."""
    try:
        yield
    except (Misconfigured, Retryable) as error:
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
    from actors import wiring
    from actors.journal.keys import Key
    from actors.web.views import event_view

    async def lines() -> list[str]:
        parts = wiring.build(read_settings())
        entries = await parts.journal.read_last(Key(company, conversation), count)
        await parts.redis.aclose()
        return [json.dumps(event_view(entry), ensure_ascii=False) for entry in entries]

    with exit_if_misconfigured():
        if not read_settings().redis_url.get_secret_value():
            raise Misconfigured("REDIS_URL is not set; `. .turnwise/env` sets it for a local run")
        print("\n".join(asyncio.run(lines())))


def main() -> None:
    """The entry point of the `turnwise` command."""
    app()
