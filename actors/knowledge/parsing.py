"""Reads the text of a file that a stranger sent, in a process that may be lost."""

import asyncio
import contextlib
import re
import sys
from pathlib import Path
from typing import NamedTuple

from actors.errors import Permanent, Retryable
from actors.knowledge import parser_process
from actors.lanes import Lanes

TEXT_CHARS_MAX = 1_000_000
"""The longest text taken of one file, characters: a book of some 500 pages."""

PARSES_MAX = 2
"""Files under parsing in one process of ours; more wait in line. Each may take a processor, and
memory up to parser_process.MEMORY_BYTES_MAX."""

PARSES_PER_COMPANY_MAX = 1
"""Of one company at most so many: its large files leave the other place to the others."""

PARSE_S = 20.0
"""Longest time for one file, seconds: twice its processor time, where the machine is busy."""

KINDS = {
    "application/pdf": "pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "text/html": "html",
    "text/plain": "text",
    "text/markdown": "text",
    "text/csv": "text",
}
"""The media types that are read, and the reader of each in parser_process."""

_EMPTY_LINES = re.compile(r"\n{3,}")

_REASONS = {
    parser_process.TOO_LARGE: "it is too large or too complex",
    parser_process.LOCKED: "it is protected by a password",
}


class Unreadable(Permanent):
    """The file has no text for us; the message says why, in words for the customer's ears."""


class Parsed(NamedTuple):
    """The text of a file. `is_cut`: there is more in the file than was read."""

    text: str
    is_cut: bool


class Parser:
    """Reads files for all companies of a process, PARSES_MAX at a time."""

    def __init__(self, *, parse_s: float = PARSE_S) -> None:
        self._parse_s = parse_s
        self._places = Lanes(PARSES_MAX, PARSES_PER_COMPANY_MAX)

    async def parse(
        self,
        data: bytes,
        media_type: str,
        *,
        company_id: str = "",
        chars_max: int = TEXT_CHARS_MAX,
    ) -> Parsed:
        """The text of a file of one of KINDS, at most `chars_max` characters of it, read in the
        company's lane.

        Raises Unreadable, and errors.Retryable where no process can be started. A file that breaks
        off is read up to there.
        """
        async with self._places.place(company_id):
            text, code = await self._run(data, KINDS[media_type], chars_max)
        text = tidy(text)
        if text:
            return Parsed(text, is_cut=code != parser_process.WHOLE)
        if code is None or code < 0:
            raise Unreadable("reading it takes too long or too much memory")
        if code in (parser_process.WHOLE, parser_process.CUT):
            raise Unreadable("there is no text in it (it may be a scan)")
        raise Unreadable(_REASONS.get(code, "it is broken"))

    async def _run(self, data: bytes, kind: str, chars_max: int) -> tuple[str, int | None]:
        """The text, and how the process ended: None where it was stopped."""
        process = await _started(kind, chars_max)
        found = bytearray()
        code = None
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._parse_s):
                    await _talk(process, data, found, 4 * chars_max)
                    code = await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        # What was stopped may end within a character.
        return found.decode("utf-8", errors="ignore")[:chars_max], code


def tidy(text: str) -> str:
    """The text without spaces at the ends of lines, and without many empty lines in a row."""
    lines = "\n".join(line.rstrip() for line in text.split("\n"))
    return _EMPTY_LINES.sub("\n\n", lines).strip()


async def _started(kind: str, chars_max: int) -> asyncio.subprocess.Process:
    # Isolated (-I): neither the environment nor the working directory say what it imports. No
    # variable is handed on, for secrets are among ours; nor is any file or socket.
    try:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-B", str(Path(parser_process.__file__))),
            *(kind, str(chars_max)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise Retryable(f"no process to read a file can be started: {error}") from error


async def _talk(
    process: asyncio.subprocess.Process, data: bytes, found: bytearray, bytes_max: int
) -> None:
    """Hands the file over, then takes the text as it comes."""
    assert process.stdin is not None and process.stdout is not None
    # It says nothing before it has the whole file; it may be gone by then.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(data)
        await process.stdin.drain()
    process.stdin.close()
    while chunk := await process.stdout.read(parser_process.CHUNK_BYTES):
        found += chunk[: bytes_max - len(found)]
