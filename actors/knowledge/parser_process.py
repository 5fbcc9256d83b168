"""Turns one file into text, in a process of its own with limits.

The file comes on standard input, its text goes to standard output, how it ended is the exit code.
`parsing` starts it, and kills it when it takes too long. It is run by its path, so that nothing of
Turnwise is imported: a start takes 60 ms, and 150 ms more for a PDF.
"""

import codecs
import contextlib
import io
import logging
import re
import resource
import sys
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from xml.etree import ElementTree

MEMORY_BYTES_MAX = 512 << 20
"""Address space; a PDF's limit of 75 MB for each of its streams (pypdf) leaves room for several."""

CPU_S_MAX = 10
OPEN_FILES_MAX = 32
PAGES_MAX = 1_000
PARTS_MAX = 5_000
"""Files within a .docx."""

XML_BYTES_MAX = 64 << 20
"""Unpacked text of a .docx with its marks: a bomb would be a thousand times its packed size."""

WHOLE, BROKEN, CUT, TOO_LARGE, LOCKED = 0, 1, 3, 4, 5
"""Exit codes. BROKEN is Python's own for an error that nobody caught."""

CHUNK_BYTES = 64 << 10

_CHARSET = re.compile(rb"<meta[^>]{0,200}charset=[\"']?([\w-]{1,40})", re.IGNORECASE)
_SPACE = re.compile(r"\s+")

_AFTER = {"p": "\n", "tc": "\t", "tr": "\n"}
"""What follows the end of a .docx's element."""


class Locked(Exception):
    """The file wants a password."""


class Broken(Exception):
    """The file is not what it should be."""


class TooLarge(Exception):
    """The file has more than is read."""


def decode(data: bytes, *, is_whole: bool = True) -> str:
    """Text in an unknown encoding: by its byte-order mark, else UTF-8, else Windows-1252.

    Every Latin-1 text is the same in Windows-1252, but for control characters that nobody writes.
    Data that are not whole may end within a character.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(data, is_whole)
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def text_of(data: bytes, chars_max: int) -> Iterator[str]:
    """A text, as it is."""
    start = data[: 4 * chars_max + 4]  # four bytes are the most that a character takes
    yield decode(start, is_whole=len(start) == len(data))


class _Words(HTMLParser):
    """What a reader of a page sees."""

    UNSEEN = frozenset({"script", "style", "template", "noscript", "svg"})
    INLINE = frozenset(
        {"a", "abbr", "b", "cite", "code", "em", "font", "i", "img", "kbd", "label", "mark", "q"}
        | {"s", "small", "span", "strong", "sub", "sup", "time", "u", "var", "wbr"}
    )

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._unseen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.UNSEEN:
            self._unseen.append(tag)
        self._block(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._unseen:
            del self._unseen[self._unseen.index(tag) :]
        self._block(tag)

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.found.append(_SPACE.sub(" ", data))

    def _block(self, tag: str) -> None:
        if tag not in self.INLINE and not self._unseen:
            self.found.append("\n")


def html_of(data: bytes, chars_max: int) -> Iterator[str]:
    """The words of a page, a line for each block."""
    named = _CHARSET.search(data[:1_024])
    text = None
    if named is not None:
        with contextlib.suppress(LookupError, UnicodeDecodeError):
            text = data.decode(named[1].decode("ascii"))
    text = decode(data) if text is None else text
    page = _Words()
    for start in range(0, len(text), CHUNK_BYTES):
        page.feed(text[start : start + CHUNK_BYTES])
        yield "".join(page.found)
        page.found.clear()
    page.close()
    yield "".join(page.found)


def pdf_of(data: bytes, chars_max: int) -> Iterator[str]:
    """The text of each page; a scan has none."""
    from pypdf import PdfReader  # these take 120 ms, for this kind alone
    from pypdf.errors import LimitReachedError

    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise Locked
    for number, page in enumerate(reader.pages):
        if number == PAGES_MAX:
            raise TooLarge
        try:
            yield page.extract_text() + "\n\n"
        except LimitReachedError as error:
            raise TooLarge from error


class _Paragraphs:
    """Takes the marks of a .docx as they come; no tree is built."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._in_text = False
        self._fallbacks = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition("}")[2]
        self._in_text = name == "t"
        self._fallbacks += name == "Fallback"
        if name == "tab" and not attributes:  # with attributes it defines a place for tabs
            self.found.append("\t")
        elif name in ("br", "cr"):
            self.found.append("\n")

    def end(self, tag: str) -> None:
        name = tag.rpartition("}")[2]
        self._in_text = False
        self._fallbacks -= name == "Fallback"
        self.found.append(_AFTER.get(name, ""))

    def data(self, text: str) -> None:
        # A fallback says again, for old programs, what stands beside it.
        if self._in_text and not self._fallbacks:
            self.found.append(text)

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise Broken("a .docx declares no entities")

    def close(self) -> None:
        return None


def docx_of(data: bytes, chars_max: int) -> Iterator[str]:
    """The paragraphs of a Word document, tables cell by cell; no headers, no notes."""
    target = _Paragraphs()
    parser = ElementTree.XMLParser(target=target)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if len(archive.infolist()) > PARTS_MAX:
            raise TooLarge
        with archive.open("word/document.xml") as part:
            for _ in range(XML_BYTES_MAX // CHUNK_BYTES):
                chunk = part.read(CHUNK_BYTES)
                parser.feed(chunk)
                yield "".join(target.found)
                target.found.clear()
                if not chunk:
                    parser.close()
                    return
    raise TooLarge


READERS = {"text": text_of, "html": html_of, "pdf": pdf_of, "docx": docx_of}


def bound() -> None:
    """Takes from this process what no file needs: memory, time, writing, other processes."""
    # Where the machine's memory ends all the same, the kernel is to take this process.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES_MAX),
        (resource.RLIMIT_CPU, CPU_S_MAX),
        (resource.RLIMIT_NOFILE, OPEN_FILES_MAX),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(what, (most, most))


def write(parts: Iterator[str], chars_max: int) -> int:
    """Writes text until there is none or enough of it; returns the exit code.

    Each part is flushed: what was read before a file shows itself broken is kept.
    """
    left = chars_max
    for part in parts:
        # A customer's file may hold halves of surrogate pairs, which no encoding takes.
        sys.stdout.buffer.write(part[:left].encode("utf-8", errors="replace"))
        sys.stdout.buffer.flush()
        left -= len(part)
        if left < 0:
            return CUT
    return WHOLE


def main() -> int:
    """`parser_process.py KIND CHARS_MAX`"""
    bound()
    logging.disable(logging.CRITICAL)
    kind, chars_max = sys.argv[1], int(sys.argv[2])
    try:
        return write(READERS[kind](sys.stdin.buffer.read(), chars_max), chars_max)
    except Locked:
        return LOCKED
    except (TooLarge, MemoryError):
        return TOO_LARGE


if __name__ == "__main__":
    sys.exit(main())
