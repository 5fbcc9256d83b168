"""Names what a conversation can decide to do next, and what it decides by beside its journal."""

import msgspec

from actors.conversation.batching import Batch
from actors.conversation.events import Read
from actors.conversation.manners import Manners
from actors.conversation.pace import Pace
from actors.conversation.place import Place
from actors.conversation.state import Reply
from actors.conversation.window import Closing, Window
from actors.llm.prompt import ToolRun

# The work in hand: what the shell holds in memory beside the journal.


class Drafting(msgspec.Struct, frozen=True):
    """The model is being asked about these messages, as they were after event `as_of`."""

    covers: tuple[int, ...]
    as_of: int = 0


class Drafted(msgspec.Struct, frozen=True):
    """The model has answered about these messages; nothing is promised yet."""

    covers: tuple[int, ...]
    text: str
    model: str
    tokens_in: int
    tokens_out: int
    hand_over: str = ""
    tools: tuple[ToolRun, ...] = ()
    read: tuple[Read, ...] = ()
    as_of: int = 0


class DraftFailed(msgspec.Struct, frozen=True):
    """The model gave no answer. `jitter` in [0, 1] is drawn by the shell."""

    covers: tuple[int, ...]
    error: str
    retryable: bool
    asked_s: float | None
    jitter: float


class Promised(msgspec.Struct, frozen=True):
    """This process promised the reply itself and knows of every attempt to send it."""

    reply_id: str


Work = Drafting | Drafted | DraftFailed | Promised | None


# The decisions.


class Rest(msgspec.Struct, frozen=True):
    """Nobody is waiting for us."""


class Wait(msgspec.Struct, frozen=True):
    """Nothing to do until then, or until something happens (`until_ms` None).

    `wake_ms`: to be decided anew already then; `until_ms` is what a person is told. `window`: the
    one that is open, if one is.
    """

    phase: str
    reason: str
    until_ms: int | None
    wake_ms: int | None = None
    window: Window | None = None


class Start(msgspec.Struct, frozen=True):
    """Record the start of the turn, then ask the model. `early`: the window is still open; `as_of`:
    the last event that the batch knows of; `alone`: see events.TurnStarted."""

    turn_id: str
    batch: Batch
    attempt: int
    reason: str
    closing: Closing
    as_of: int
    early: bool = False
    alone: bool = False


class Supersede(msgspec.Struct, frozen=True):
    """Cancel the draft: what event `by` says is not in it. `early`: its window had not closed."""

    turn_id: str
    by: int
    early: bool = False


class Leave(msgspec.Struct, frozen=True):
    """Leave these messages to people, for this reason; cancel the draft of `turn_id` if it runs."""

    seqs: tuple[int, ...]
    reason: str
    turn_id: str = ""


class Commit(msgspec.Struct, frozen=True):
    """Promise the draft."""

    turn_id: str
    draft: Drafted
    reason: str


class RetryTurn(msgspec.Struct, frozen=True):
    """Record the failure; ask the model again then."""

    turn_id: str
    attempt: int
    error: str
    retry_at_ms: int


class Resume(msgspec.Struct, frozen=True):
    """Record that this process takes over a reply that another one had promised."""

    reply: Reply


class Send(msgspec.Struct, frozen=True):
    """Bring the next part of the reply to its channel; look there first if it may already stand
    there. If it does not: `withhold`, it is not to be sent for this reason; `hold`, it is to go to
    a person instead."""

    reply: Reply
    read_back: bool
    withhold: str = ""
    hold: str = ""


class Hold(msgspec.Struct, frozen=True):
    """Let the promised reply go to a person instead of to the customer."""

    reply: Reply
    reason: str


class PassOn(msgspec.Struct, frozen=True):
    """Hand the conversation to a person: all texts of the reply stand in the channel."""

    reply: Reply


class Withhold(msgspec.Struct, frozen=True):
    """Give up the promised reply, or its rest: a person has the word."""

    reply: Reply
    reason: str


class PutAside(msgspec.Struct, frozen=True):
    """Give these messages up, with the reason."""

    seqs: tuple[int, ...]
    reason: str
    error: str = ""
    attempts: int = 0


Decision = (
    Rest
    | Wait
    | Start
    | Supersede
    | Leave
    | Commit
    | RetryTurn
    | Resume
    | Send
    | Hold
    | PassOn
    | Withhold
    | PutAside
)


class Conduct(msgspec.Struct, frozen=True):
    """How a company wants its conversations held: when to speak, and when to be silent; and what
    the shell knows of its line."""

    pace: Pace
    manners: Manners = Manners()
    place: Place = Place()
