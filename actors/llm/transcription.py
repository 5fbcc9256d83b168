"""Turns a voice note into words, by a server that speaks OpenAI's transcriptions API."""

from typing import TYPE_CHECKING, Protocol

from actors.channels.media import VOICES
from actors.clock import Clock
from actors.errors import Retryable
from actors.llm.responder import translating

if TYPE_CHECKING:
    from openai import AsyncOpenAI

AUDIO_BYTES_MAX = 25_000_000
"""The largest file that OpenAI takes (Speech to text: 25 MB)."""

TRANSCRIPT_CHARS_MAX = 20_000
"""The longest transcript taken, characters: more than half an hour of speech."""

AGAIN_AFTER_S = 1.0
AGAIN_AFTER_MAX_S = 5.0
"""Bounds of the wait before the one repetition, seconds; a customer waits for the answer."""


class Transcriber(Protocol):
    """Turns sound into words. `media_type` is one of media.VOICES. Raises Retryable or Permanent.

    No words at all are the empty text.
    """

    async def transcribe(self, data: bytes, media_type: str) -> str: ...


class OpenAITranscriber:
    """One company's model for speech."""

    def __init__(self, client: "AsyncOpenAI", model: str, clock: Clock) -> None:
        self._client = client
        self._model = model
        self._clock = clock

    async def transcribe(self, data: bytes, media_type: str) -> str:
        try:
            return await self._ask(data, media_type)
        except Retryable as error:
            wait_s = max(AGAIN_AFTER_S, error.after_s or 0)
            if wait_s > AGAIN_AFTER_MAX_S:
                raise
        await self._clock.sleep(wait_s)
        return await self._ask(data, media_type)

    async def _ask(self, data: bytes, media_type: str) -> str:
        # The server tells formats by the name's ending, whatever the media type says.
        name = f"voice.{VOICES[media_type]}"
        with translating():
            found = await self._client.audio.transcriptions.create(
                model=self._model, file=(name, data, media_type)
            )
        # A server that is only like OpenAI's may answer something else: the client does not check.
        text = getattr(found, "text", None)
        if not isinstance(text, str):
            raise Retryable("the model's transcription cannot be read")
        return text.strip()[:TRANSCRIPT_CHARS_MAX]
