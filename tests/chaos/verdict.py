"""Says what was lost, doubled, reordered or done by two at once: from what customers would see and
from the journals."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise

from actors.conversation.events import (
    Event,
    MessageReceived,
    ReplyCommitted,
    ReplySent,
    ReplyWithheld,
    SetAside,
    TurnStarted,
    Unknown,
)
from tests.chaos.sightings import Message, Post, numbers_in

Journal = Sequence[tuple[int, Event | Unknown]]
"""The events of a conversation with their sequence numbers."""

FINDINGS_SHOWN = 20


@dataclass
class Verdict:
    """Counts of messages; of pairs for `overlapping`. `findings` say which."""

    messages: int = 0
    accepted: int = 0
    answered: int = 0
    set_aside: int = 0
    unsure: int = 0
    lost: int = 0
    doubled: int = 0
    reordered: int = 0
    overlapping: int = 0
    waits_ms: dict[tuple[int, int], float] = field(default_factory=dict)
    answered_ms: dict[tuple[int, int], float] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Nothing went wrong; no fault here lasts so long that a dead letter would be right."""
        wrong = (self.lost, self.doubled, self.reordered, self.overlapping, self.set_aside)
        return not any(wrong)

    def tell(self, what: str) -> None:
        if len(self.findings) < FINDINGS_SHOWN:
            self.findings.append(what)


def judge(
    messages: Iterable[Message], posts: Iterable[Post], journals: dict[int, Journal]
) -> Verdict:
    """The verdict over everything."""
    verdict = Verdict()
    by_conversation: dict[int, list[Message]] = defaultdict(list)
    for message in messages:
        by_conversation[message.conversation].append(message)
    posted: dict[int, list[Post]] = defaultdict(list)
    for post in sorted(posts, key=lambda post: post.began_ms):
        posted[post.conversation].append(post)
    for conversation, written in by_conversation.items():
        journal = journals.get(conversation, ())
        _outcomes(verdict, written, posted[conversation], journal)
        _order(verdict, written, posted[conversation], journal)
        _overlaps(verdict, conversation, posted[conversation], journal)
    return verdict


def _outcomes(
    verdict: Verdict, written: list[Message], posts: list[Post], journal: Journal
) -> None:
    visible: dict[int, list[Post]] = defaultdict(list)
    for post in posts:
        for number in post.numbers if post.visible else ():
            visible[number].append(post)
    seqs = _seqs(journal)
    aside = {seq for _, event in journal if isinstance(event, SetAside) for seq in event.seqs}
    for message in written:
        name = f"c{message.conversation}n{message.number}"
        shown = visible[message.number]
        verdict.messages += 1
        if len(shown) > 1 or len(seqs[message.number]) > 1 or len(message.seqs) > 1:
            verdict.doubled += 1
            at = [round(post.began_ms) for post in shown]
            verdict.tell(f"doubled: {name}, posted at {at}, sequence {seqs[message.number]}")
        if message.acked_ms is None:
            verdict.unsure += 1
            continue
        verdict.accepted += 1
        if shown:
            verdict.answered += 1
            key = (message.conversation, message.number)
            verdict.answered_ms[key] = shown[0].ended_ms
            verdict.waits_ms[key] = shown[0].ended_ms - message.acked_ms
        elif aside & set(seqs[message.number]):
            verdict.set_aside += 1
            verdict.tell(f"set aside: {name}")
        else:
            verdict.lost += 1
            held = f"sequence {seqs[message.number]}" if seqs[message.number] else "not in journal"
            verdict.tell(f"lost: {name}, accepted at {message.acked_ms:.0f}, {held}")
    outcomes = Counter(
        seq for _, event in journal if isinstance(event, ReplySent) for seq in event.answers
    )
    for seq, count in outcomes.items():
        if count > 1:
            verdict.doubled += 1
            verdict.tell(
                f"doubled: c{written[0].conversation}, sequence {seq} has {count} outcomes"
            )


def _seqs(journal: Journal) -> dict[int, list[int]]:
    """By the message's number: its sequence numbers, one if all is well."""
    seqs: dict[int, list[int]] = defaultdict(list)
    for seq, event in journal:
        if isinstance(event, MessageReceived):
            for _, number in numbers_in(event.message.text):
                seqs[number].append(seq)
    return seqs


def _order(verdict: Verdict, written: list[Message], posts: list[Post], journal: Journal) -> None:
    """Answers follow the journal's order or the provider's; within one, the provider's."""
    seqs = _seqs(journal)
    ids = {message.number: message.message_id for message in written}
    visible = [post for post in posts if post.visible and all(seqs[n] for n in post.numbers)]
    for post in visible:
        if sorted(post.numbers, key=lambda number: ids[number]) != list(post.numbers):
            verdict.reordered += 1
            verdict.tell(f"reordered: c{post.conversation}, {post.numbers} in one answer")
    for before, after in combinations(visible, 2):
        # Messages that wait together are answered in the provider's order, whatever the journal's.
        if any(
            seqs[late][0] < seqs[early][0] and ids[late] < ids[early]
            for early in before.numbers
            for late in after.numbers
        ):
            verdict.reordered += 1
            verdict.tell(
                f"reordered: c{before.conversation}, {before.numbers} before {after.numbers}"
            )


def _overlaps(verdict: Verdict, conversation: int, posts: list[Post], journal: Journal) -> None:
    """Two posts under way at once, or a turn that began while a promised answer was on its way."""
    for before, after in pairwise(posts):
        if after.began_ms < before.ended_ms:
            verdict.overlapping += 1
            verdict.tell(f"overlapping: c{conversation}, posts at {after.began_ms:.0f}")
    promised = ""
    for seq, event in journal:
        match event:
            case ReplyCommitted(reply_id=reply_id):
                if promised:
                    verdict.overlapping += 1
                    verdict.tell(f"overlapping: c{conversation}, two promises at {seq}")
                promised = reply_id
            case ReplySent() | ReplyWithheld() | SetAside():
                promised = ""
            case TurnStarted() if promised:
                verdict.overlapping += 1
                verdict.tell(f"overlapping: c{conversation}, a turn during a promise at {seq}")
