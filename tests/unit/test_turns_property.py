"""Random schedules against the pure core: whatever comes when, the rules of the house hold."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.channels.message import Message
from actors.conversation import turns
from actors.conversation.events import (
    Event,
    MessageReceived,
    ReplyCommitted,
    ReplySent,
    SetAside,
    TurnFailed,
    TurnStarted,
    TurnSuperseded,
    decode,
    encode,
)
from actors.conversation.pace import Pace
from actors.conversation.state import State, apply

HORIZON_MS = 30 * 60_000


@dataclass
class Machine:
    """Performs the core's decisions; the model takes `model_ms`, some calls of it fail."""

    pace: Pace
    model_ms: int
    failures: list[bool]
    now_ms: int = 0
    state: State = field(default_factory=State)
    work: turns.Work = None
    done_ms: int = 0
    starts_ms: list[int] = field(default_factory=list)
    outcomes: dict[int, str] = field(default_factory=dict)
    first_wait_ms: dict[int, int] = field(default_factory=dict)
    log: list[Event] = field(default_factory=list)

    def put(self, event: Event) -> None:
        self.log.append(event)
        again = decode(encode(event))
        self.state = apply(self.state, self.state.seq + 1, again)

    def settle(self, seqs: tuple[int, ...], outcome: str) -> None:
        for seq in seqs:
            assert seq not in self.outcomes, f"message {seq} has two outcomes"
            self.outcomes[seq] = outcome

    def step(self) -> int | None:
        """Does what is decided now; returns until when nothing is to be done, None for ever."""
        if isinstance(self.work, turns.Drafting) and self.now_ms >= self.done_ms:
            covers = self.work.covers
            failed = self.failures.pop() if self.failures else False
            self.work = (
                turns.DraftFailed(covers, "503", retryable=True, asked_s=None, jitter=0)
                if failed
                else turns.Drafted(covers, "text", "m", 0, 0)
            )
        decision = turns.decide(self.state, self.work, self.pace, self.now_ms, "c:1")
        match decision:
            case turns.Rest():
                return None
            case turns.Wait(until_ms=until_ms):
                drafting = isinstance(self.work, turns.Drafting)
                assert until_ms is None or until_ms > self.now_ms, "a wait that waits for nothing"
                return self.done_ms if drafting else until_ms
            case turns.Start(batch=batch):
                assert self.work is None, "two drafts at a time"
                self.work = turns.Drafting(batch.seqs)
                self.done_ms = self.now_ms + self.model_ms
                self.put(
                    TurnStarted(
                        at_ms=self.now_ms,
                        turn=decision.turn_id,
                        covers=batch.seqs,
                        attempt=decision.attempt,
                        reason=decision.reason,
                        how=batch.how,
                        join_reason=batch.reason,
                    )
                )
            case turns.Supersede(turn_id=turn_id, by=by):
                self.work = None
                self.put(TurnSuperseded(at_ms=self.now_ms, turn=turn_id, by=by))
            case turns.Commit(draft=draft):
                open_seqs = {entry.seq for entry in self.state.open}
                assert set(draft.covers) <= open_seqs, "a promise about what is not open"
                self.work = turns.Promised("r")
                self.put(
                    ReplyCommitted(
                        at_ms=self.now_ms,
                        reply_id="r",
                        turn=decision.turn_id,
                        answers=draft.covers,
                        text="text",
                        channel="chatwoot",
                        after_message_id="1",
                    )
                )
            case turns.Send(reply=reply, read_back=read_back):
                assert not read_back, "a look for a reply whose every attempt is known"
                self.work = None
                self.settle(reply.answers, "answered")
                self.put(
                    ReplySent(
                        at_ms=self.now_ms,
                        reply_id="r",
                        answers=reply.answers,
                        channel_message_id="c",
                        how="sent",
                    )
                )
            case turns.RetryTurn():
                self.work = None
                self.put(
                    TurnFailed(
                        at_ms=self.now_ms,
                        turn=decision.turn_id,
                        attempt=decision.attempt,
                        error=decision.error,
                        retry_at_ms=decision.retry_at_ms,
                    )
                )
            case turns.PutAside(seqs=seqs):
                self.work = None
                self.settle(seqs, "set aside")
                self.put(SetAside(at_ms=self.now_ms, seqs=seqs, reason=decision.reason))
        return self.now_ms

    def receive(self, place: int, chars: int) -> None:
        message = Message(str(1_000 + place), "x" * chars, "chatwoot")
        self.put(MessageReceived(at_ms=self.now_ms, message=message))
        self.first_wait_ms[self.state.seq] = self.now_ms

    def run_until(self, until_ms: int) -> None:
        for _ in range(10_000):
            next_ms = self.step()
            if next_ms is None or next_ms > until_ms:
                self.now_ms = max(self.now_ms, until_ms)
                return
            self.now_ms = max(self.now_ms, next_ms)
        raise AssertionError("the core goes round in circles")


schedules = st.lists(
    st.tuples(st.integers(0, 40_000), st.sampled_from([1, 12, 80, 200, 390, 600])),
    min_size=1,
    max_size=30,
)
paces = st.builds(
    Pace,
    quiet_window_ms=st.sampled_from([0, 500, 3_000, 10_000]),
    longest_wait_ms=st.sampled_from([10_000, 30_000]),
    largest_batch=st.sampled_from([1, 3, 20]),
    on_new_message=st.sampled_from(["supersede", "queue"]),
)


@settings(max_examples=1_500, deadline=None)
@given(
    schedule=schedules,
    pace=paces,
    model_ms=st.sampled_from([0, 1_500, 9_000]),
    failures=st.lists(st.booleans(), max_size=12),
)
def test_every_message_ends_in_one_outcome(
    schedule: list[tuple[int, int]], pace: Pace, model_ms: int, failures: list[bool]
) -> None:
    machine = Machine(pace, model_ms, failures)
    arrived = 0
    for gap_ms, chars in schedule:
        machine.run_until(machine.now_ms + gap_ms)
        machine.receive(arrived, chars)
        arrived += 1
    machine.run_until(machine.now_ms + HORIZON_MS)
    assert len(machine.outcomes) == arrived
    assert machine.state.open == ()
    assert machine.state.reply is None


@settings(max_examples=500, deadline=None)
@given(schedule=schedules, pace=paces)
def test_without_failures_the_longest_wait_holds(
    schedule: list[tuple[int, int]], pace: Pace
) -> None:
    """With a model that takes no time, no message waits longer than the longest wait, and a
    conversation answers in the order of the messages."""
    machine = Machine(pace, 0, [])
    for place, (gap_ms, chars) in enumerate(schedule):
        machine.run_until(machine.now_ms + gap_ms)
        machine.receive(place, chars)
    machine.run_until(machine.now_ms + HORIZON_MS)
    answered: list[int] = []
    for event in machine.log:
        if isinstance(event, ReplySent):
            answered.extend(event.answers)
            for seq in event.answers:
                assert event.at_ms - machine.first_wait_ms[seq] <= pace.longest_wait_ms
    assert answered == sorted(answered)
