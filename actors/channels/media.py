"""Tells what a file is, from its bytes and from what is said of it."""

from typing import Literal

Family = Literal["picture", "audio", "video", "document"]

GENERIC = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/download"})
"""Types that say nothing."""

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

PICTURES = frozenset({"image/jpeg", "image/png", "image/webp", "image/gif"})
"""What models take as a picture (OpenAI, Images and vision: PNG, JPEG, WEBP, GIF)."""

VOICES = {
    "audio/ogg": "ogg",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/wav": "wav",
    "audio/flac": "flac",
    "audio/webm": "webm",
}
"""What a transcription takes, with the ending by which it tells them (OpenAI, Speech to text)."""

DOCUMENTS = frozenset(
    {"application/pdf", DOCX, "text/html", "text/plain", "text/markdown", "text/csv"}
)

TEXTS = {
    "application/json": "text/plain",
    "application/xml": "text/plain",
    "application/csv": "text/csv",
    "application/vnd.ms-excel": "text/csv",  # what Windows calls a .csv; an .xls is no text
    "application/xhtml+xml": "text/html",
}
"""Other names of texts."""

_ENDINGS = {"md": "text/markdown", "csv": "text/csv", "html": "text/html", "htm": "text/html"}

_STARTS = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"#!AMR", "audio/amr"),
    (b"ID3", "audio/mpeg"),
    (b"%PDF-", "application/pdf"),
)
_HEAD_BYTES = 1_024
"""So far into a file a PDF's mark may stand (ISO 32000, appendix H) and a text is looked at."""


def plain(media_type: str) -> str:
    """A media type without its parameters, in small letters."""
    return media_type.partition(";")[0].strip().lower()


def family_of(media_type: str) -> Family | None:
    """The family of a media type; None where the type says nothing."""
    kind = plain(media_type)
    if kind in GENERIC:
        return None
    for start, family in (("image/", "picture"), ("audio/", "audio"), ("video/", "video")):
        if kind.startswith(start):
            return family  # type: ignore[return-value]
    # Marcel, and so Chatwoot, names voice notes by their container.
    return "audio" if kind in {"application/ogg", "application/x-ogg"} else "document"


def recognise(data: bytes, said: str = "", name: str = "") -> str | None:
    """The media type of a file, None where it is none that we know.

    The bytes decide. `said` (a media type) only tells apart what bytes cannot: sound from film in
    one container, and the kinds of text; `name` does so where nothing is said.
    """
    said = plain(said)
    for start, media_type in _STARTS:
        if data.startswith(start):
            return media_type
    if data.startswith(b"RIFF"):
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(data[8:12])
    if data[4:8] == b"ftyp":
        is_sound = data[8:11] in (b"M4A", b"M4B") or said.startswith("audio/")
        return "audio/mp4" if is_sound else "video/mp4"
    if data.startswith(b"\x1a\x45\xdf\xa3"):
        return "audio/webm" if said.startswith("audio/") else "video/webm"
    if data[:1] == b"\xff" and len(data) > 1 and data[1] & 0xE0 == 0xE0 and said[:6] == "audio/":
        # MPEG's frames; layer 0 is ADTS, which is AAC.
        return "audio/mpeg" if data[1] & 0x06 else "audio/aac"
    if data.startswith(b"PK\x03\x04"):
        return DOCX if b"word/document.xml" in data else "application/zip"
    if b"%PDF-" in data[:_HEAD_BYTES]:
        return "application/pdf"
    return _text_type(data[:_HEAD_BYTES], said, name) if _is_text(data) else None


def _is_text(data: bytes) -> bool:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    head = data[:_HEAD_BYTES]
    # Binary formats have control characters early on; no encoding of text but UTF-16 does.
    return not any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head)


def _text_type(head: bytes, said: str, name: str) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "text/html"
    if said in DOCUMENTS and said.startswith("text/"):
        return said if said != "text/plain" else _ENDINGS.get(_ending(name), said)
    return TEXTS.get(said) or _ENDINGS.get(_ending(name), "text/plain")


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower()


def picture_fault(data: bytes, media_type: str) -> str:
    """Why a model would refuse a picture, and the whole question with it; "" where it would not.

    Looks at the ends and at the marks of moving pictures (OpenAI takes none), not at every byte.
    """
    match media_type:
        case "image/png":
            is_whole, is_moving = b"IEND" in data[-64:], b"acTL" in data[:_HEAD_BYTES]
        case "image/jpeg":
            is_whole, is_moving = data.rfind(b"\xff\xd9") > 0, False  # phones append their own
        case "image/gif":
            is_whole = b"\x3b" in data[-64:]
            is_moving = b"NETSCAPE2.0" in data[:_HEAD_BYTES]
        case _:
            is_whole = len(data) >= int.from_bytes(data[4:8], "little") + 8
            is_moving = data[12:16] == b"VP8X" and bool(data[20:21] and data[20] & 2)
    if not is_whole:
        return "it is broken"
    return "moving pictures are not read" if is_moving else ""


def spoken_size(size_bytes: int) -> str:
    """A size in words: `512 bytes`, `120 KiB`, `16 MiB`."""
    if size_bytes < 1 << 10:
        return f"{size_bytes} bytes"
    if size_bytes < 1 << 20:
        return f"{size_bytes >> 10} KiB"
    return f"{size_bytes / (1 << 20):.3g} MiB"
