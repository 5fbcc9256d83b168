"""Reads what customers send besides text: pictures, voice notes, documents; says what it cannot."""

import base64
import re
from functools import partial
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from actors.channels import media
from actors.channels.download import Download, Downloads, Refused, Unavailable, host_of
from actors.channels.media import Family, spoken_size
from actors.channels.message import Attachment
from actors.companies.company import FileRules
from actors.errors import Permanent, Retryable
from actors.knowledge.parsing import Parser, Unreadable
from actors.llm.prompt import Content, Picture
from actors.llm.readings import Reading, Readings, unread
from actors.llm.transcription import AUDIO_BYTES_MAX, TRANSCRIPT_CHARS_MAX, Transcriber
from actors.telemetry import logger

PICTURE_BYTES_MAX = 5 << 20
"""The largest picture for the model: WhatsApp's own limit for one, and that of the strictest of the
servers that speak OpenAI's API."""

FILE_CHARS_MAX = 20_000
"""So much of a document's text goes into a prompt, characters."""

NAME_CHARS_MAX = 100
LINK_CHARS_MAX = 300

_log = logger("attachments")

_NAMES: dict[Family | None, str] = {
    "picture": "a picture",
    "audio": "a voice note",
    "video": "a video",
}
_FAMILIES: dict[str, Family] = {"image": "picture", "audio": "audio", "video": "video"}
"""What Chatwoot's file_type says of a file; `file` may be anything."""

_ACCEPTED: dict[Family, frozenset[str]] = {
    "picture": media.PICTURES,
    "audio": frozenset(media.VOICES),
    "document": media.DOCUMENTS,
}
_FETCHED = frozenset({"image", "audio", "file"})
"""Kinds (Chatwoot's file_type) that have a file which we may know how to read."""

_WORDS = {
    "contact": "a contact card, whose details are not shown here",
    "sticker": "a sticker",
    "share": "a post that they shared, which cannot be seen here",
    "story_mention": "a story that mentions us, which cannot be seen here",
    "ig_reel": "an Instagram reel, which cannot be seen here",
    "ig_post": "an Instagram post, which cannot be seen here",
    "ig_story": "an Instagram story, which cannot be seen here",
}


class Means(NamedTuple):
    """What the readers of all companies of a process share."""

    downloads: Downloads
    parser: Parser
    readings: Readings


class Attachments:
    """One company's reader of attachments; a ports.Reader."""

    def __init__(
        self,
        company_id: str,
        rules: FileRules,
        chatwoot_url: str | None,
        means: Means,
        transcriber: Transcriber | None,
    ) -> None:
        """`chatwoot_url`: the company's Chatwoot, whose host may be asked whatever `rules` say."""
        own = urlsplit(chatwoot_url or "").hostname
        self._company_id = company_id
        self._rules = FileRules(
            hosts=(*rules.hosts, own) if own else rules.hosts,
            bytes_max=rules.bytes_max,
            private_addresses=rules.private_addresses,
        )
        self._means = means
        self._transcriber = transcriber
        # What was refused by other rules may be had by these.
        self._scope = f"{company_id} {self._rules} {transcriber is not None}"

    async def read(self, attachment: Attachment) -> Content:
        """The attachment for the model. Raises nothing for what the outside does."""
        told = unfetched(
            attachment,
            bytes_max=self._rules.bytes_max,
            can_transcribe=self._transcriber is not None,
        )
        if told is not None:
            return told
        return await self._means.readings.once(
            f"{self._scope} {attachment.kind} {attachment.content_type} {attachment.url}",
            partial(self._read, attachment, attachment.url or ""),
            company_id=self._company_id,
        )

    async def _read(self, attachment: Attachment, url: str) -> Reading:
        claimed = claimed_family(attachment)
        try:
            found = await self._means.downloads.fetch(
                url, self._rules, bytes_max=limit(claimed, self._rules.bytes_max)
            )
        except (Refused, Unavailable) as error:
            self._warn(url, error)
            passes = isinstance(error, Unavailable)
            return Reading(unread(error.told, named(claimed)), may_change=passes)
        return await self._understood(attachment, url, found)

    async def _understood(self, attachment: Attachment, url: str, file: Download) -> Reading:
        claimed, name = claimed_family(attachment), name_of(url)
        said = media.plain(attachment.content_type)
        said = said if said not in media.GENERIC else file.said_type
        media_type = media.recognise(file.data, said, name)
        family = media.family_of(media_type or "")
        if media_type is None or family is None or media_type not in _ACCEPTED.get(family, ()):
            why = "files of its type are not read"
            return Reading(unread(why, named(claimed)))
        if claimed not in (None, family):
            return Reading(unread("it is not what it says to be", named(claimed)))
        if len(file.data) > (most := limit(family, self._rules.bytes_max)):
            return Reading(unread(f"it is over {spoken_size(most)}", named(family)))
        match family:
            case "picture":
                fault = media.picture_fault(file.data, media_type)
                seen = unread(fault, named(family)) if fault else pictured(file.data, media_type)
                return Reading(seen)
            case "audio":
                return await self._heard(file.data, media_type, url)
            case _:
                return await self._parsed(file.data, media_type, url)

    async def _heard(self, data: bytes, media_type: str, url: str) -> Reading:
        what = named("audio")
        if self._transcriber is None:
            return Reading(unread("voice notes are not transcribed here", what))
        try:
            words = await self._transcriber.transcribe(data, media_type)
        except Retryable as error:
            self._warn(url, error)
            why = "it cannot be transcribed just now"
            return Reading(unread(why, what), may_change=True)
        except Permanent as error:
            self._warn(url, error)
            return Reading(unread("it cannot be transcribed", what))
        return Reading(transcribed(words))

    async def _parsed(self, data: bytes, media_type: str, url: str) -> Reading:
        name = name_of(url)
        what = f"a file, {name}," if name else "a file"
        try:
            parsed = await self._means.parser.parse(
                data, media_type, company_id=self._company_id, chars_max=FILE_CHARS_MAX
            )
        except Unreadable as error:
            return Reading(unread(str(error), what))
        except Retryable as error:
            self._warn(url, error)
            return Reading(unread("it cannot be read just now", what), may_change=True)
        cut = ", only its beginning" if parsed.is_cut else ""
        return Reading(Content(f"[file {name or 'without a name'}{cut}: {parsed.text}]"))

    def _warn(self, url: str, error: Exception) -> None:
        _log.warning(
            "company %s: an attachment at %s is not read: %s", self._company_id, host_of(url), error
        )


def unfetched(attachment: Attachment, *, bytes_max: int, can_transcribe: bool) -> Content | None:
    """What is told of an attachment without asking for it; None: its file is worth a download.

    `bytes_max`: the company's limit for a file.
    """
    family, said = claimed_family(attachment), media.plain(attachment.content_type)
    if attachment.kind == "audio" and attachment.transcript.strip():
        return transcribed(attachment.transcript.strip()[:TRANSCRIPT_CHARS_MAX])
    if attachment.kind not in _FETCHED or family == "video":
        return _worded(attachment)
    if not attachment.url:
        return unread("it came without a link", named(family))
    if said not in media.GENERIC and not is_worth_a_look(said):
        return unread(f"files of the type {_clean(said)[:NAME_CHARS_MAX]} are not read")
    if family == "audio" and not can_transcribe:
        return unread("voice notes are not transcribed here", named(family))
    if attachment.size_bytes > (most := limit(family, bytes_max)):
        return unread(f"it is over {spoken_size(most)}", named(family))
    return None


def is_worth_a_look(media_type: str) -> bool:
    """Whether a file that is said to be of this type may be one that is read.

    What is said of sounds and texts is often only near the truth; of pictures it is not.
    """
    family = media.family_of(media_type)
    if family == "document":
        return media_type.startswith("text/") or media_type in {*media.DOCUMENTS, *media.TEXTS}
    return family == "audio" or media_type in media.PICTURES | {"image/jpg", "image/pjpeg"}


def claimed_family(attachment: Attachment) -> Family | None:
    """What a channel says the file is; None where it does not say."""
    return media.family_of(attachment.content_type) or _FAMILIES.get(attachment.kind)


def limit(family: Family | None, bytes_max: int) -> int:
    """The largest file of a family that is of use, bytes."""
    own = {"picture": PICTURE_BYTES_MAX, "audio": AUDIO_BYTES_MAX}
    return min(bytes_max, own.get(family or "", bytes_max))


def named(family: Family | None) -> str:
    """A file in words, as far as it is known what it is."""
    return _NAMES.get(family, "a file")


def pictured(data: bytes, media_type: str) -> Content:
    """A picture for the model."""
    packed = base64.b64encode(data).decode("ascii")
    return Content(
        f"[a picture: {media_type}, {spoken_size(len(data))}]",
        picture=Picture(f"data:{media_type};base64,{packed}"),
    )


def transcribed(words: str) -> Content:
    """A voice note for the model."""
    return Content(f"[voice note, transcribed: {words}]" if words else "[a voice note, no words]")


def name_of(url: str) -> str:
    """The file's name, which Chatwoot writes at the end of its link; "" where there is none."""
    try:
        return _clean(unquote(urlsplit(url).path.rpartition("/")[2]))[:NAME_CHARS_MAX]
    except ValueError:
        return ""


def _worded(attachment: Attachment) -> Content:
    """What has no file that could be read, in words."""
    if attachment.kind == "location" and attachment.url:
        return Content(f"[the customer sent a location: {_clean(attachment.url)[:LINK_CHARS_MAX]}]")
    if claimed_family(attachment) == "video":
        return Content("[the customer sent a video, which cannot be watched here]", is_read=False)
    kind = _clean(attachment.kind)[:NAME_CHARS_MAX].replace("_", " ")
    what = _WORDS.get(attachment.kind, f"something that cannot be read here: {kind}")
    return Content(f"[the customer sent {what}]", is_read=False)


def _clean(text: str) -> str:
    """A stranger's short text in one line, without our brackets."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\[\]]+", " ", text).strip()
