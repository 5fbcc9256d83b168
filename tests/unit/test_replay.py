"""A recorded journal under another pace."""

from actors.channels.message import Message
from actors.conversation.decisions import Conduct
from actors.conversation.events import Event, MessageReceived
from actors.conversation.pace import Pace
from actors.conversation.rehearsal import Call, Rehearsal
from actors.conversation.replay import MODEL_MS, figures, model_ms, replay
from tests.schedules import START_MS, play, schedule


def recorded(*arrivals_s: float, quiet_window_ms: int = 3_000) -> list[tuple[int, Event]]:
    """A journal as a pace would have left it, with a model that takes 2 s."""
    pace = Pace(quiet_window_ms=quiet_window_ms)
    rehearsal = Rehearsal(Conduct(pace), lambda _: Call(2_000), start_ms=START_MS)
    for place, at_s in enumerate(arrivals_s):
        message = Message(str(place), f"m{place}", "chatwoot")
        at_ms = START_MS + round(at_s * 1_000)
        rehearsal.happens(MessageReceived(at_ms=at_ms, message=message))
    rehearsal.run_until(rehearsal.now_ms + 60_000)
    return list(enumerate(rehearsal.log, start=1))


def test_a_wider_window_would_have_joined_what_was_split() -> None:
    journal = recorded(0, 4, 8)
    replayed = replay(journal, Conduct(Pace(quiet_window_ms=6_000)))
    assert replayed.model_ms == 2_000, "as the journal shows"
    before, after = replayed.recorded_figures, replayed.replayed_figures
    assert (before.messages, before.replies, before.superseded) == (3, 1, 2)
    assert (after.messages, after.replies, after.calls, after.superseded) == (3, 1, 1, 0)
    assert (before.mean_wait_ms, after.mean_wait_ms) == (5_000, 8_000)
    told = [(line.at_ms, line.who, line.what) for line in replayed.replayed]
    assert told == [
        (0, "customer", "m0"),
        (4_000, "customer", "m1"),
        (8_000, "customer", "m2"),
        (14_000, "bot", "drafts over 3: the customer was quiet for 6 s"),
        (16_000, "bot", "answers 3: (the answer to 3)"),
    ]


def test_the_same_pace_replays_to_the_same_timeline() -> None:
    journal = recorded(0, 4, 30, 31)
    replayed = replay(journal, Conduct(Pace(quiet_window_ms=3_000)))
    assert replayed.recorded_figures == replayed.replayed_figures


def test_a_journal_without_an_answer_gives_a_typical_model() -> None:
    assert model_ms(recorded(0)[:1]) == MODEL_MS


def test_a_draft_that_waited_for_its_window_says_nothing_of_the_model() -> None:
    pace = Pace(quiet_window_ms=10_000, early_lead_ms=8_000)
    rehearsal = Rehearsal(Conduct(pace), lambda _: Call(1_000), start_ms=START_MS)
    for place, at_s in enumerate((0, 40)):
        message = Message(str(place), f"m{place}", "chatwoot")
        rehearsal.happens(MessageReceived(at_ms=START_MS + at_s * 1_000, message=message))
        rehearsal.conduct = Conduct(Pace())
    rehearsal.run_until(rehearsal.now_ms + 60_000)
    assert model_ms(list(enumerate(rehearsal.log, start=1))) == 1_000


def test_any_journal_can_be_replayed() -> None:
    for seed in range(200):
        journal = list(enumerate(play(schedule(seed)).log, start=1))
        replayed = replay(journal, Conduct(Pace()))
        assert replayed.recorded_figures.messages == replayed.replayed_figures.messages
        assert figures(journal) == replayed.recorded_figures
