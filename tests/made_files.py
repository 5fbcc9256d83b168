"""Makes the files that customers send, sound ones and hostile ones."""

import io
import zipfile
import zlib

from pypdf import PdfReader, PdfWriter

PNG = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\b\6\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc"
    b"\xf8\xcf\xc0\xf0\x1f\0\5\0\1\xff\x89\x99=\x1d\0\0\0\0IEND\xaeB`\x82"
)
OGG = b"OggS\0\2" + bytes(22) + b"OpusHead" + bytes(200)

_WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_OTHERS = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'


def pdf(*pages: bytes, packed: bool = False) -> bytes:
    """A PDF of these content streams, one a page."""
    kids = b" ".join(b"%d 0 R" % (4 + 2 * number) for number in range(len(pages)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[" + kids + b"]/Count %d>>" % len(pages),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    for number, page in enumerate(pages):
        content = zlib.compress(page) if packed else page
        how = b"/Filter/FlateDecode" if packed else b""
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F1 3 0 R>>>>"
            b"/Contents %d 0 R>>" % (5 + 2 * number)
        )
        stream = b"<</Length %d%s>>stream\n%s\nendstream" % (len(content), how, content)
        objects.append(stream)
    return assembled(objects)


def assembled(objects: list[bytes]) -> bytes:
    """A PDF of these objects, numbered from 1; the first is the catalogue."""
    found, places = bytearray(b"%PDF-1.4\n"), []
    for number, content in enumerate(objects, 1):
        places.append(len(found))
        found += b"%d 0 obj%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = len(found)
    found += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
    found += b"trailer<</Size %d/Root 1 0 R>>\n" % (len(objects) + 1)
    return bytes(found + b"startxref\n%d\n%%%%EOF" % start)


def said(text: str) -> bytes:
    """A page's content that writes a text."""
    escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    return b"BT /F1 12 Tf 50 700 Td (" + escaped.encode("cp1252") + b") Tj ET"


def locked(data: bytes, password: str) -> bytes:
    """The PDF behind a password; with the empty one anybody may read it."""
    writer, found = PdfWriter(clone_from=PdfReader(io.BytesIO(data))), io.BytesIO()
    writer.encrypt(password, "owner", algorithm="AES-256")
    writer.write(found)
    return found.getvalue()


def docx(body: str, before: str = "", others: int = 0) -> bytes:
    """A Word document of this inner XML; `before` stands ahead of the root element."""
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(
            "word/document.xml",
            f'<?xml version="1.0" encoding="UTF-8"?>{before}'
            f"<w:document {_WORD} {_OTHERS}><w:body>{body}</w:body></w:document>",
        )
        for number in range(others):
            archive.writestr(f"word/{number}", "")
    return found.getvalue()


def paragraph(*runs: str) -> str:
    return "<w:p>" + "".join(f"<w:r><w:t>{run}</w:t></w:r>" for run in runs) + "</w:p>"
