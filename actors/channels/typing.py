"""Shows the customer that an answer is coming, on the networks to which Chatwoot does not pass it.

Both calls mark the customer's message as read; the indicator goes when the reply comes, or after
25 s; none takes it away. Chatwoot v4.15.1 forwards its own switch to neither network.
"""

import asyncio
from typing import Protocol

import httpx

from actors.channels.calls import checked, translating
from actors.companies.company import Twilio, WhatsAppCloud

INDICATOR_S = 4.0
"""An indicator that takes longer to set is given up; the next one must not wait for it."""

TWILIO = "Channel::TwilioSms"
WHATSAPP = "Channel::Whatsapp"
"""How Chatwoot names an inbox of that network."""


class Indicator(Protocol):
    """The typing indicator of one network. Raises Retryable or Permanent, without secrets."""

    def knows(self, source_id: str) -> bool:
        """Whether it is an id of a message on this network."""
        ...

    async def show(self, source_id: str) -> None:
        """Shows it to whoever sent this message."""
        ...


class TwilioTyping:
    """Twilio's, on WhatsApp (twilio.com/docs/whatsapp/api/typing-indicators-resource)."""

    def __init__(self, http: httpx.AsyncClient, twilio: Twilio) -> None:
        self._http = http
        self._url = f"{twilio.base_url}/v2/Indicators/Typing.json"
        self._credentials = (twilio.account_sid, twilio.auth_token)

    def knows(self, source_id: str) -> bool:
        return source_id.startswith(("SM", "MM"))

    async def show(self, source_id: str) -> None:
        what = f"Twilio, typing for {source_id}"
        with translating(what, *self._credentials):
            async with asyncio.timeout(INDICATOR_S):
                response = await self._http.post(
                    self._url,
                    auth=self._credentials,
                    data={"messageId": source_id, "channel": "whatsapp"},
                )
        checked(response, what, *self._credentials)


class WhatsAppTyping:
    """Meta's, in the WhatsApp Cloud API (developers.facebook.com, Typing indicators)."""

    def __init__(self, http: httpx.AsyncClient, whatsapp: WhatsAppCloud) -> None:
        self._http = http
        self._url = f"{whatsapp.base_url}/{whatsapp.phone_number_id}/messages"
        self._token = whatsapp.access_token

    def knows(self, source_id: str) -> bool:
        return source_id.startswith("wamid.")

    async def show(self, source_id: str) -> None:
        what = f"WhatsApp, typing for {source_id}"
        with translating(what, self._token):
            async with asyncio.timeout(INDICATOR_S):
                response = await self._http.post(
                    self._url,
                    headers={"Authorization": f"Bearer {self._token}"},
                    json={
                        "messaging_product": "whatsapp",
                        "status": "read",
                        "message_id": source_id,
                        "typing_indicator": {"type": "text"},
                    },
                )
        checked(response, what, self._token)


def indicators(
    http: httpx.AsyncClient, *, twilio: Twilio | None, whatsapp: WhatsAppCloud | None
) -> dict[str, Indicator]:
    """The indicators for which a company has credentials, by the channel as Chatwoot names it."""
    found: dict[str, Indicator] = {}
    if twilio is not None:
        found[TWILIO] = TwilioTyping(http, twilio)
    if whatsapp is not None:
        found[WHATSAPP] = WhatsAppTyping(http, whatsapp)
    return found
