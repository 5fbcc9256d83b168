"""Plays a conversation through the rules on a clock of its own: for replays, benches, properties.

Pure: what happens and how long the model takes come in, the journal that would have been written
goes out. The same rules decide as in production; only the shell around them is this small machine.
"""

from collections.abc import Callable

import msgspec

from actors.conversation import decisions, records, turns
from actors.conversation.batching import Batch
from actors.conversation.events import Event, FromOutside, ReplySent
from actors.conversation.place import Place
from actors.conversation.state import Reply, State, apply

STEPS_MAX = 200_000
"""Decisions of one rehearsal; more would be a rule that goes round in circles."""

PART_CHARS = 1_500


class Call(msgspec.Struct, frozen=True):
    """What a call of the model will give: an answer after `took_ms`, or an error."""

    took_ms: int
    text: str = "yes"
    tokens_in: int = 0
    tokens_out: int = 0
    hand_over: str = ""
    error: str = ""
    retryable: bool = True


class Post(msgspec.Struct, frozen=True):
    """What a post to the channel will give: it stands there, or fails; `stored` all the same."""

    error: str = ""
    stored: bool = False
    doubtful: bool = False
    final: bool = False


Model = Callable[[Batch], Call]
"""Asked at the start of each draft."""

Channel = Callable[[Reply], Post]
"""Asked at each post of a part."""


def always_sent(_: Reply) -> Post:
    """A channel without faults."""
    return Post()


Line = Callable[[int], Place]
"""What the company's line says at a time, ms."""


def always_free(_: int) -> Place:
    """A line in which nobody waits."""
    return Place()


class Rehearsal:
    """One conversation. `log` is its journal, `posted` what stands in the channel, as
    (time, reply, part).

    `run_until` moves its clock; nothing else does.
    """

    def __init__(
        self,
        conduct: decisions.Conduct,
        model: Model,
        channel: Channel = always_sent,
        *,
        line: Line = always_free,
        start_ms: int = 0,
    ) -> None:
        self.conduct = conduct
        self.now_ms = start_ms
        self.state = State()
        self.work: decisions.Work = None
        self.log: list[Event] = []
        self.posted: list[tuple[int, str, int]] = []
        self._model = model
        self._channel = channel
        self._line = line
        self._call: tuple[int, Call] | None = None

    def happens(self, event: FromOutside) -> None:
        """Something comes from the outside, at its own time."""
        self.run_until(event.at_ms)
        self._record(event)

    def run_until(self, until_ms: int) -> None:
        """Performs everything that is due until then."""
        for _ in range(STEPS_MAX):
            next_ms = self._step()
            if next_ms is None or next_ms > until_ms:
                self.now_ms = max(self.now_ms, until_ms)
                return
            self.now_ms = max(self.now_ms, next_ms)
        raise AssertionError(f"the rules go round in circles: {self.log[-6:]}")

    def _record(self, event: Event) -> None:
        self.log.append(event)
        self.state = apply(self.state, self.state.seq + 1, event)

    def _step(self) -> int | None:
        """Takes one decision; returns when the next one is due, None for not before something
        happens."""
        self._take_answer()
        decision = self._decided()
        match decision:
            case decisions.Rest():
                return None
            case decisions.Wait(until_ms=until_ms, wake_ms=wake_ms):
                due = [ms for ms in (wake_ms or until_ms, self._call and self._call[0]) if ms]
                return min(due, default=None)
            case (
                decisions.Start()
                | decisions.Supersede()
                | decisions.Leave()
                | decisions.RetryTurn()
            ):
                self._perform(decision)
            case decisions.Commit():
                self._commit(decision)
            case _:
                self._deliver(decision)
        return self.now_ms

    def _decided(self) -> decisions.Decision:
        conduct = msgspec.structs.replace(self.conduct, place=self._line(self.now_ms))
        return turns.decide(self.state, self.work, conduct, self.now_ms, "x:1")

    def _take_answer(self) -> None:
        if self._call is None or self._call[0] > self.now_ms:
            return
        call, self._call = self._call[1], None
        assert isinstance(self.work, decisions.Drafting)
        covers, as_of = self.work.covers, self.work.as_of
        if call.error:
            self.work = decisions.DraftFailed(covers, call.error, call.retryable, None, 0.0)
        else:
            self.work = decisions.Drafted(
                covers, call.text, "", call.tokens_in, call.tokens_out, call.hand_over, as_of=as_of
            )

    def _drop(self) -> None:
        self.work = self._call = None

    def _perform(
        self,
        decision: decisions.Start | decisions.Supersede | decisions.Leave | decisions.RetryTurn,
    ) -> None:
        wasted = self._cost()
        self._drop()
        self._record(records.of(decision, self.now_ms, tokens_wasted=wasted))
        if isinstance(decision, decisions.Start):
            call = self._model(decision.batch)
            self.work = decisions.Drafting(decision.batch.seqs, decision.as_of)
            self._call = (self.now_ms + call.took_ms, call)

    def _cost(self) -> int:
        """What the draft in hand has cost; one that is under way, its question."""
        if isinstance(self.work, decisions.Drafted):
            return self.work.tokens_in + self.work.tokens_out
        return self._call[1].tokens_in if self._call else 0

    def _commit(self, commit: decisions.Commit) -> None:
        named = f"r{self.state.seq + 1}"
        self._record(records.committed(self.state, commit, named, PART_CHARS, self.now_ms))
        assert self.state.reply is not None
        self.work = decisions.Promised(self.state.reply.reply_id)

    def _deliver(self, decision: decisions.Decision) -> None:
        match decision:
            case decisions.Send(reply=reply, read_back=read_back, withhold=withhold, hold=hold):
                stands = read_back and any(
                    (name, part) == (reply.reply_id, reply.sent) for _, name, part in self.posted
                )
                if not stands and withhold:
                    self._deliver(decisions.Withhold(reply, withhold))
                elif stands:
                    self._sent(reply)
                elif hold:
                    self._deliver(decisions.Hold(reply, hold))
                else:
                    self._post(reply)
            case decisions.Hold():
                self._record(records.of(decision, self.now_ms))
            case decisions.PassOn() | decisions.Withhold() | decisions.PutAside():
                self._drop()
                self._record(records.of(decision, self.now_ms))

    def _post(self, reply: Reply) -> None:
        post = self._channel(reply)
        if not post.error or post.stored:
            self.posted.append((self.now_ms, reply.reply_id, reply.sent))
        if not post.error:
            self._sent(reply)
            return
        if post.final:
            reason = "the channel refused the reply"
            self._deliver(decisions.PutAside(reply.answers, reason, post.error))
            return
        after = turns.after_send_failure(reply, post.error, 0.0, None, self.now_ms)
        if isinstance(after, decisions.PutAside):
            self._deliver(after)
            return
        self.work = decisions.Promised(reply.reply_id)
        doubtful = post.doubtful or post.stored
        self._record(records.send_failed(reply, post.error, after, self.now_ms, doubtful=doubtful))

    def _sent(self, reply: Reply) -> None:
        event = records.sent(reply, f"c{len(self.posted)}", self.now_ms)
        self._record(event)
        self.work = None if isinstance(event, ReplySent) else decisions.Promised(reply.reply_id)
