"""R1.5 and R1.6: which messages are answered together, and how their texts are joined."""

import pytest

from actors.channels.message import Attachment, Message
from actors.conversation.batching import joined_text, next_batch
from actors.conversation.pace import Pace
from actors.conversation.state import Open


def open_(*texts: str, ids: list[str] | None = None) -> list[Open]:
    return [
        Open(seq, 1_000 * seq, Message(ids[seq - 1] if ids else str(100 + seq), text, "chatwoot"))
        for seq, text in enumerate(texts, start=1)
    ]


@pytest.mark.parametrize(
    ("chars", "how", "between"),
    [
        (2, "space", " "),
        (49, "space", " "),
        (50, "newline", "\n"),
        (149, "newline", "\n"),
        (150, "blank line", "\n\n"),
        (399, "blank line", "\n\n"),
    ],
)
def test_texts_are_joined_by_their_average_length(chars: int, how: str, between: str) -> None:
    batch = next_batch(open_("a" * chars, "b" * chars), Pace())
    assert (batch.how, batch.seqs) == (how, (1, 2))
    assert batch.text == "a" * chars + between + "b" * chars


def test_an_average_of_400_or_more_is_answered_one_by_one() -> None:
    batch = next_batch(open_("a" * 400, "b" * 400), Pace())
    assert (batch.how, batch.seqs) == ("apart", (1,))
    assert batch.reason == "2 messages, one by one: 400 characters on average, 400 or more"


def test_one_that_is_not_plain_text_keeps_all_apart() -> None:
    picture = Open(2, 0, Message("102", "look", "chatwoot", attachments=(Attachment("image"),)))
    batch = next_batch([*open_("hello"), picture], Pace())
    assert (batch.how, batch.seqs) == ("apart", (1,))
    assert "not all of them are plain text" in batch.reason


def test_a_lone_message_is_not_joined_however_long() -> None:
    assert next_batch(open_("a" * 5_000), Pace()).how == "single"


def test_a_batch_is_in_the_providers_order_not_in_that_of_arrival() -> None:
    batch = next_batch(open_("second", "third", "first", ids=["10", "11", "9"]), Pace())
    assert batch.text == "first second third"
    assert batch.seqs == (3, 1, 2)


def test_ids_that_are_no_numbers_leave_the_order_of_arrival() -> None:
    batch = next_batch(open_("one", "two", ids=["zz", "aa"]), Pace())
    assert batch.text == "one two"


def test_no_more_than_the_largest_batch() -> None:
    batch = next_batch(open_(*"abcdefgh"), Pace(largest_batch=3))
    assert batch.seqs == (1, 2, 3)


def test_what_cannot_be_read_is_said() -> None:
    voice = Message("1", "", "chatwoot", attachments=(Attachment("audio"),))
    assert next_batch([Open(1, 0, voice)], Pace()).text == "[the customer sent: audio]"
    assert joined_text(["a"]) == "a"
