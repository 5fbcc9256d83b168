"""Any file, however broken, ends in text or in a reason; none hurts the process that asked."""

import asyncio
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from actors.channels.media import DOCUMENTS, DOCX, family_of, picture_fault, recognise
from actors.knowledge import parsing
from actors.knowledge.parsing import KINDS, Parsed, Parser, Unreadable
from tests.made_files import OGG, PNG, assembled, docx, locked, paragraph, pdf, said

SLOW = b"<!--" * 2_000_000
"""A page that is looked through again at each of its marks: more than the time allows."""


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """Whatever happens, no process is left behind."""
    yield
    assert _children() == []


TABLE = (
    "<w:tbl><w:tr><w:tc>"
    + paragraph("Tea")
    + "</w:tc><w:tc>"
    + paragraph("3,50")
    + "</w:tc></w:tr>"
    "</w:tbl>"
)
TEXTS: dict[str, tuple[bytes, str, str]] = {
    "UTF-8": ("olá, ação €".encode(), "text/plain", "olá, ação €"),
    "UTF-8 with its mark": ("olá".encode("utf-8-sig"), "text/plain", "olá"),
    "UTF-16": ("olá 中文".encode("utf-16"), "text/plain", "olá 中文"),
    "UTF-16, the other way": (b"\xfe\xff" + "olá".encode("utf-16-be"), "text/plain", "olá"),
    "Latin-1": ("olá, ação".encode("latin-1"), "text/plain", "olá, ação"),
    "Windows-1252": ("“olá” – 5 €".encode("cp1252"), "text/plain", "“olá” – 5 €"),
    "no encoding at all": (b"a\x81\xffz", "text/plain", "a\ufffdÿz"),
    "Markdown": (
        b"# Prices\n\n\n\n\n* tea  \n* bread",
        "text/markdown",
        "# Prices\n\n* tea\n* bread",
    ),
    "CSV": (b"tea;3,50\r\nbread;1\r\n", "text/csv", "tea;3,50\nbread;1"),
    "a page": (
        b"<!doctype html><head><title>Shop</title><style>p{}</style><script>if(a<b){x()}</script>"
        b"</head><body><h1>Prices</h1><p>Tea:\n <b>3</b>&nbsp;&euro;<br>Bread: 1<svg><text>no"
        b"</text></svg><ul><li>a<li>b</ul>",
        "text/html",
        "Shop\n\nPrices\n\nTea: 3 €\nBread: 1\n\na\nb",
    ),
    "a page that names its encoding": (
        '<meta charset="cp1251"><p>привет'.encode("cp1251"),
        "text/html",
        "привет",
    ),
    "a page that names none that is known": (
        '<meta charset="nonsense"><p>olá'.encode("latin-1"),
        "text/html",
        "olá",
    ),
    "a PDF": (pdf(said("Page one (1)"), said("Ação")), "application/pdf", "Page one (1)\n\nAção"),
    "a PDF that anybody may read": (locked(pdf(said("Hi")), ""), "application/pdf", "Hi"),
    "a PDF whose table is elsewhere": (
        re.sub(rb"startxref\n\d+", b"startxref\n7", pdf(said("Hi"))),
        "application/pdf",
        "Hi",
    ),
    "a PDF whose tables go in a circle": (
        pdf(said("Hi")).replace(b"/Root 1 0 R", b"/Root 1 0 R/Prev 9"),
        "application/pdf",
        "Hi",
    ),
    "Word": (
        docx(
            paragraph("Our ", "prices")
            + "<w:p><w:pPr><w:tabs><w:tab w:val='left'/></w:tabs></w:pPr><w:r><w:t>a</w:t><w:tab/>"
            "<w:t>b</w:t><w:br/><w:t>c</w:t><w:delText>old</w:delText></w:r></w:p>"
            + TABLE
            + "<mc:AlternateContent><mc:Choice>"
            + paragraph("box")
            + "</mc:Choice><mc:Fallback>"
            + paragraph("box")
            + "</mc:Fallback></mc:AlternateContent>"
        ),
        DOCX,
        "Our prices\na\tb\nc\nTea\n\t3,50\n\nbox",
    ),
}


@pytest.mark.parametrize("case", TEXTS)
async def test_text_is_read_from(case: str) -> None:
    data, media_type, text = TEXTS[case]
    assert await Parser().parse(data, media_type) == Parsed(text, is_cut=False)


REASONS: dict[str, tuple[bytes, str, str]] = {
    "an empty PDF": (pdf(b""), "application/pdf", "no text in it"),
    "half a PDF": (pdf(said("Hi"))[:300], "application/pdf", "broken"),
    "a PDF in name alone": (b"%PDF-1.7 and no more", "application/pdf", "broken"),
    "a PDF with a password": (locked(pdf(said("Hi")), "secret"), "application/pdf", "password"),
    "pages within themselves": (
        assembled([b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R]/Count 1>>"]),
        "application/pdf",
        "broken",
    ),
    "a PDF without its table": (
        pdf(said("Hi")).replace(b"startxref", b"startxxxx"),
        "application/pdf",
        "broken",
    ),
    "a PDF that unpacks without end": (
        pdf(b"(" + b" " * 80_000_000, packed=True),
        "application/pdf",
        "too large",
    ),
    "no Word": (b"PK\x03\x04 no more", DOCX, "broken"),
    "half a Word document": (docx(paragraph("Hi") * 99)[:-40], DOCX, "broken"),
    "Word without words": (docx(""), DOCX, "no text in it"),
    "Word that is no XML": (docx("<w:p>"), DOCX, "broken"),
    "a billion laughs": (
        docx(
            paragraph("&lol9;"),
            '<!DOCTYPE lolz [<!ENTITY lol "lol">'
            + "".join(
                f'<!ENTITY lol{n} "{f"&lol{n - 1};" * 10 if n > 1 else "&lol;" * 10}">'
                for n in range(1, 10)
            )
            + "]>",
        ),
        DOCX,
        "broken",
    ),
    "another's file by an entity": (
        docx(paragraph("&x;"), '<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
        DOCX,
        "broken",
    ),
    "a bomb": (docx("<w:t>" + " " * 70_000_000 + "</w:t>"), DOCX, "no text in it"),
    "a bomb of nothing": (docx("<!--" + "--><!--" * 10_000_000 + "-->"), DOCX, "too large"),
    "too many parts": (docx(paragraph("Hi"), others=5_000), DOCX, "too large"),
    "spaces": (b" \n" * 1_000, "text/plain", "no text in it"),
    "nothing": (b"", "text/plain", "no text in it"),
}


@pytest.mark.parametrize("case", REASONS)
async def test_a_file_that_cannot_be_read_says_why(case: str) -> None:
    data, media_type, why = REASONS[case]
    with pytest.raises(Unreadable, match=why):
        await Parser().parse(data, media_type)


async def test_a_hundred_megabytes_of_text_are_cut() -> None:
    parsed = await Parser().parse("ação ".encode() * 14_000_000, "text/plain", chars_max=20_000)
    assert parsed.is_cut and len(parsed.text) in (19_999, 20_000)
    assert set(parsed.text.split()[:-1]) == {"ação"}


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"<p>" + b"a<b>b</b> " * 100_000, "text/html"),
        (pdf(*[said("Hello")] * 900), "application/pdf"),
        (docx(paragraph("Hello") * 100_000), DOCX),
        (b"a" * 1_001, "text/plain"),
    ],
)
async def test_a_long_file_is_cut(data: bytes, media_type: str) -> None:
    parsed = await Parser().parse(data, media_type, chars_max=1_000)
    assert parsed.is_cut and 900 <= len(parsed.text) <= 1_000


async def test_what_fits_exactly_is_not_cut() -> None:
    assert await Parser().parse(b"a" * 1_000, "text/plain", chars_max=1_000) == ("a" * 1_000, False)


async def test_what_was_read_before_a_file_breaks_is_kept() -> None:
    torn = docx(paragraph("Hello") * 5_000 + "<w:p>")
    parsed = await Parser().parse(torn, DOCX)
    assert parsed.is_cut and parsed.text.startswith("Hello\nHello")


@pytest.mark.parametrize(
    ("data", "media_type"),
    [(SLOW, "text/html"), (docx("<w:p " + " " * 60_000_000 + "/>"), DOCX)],
    ids=["a page", "Word"],
)
async def test_a_file_that_takes_too_long_is_left(data: bytes, media_type: str) -> None:
    with pytest.raises(Unreadable, match="takes too long"):
        await Parser(parse_s=0.5).parse(data, media_type)


async def _child() -> psutil.Process:
    """The process that reads, once it does."""
    while True:
        for child in _children():
            if child.cpu_times().user > 0.3:  # past its beginning, where it sets its limits
                return child
        await asyncio.sleep(0.01)


def _open_files(process: psutil.Process) -> list[str]:
    return [os.readlink(link) for link in Path(f"/proc/{process.pid}/fd").iterdir()]


def _children() -> list[psutil.Process]:
    found = psutil.Process().children()
    return [child for child in found if "parser_process.py" in " ".join(child.cmdline())]


async def test_the_process_gets_neither_our_environment_nor_our_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    with socket.create_server(("127.0.0.1", 0)) as open_socket:
        open_socket.set_inheritable(True)
        parsing_it = asyncio.create_task(Parser().parse(SLOW, "text/html"))
        child = await _child()
        assert not {"OPENAI_API_KEY", "PYTHONPATH"} & set(child.environ())
        assert child.cwd() == "/"
        assert f"socket:[{os.fstat(open_socket.fileno()).st_ino}]" not in _open_files(child)
        for what in (psutil.RLIMIT_AS, psutil.RLIMIT_CPU, psutil.RLIMIT_FSIZE, psutil.RLIMIT_NPROC):
            assert child.rlimit(what)[1] != psutil.RLIM_INFINITY
        parsing_it.cancel()
        with pytest.raises(asyncio.CancelledError):
            await parsing_it
        assert not child.is_running()


async def test_only_so_many_files_are_read_at_once() -> None:
    parser = Parser()
    tasks = [asyncio.create_task(parser.parse(SLOW, "text/html")) for _ in range(5)]
    await _child()
    running = _children()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert 1 <= len(running) <= parsing.PARSES_MAX


def test_every_document_that_is_accepted_has_a_reader() -> None:
    assert set(KINDS) == DOCUMENTS


@pytest.mark.parametrize(
    ("data", "said_type", "name", "media_type"),
    [
        (PNG, "", "", "image/png"),
        (PNG, "text/html", "a.html", "image/png"),
        (b"\xff\xd8\xff\xe0rest", "application/octet-stream", "", "image/jpeg"),
        (b"GIF89a...", "image/gif", "", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "", "", "image/webp"),
        (b"RIFF\0\0\0\0WAVEfmt ", "", "", "audio/wav"),
        (b"RIFF\0\0\0\0AVI LIST", "", "", None),
        (OGG, "audio/ogg; codecs=opus", "", "audio/ogg"),
        (b"ID3\4rest", "", "", "audio/mpeg"),
        (b"\xff\xfb\x90\x64", "audio/mpeg", "", "audio/mpeg"),
        (b"\xff\xf1\x50\x80", "audio/aac", "", "audio/aac"),
        (b"#!AMR\n", "audio/ogg", "", "audio/amr"),
        (b"\0\0\0\x20ftypM4A \0", "", "", "audio/mp4"),
        (b"\0\0\0\x20ftypisom\0", "audio/mp4", "", "audio/mp4"),
        (b"\0\0\0\x20ftypisom\0", "", "", "video/mp4"),
        (b"\x1a\x45\xdf\xa3", "audio/webm", "", "audio/webm"),
        (b"\x1a\x45\xdf\xa3", "video/webm", "", "video/webm"),
        (pdf(b""), "text/plain", "a.txt", "application/pdf"),
        (b"\r\n%PDF-1.4", "", "", "application/pdf"),
        (docx(""), "application/zip", "a.zip", DOCX),
        (b"PK\x03\x04 anything", DOCX, "a.docx", "application/zip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", "application/msword", "a.doc", None),
        (b"MZ\x90\0\3\0", "text/plain", "a.txt", None),
        (b"<!DOCTYPE html><p>", "image/png", "a.png", "text/html"),
        (b"plain", "", "notes.md", "text/markdown"),
        (b"plain", "text/plain; charset=utf-8", "list.CSV", "text/csv"),
        (b"a;b", "application/vnd.ms-excel", "list", "text/csv"),
        ('{"a": "é"}'.encode(), "application/json", "", "text/plain"),
        ("olá".encode("latin-1"), "", "", "text/plain"),
        ("olá".encode("utf-16"), "", "", "text/plain"),
    ],
)
def test_the_bytes_say_what_a_file_is(
    data: bytes, said_type: str, name: str, media_type: str | None
) -> None:
    assert recognise(data, said_type, name) == media_type


def _webp(kind: bytes, flags: int) -> bytes:
    chunk = kind + (10).to_bytes(4, "little") + bytes([flags, *bytes(9)])
    return b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (PNG, ""),
        (PNG[:-12], "broken"),
        (PNG[:33] + b"\0\0\0\bacTL" + bytes(12) + PNG[33:], "moving"),
        (b"\xff\xd8\xff\xe0 ... \xff\xd9", ""),
        (b"\xff\xd8\xff\xe0 ... \xff\xd9 and a phone's own", ""),
        (b"\xff\xd8\xff\xe0 ...", "broken"),
        (b"GIF89a ... \x3b", ""),
        (b"GIF89a ...", "broken"),
        (b"GIF89a \x21\xff\x0bNETSCAPE2.0 ... \x3b", "moving"),
        (_webp(b"VP8 ", 0x02), ""),
        (_webp(b"VP8X", 0x10), ""),
        (_webp(b"VP8X", 0x12), "moving"),
        (_webp(b"VP8X", 0x10)[:-1], "broken"),
        (b"RIFF\0\0\0\0WEBP", ""),
    ],
)
def test_a_picture_that_a_model_would_refuse(data: bytes, fault: str) -> None:
    found = picture_fault(data, recognise(data) or "")
    assert (fault in found) if fault else found == ""


@pytest.mark.parametrize(
    ("media_type", "family"),
    [
        ("image/heic", "picture"),
        ("Audio/OGG; codecs=opus", "audio"),
        ("application/ogg", "audio"),
        ("video/mp4", "video"),
        ("text/csv", "document"),
        ("application/octet-stream", None),
        ("", None),
    ],
)
def test_a_media_type_has_a_family(media_type: str, family: str | None) -> None:
    assert family_of(media_type) == family
