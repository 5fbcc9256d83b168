"""Says what must hold after a run: in the channel, as a customer sees it, and in the journal."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from actors.conversation.events import (
    Event,
    HandedOver,
    LeftUnanswered,
    MessageReceived,
    ReplyCommitted,
    ReplyHeld,
    ReplySent,
    ReplyWithheld,
    SendDoubted,
    SetAside,
    Unknown,
    decode,
)
from actors.conversation.state import State, apply, settled_by
from actors.journal.keys import Key
from tests.simulation.chatwoot import Place
from tests.simulation.model import TOKEN
from tests.simulation.world import PLACES, World, key_of

SILENCE_MAX_S = 30.0
"""The longest that an unanswered message is without a live owner."""

PART = re.compile(r"\[(\d)/(\d)\] re ")

SEEN_BY_A_CUSTOMER = "the customer: "
"""Rules that begin so are about what stands in the channel."""


def broken_rules(world: World) -> Iterator[str]:
    """Each rule that did not hold, as a sentence."""
    yield from world.watch.broken
    yield from world.loop.bugs
    if world.watch.silence_s > SILENCE_MAX_S:
        yield f"a message was without a live owner for {world.watch.silence_s:.1f} s"
    for cluster in world.clusters:
        for host in cluster.hosts:
            if host.process.is_live and host.living.done():
                yield f"a bug: {host.process} does not sweep any more"
    for place in PLACES:
        story = _Told(world, place)
        yield from story.journal_rules()
        yield from story.channel_rules()
    yield from _accepted(world)


def _accepted(world: World) -> Iterator[str]:
    """What was answered 202 stands in the journal, under the number that was told."""
    for account, message_id, seq in world.senders.accepted:
        place = next(
            place
            for place, conversation in world.chatwoot.conversations.items()
            if place[0] == account
            and any(message["id"] == message_id for message in conversation.messages)
        )
        events = dict(_events(world, key_of(place)))
        found = events.get(seq)
        if not isinstance(found, MessageReceived) or found.message.message_id != str(message_id):
            yield f"message {message_id} was accepted as {seq} of {key_of(place)} and is not there"


def _events(world: World, key: Key) -> list[tuple[int, Event | Unknown]]:
    return [(entry.seq, decode(entry.raw)) for entry in world.journal._entries[key]]


class _Told:
    """One conversation at the end: its journal, and what the customer sees."""

    def __init__(self, world: World, place: Place) -> None:
        self._world = world
        self._place = place
        self._key = key_of(place)
        self._events = _events(world, self._key)
        self._received = {
            seq: event.message for seq, event in self._events if isinstance(event, MessageReceived)
        }
        self._said: list[dict[str, Any]] = world.chatwoot.at(place).said_by_bot()

    # The journal.

    def journal_rules(self) -> Iterator[str]:
        """Each message has one outcome, each promise covers what is open, nothing is left."""
        key, state, outcomes = self._key, State(), Counter[int]()
        if [seq for seq, _ in self._events] != list(range(1, len(self._events) + 1)):
            yield f"{key}: the sequence has gaps"
        ids = Counter(message.message_id for message in self._received.values())
        yield from (f"{key}: message {name} stands {n} times in the journal"
                    for name, n in ids.items() if n > 1)  # fmt: skip
        for seq, event in self._events:
            if isinstance(event, Unknown):
                yield f"{key}: event {seq} cannot be read"
                continue
            if isinstance(event, ReplyCommitted):
                if state.reply is not None:
                    yield f"{key}: two promises at once, the second at {seq}"
                if not set(event.answers) <= {entry.seq for entry in state.open}:
                    yield f"{key}: the promise at {seq} answers what was not open"
            outcomes.update(settled_by(event))
            state = apply(state, seq, event)
        for seq in self._received:
            if outcomes[seq] != 1:
                yield f"{key}: message {seq} has {outcomes[seq]} outcomes"
        if set(outcomes) - set(self._received):
            yield f"{key}: outcomes of what was never received: {set(outcomes)}"
        if state.open or state.reply is not None:
            yield f"{key}: something is left open"

    # What the customer sees.

    def channel_rules(self) -> Iterator[str]:
        """Every text once, in order, about this conversation, and what the journal says of it."""
        texts = Counter(message["content"] for message in self._said)
        for text, times in texts.items():
            if times > 1:
                yield self._seen(f"{text.rstrip('.')!r} stands {times} times")
        notes = Counter(m["content"] for m in self._world.chatwoot.at(self._place).notes())
        yield from (f"{self._key}: the note {n!r} stands {t} times" for n, t in notes.items()
                    if t > 1 and t > self._hand_overs())  # fmt: skip
        yield from self._cross_talk()
        yield from self._parts_and_outcomes()
        yield from self._order()

    def _hand_overs(self) -> int:
        return sum(isinstance(event, HandedOver) for _, event in self._events)

    def _seen(self, what: str) -> str:
        return f"{SEEN_BY_A_CUSTOMER}{what}, in {self._key}"

    def _cross_talk(self) -> Iterator[str]:
        for message in self._said:
            for token in TOKEN.findall(message["content"]):
                if self._world.tokens[token] != self._place:
                    yield self._seen(f"{token} of another conversation is answered")

    def _parts_seen(self) -> dict[str, list[tuple[int, int]]]:
        """Each message's token: the parts of answers to it, as they stand."""
        seen: dict[str, list[tuple[int, int]]] = {}
        for message in self._said:
            found = PART.match(message["content"])
            assert found is not None, message
            for token in TOKEN.findall(message["content"]):
                seen.setdefault(token, []).append((int(found[1]), int(found[2])))
        return seen

    def _held(self) -> set[str]:
        """The replies that went to a person, or their rest, instead of to the customer."""
        return {
            event.reply_id
            for _, event in self._events
            if isinstance(event, ReplyHeld)
            or (isinstance(event, SendDoubted) and event.choice == "hold")
        }

    def _promised(self) -> set[str]:
        """The tokens of the messages that an answer was promised to."""
        return {
            _token(self._received[seq].text)
            for _, event in self._events
            if isinstance(event, ReplyCommitted)
            for seq in event.answers
            if seq in self._received
        }

    def _outcomes(self) -> dict[str, Event]:
        """Each message's token: the event that settled it."""
        outcomes: dict[str, Event] = {}
        for _, event in self._events:
            if isinstance(event, Unknown):
                continue
            for seq in settled_by(event):
                if seq in self._received:
                    outcomes[_token(self._received[seq].text)] = event
        return outcomes

    def _parts_and_outcomes(self) -> Iterator[str]:
        seen = self._parts_seen()
        settled = {seq for _, event in self._events for seq in _settled(event)}
        for token, event in self._outcomes().items():
            parts = seen.pop(token, [])
            total = parts[0][1] if parts else 0
            whole = [(part, total) for part in range(1, total + 1)]
            name = type(event).__name__
            match event:
                case ReplySent():
                    holds = bool(parts) and parts == whole
                case HandedOver(reply_id=reply_id):
                    holds = parts == (whole[: len(parts)] if reply_id in self._held() else whole)
                case LeftUnanswered():
                    holds = not parts
                case ReplyWithheld(parts_sent=sent):
                    holds = parts == whole[:sent]
                case SetAside():
                    # A reply that was given up in doubt may stand there: whoever has the dead
                    # letter tried again has it looked for first.
                    holds = parts == (whole[: len(parts)] if token in self._promised() else [])
                case _:
                    holds = False
            if not holds:
                yield self._seen(f"{token} is answered by the parts {parts}; the journal: {name}")
        for seq, message in self._received.items():
            if seq not in settled:
                yield self._seen(f"{_token(message.text)} waits, and nobody knows for what")
        for token, parts in seen.items():
            yield self._seen(f"{token} is answered by the parts {parts}; the journal: nothing")

    def _order(self) -> Iterator[str]:
        """No answer stands before one to older messages (older here and at the provider)."""
        at = {_token(m.text): (seq, int(m.message_id)) for seq, m in self._received.items()}
        before: list[tuple[int, int]] = []
        for message in self._said:
            about = [at[token] for token in TOKEN.findall(message["content"]) if token in at]
            for older in before:
                if about and all(seq < older[0] and number < older[1] for seq, number in about):
                    yield self._seen(f"{message['content']!r} stands after an answer to newer ones")
            before.extend(about)


def _settled(event: Event | Unknown) -> tuple[int, ...]:
    return () if isinstance(event, Unknown) else settled_by(event)


def _token(text: str) -> str:
    found = TOKEN.search(text)
    assert found is not None, text
    return found[0]
