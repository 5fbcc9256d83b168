"""Small pure rules: slots and hosts, signatures, passes, prompts, the timetable, redaction."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.channels.message import provider_order
from actors.conversation.events import TurnInterrupted, Unknown, decode, encode
from actors.conversation.memory import Memory
from actors.conversation.state import State, apply
from actors.journal.keys import SLOTS, Key, redis_keys
from actors.llm.prompt import Line, tokens, within_budget
from actors.maintenance.timetable import Daily, Every
from actors.placement import host_of, slots_of
from actors.web.access import COOKIE_LIFE_S, opened, sign
from actors.web.webhooks import why_unsigned


@given(hosts=st.integers(1, SLOTS))
def test_every_slot_has_one_host_and_hosts_own_ranges(hosts: int) -> None:
    ranges = [slots_of(host, hosts) for host in range(hosts)]
    assert [slot for owned in ranges for slot in owned] == list(range(SLOTS))
    assert all(host_of(slot, hosts) == host for host, owned in enumerate(ranges) for slot in owned)


def test_a_conversations_slot_never_changes() -> None:
    """Journals hold it: another hash would lose every conversation there is."""
    assert Key("acme", "321").slot == 714
    assert redis_keys(Key("acme", "321")).journal == "turnwise:{714}:acme:321:journal"


def test_the_keys_of_a_script_are_of_one_slot() -> None:
    keys = redis_keys(Key("acme", "321"))
    names = [getattr(keys, name) for name in keys.__struct_fields__]
    assert {name[name.index("{") : name.index("}")] for name in names} == {"{714"}


VECTOR = '{"event":"message_created","id":101,"content":"Olá \\u003cb\\u003e"}'.encode()
SIGNATURE = "sha256=aa27d9dd867521b161a73a689650516dea43a945ae3769619fdfba7651f9edbe"


@pytest.mark.parametrize(
    ("timestamp", "signature", "body", "now_s", "says"),
    [
        ("1760000000", SIGNATURE, VECTOR, 1_760_000_000, None),
        ("1760000000", SIGNATURE, VECTOR, 1_760_000_300, None),
        ("1760000000", SIGNATURE, VECTOR, 1_760_000_301, "stale"),
        ("1760000000", SIGNATURE, VECTOR, 1_759_999_699, "stale"),
        ("1760000001", SIGNATURE, VECTOR, 1_760_000_000, "wrong"),
        ("1760000000", SIGNATURE, VECTOR + b" ", 1_760_000_000, "wrong"),
        ("1760000000", SIGNATURE.upper(), VECTOR, 1_760_000_000, "wrong"),
        ("1760000000", "sha256=é", VECTOR, 1_760_000_000, "wrong"),
        ("1760000000", "", VECTOR, 1_760_000_000, "missing"),
        (None, SIGNATURE, VECTOR, 1_760_000_000, "missing"),
        ("٣", SIGNATURE, VECTOR, 1_760_000_000, "wrong"),
    ],
)
def test_chatwoots_signature(
    timestamp: str | None, signature: str, body: bytes, now_s: float, says: str | None
) -> None:
    why = why_unsigned(["another", "test_webhook_secret"], timestamp, signature, body, now_s)
    assert why is None if says is None else says in str(why)


def test_a_pass_opens_one_conversation_for_a_while() -> None:
    key, secret = Key("demo", "web-1"), b"secret"
    ticket = sign(secret, key, 1_000)
    assert opened(secret, ticket, 1_001) == key
    assert opened(secret, ticket, 1_000 + COOKIE_LIFE_S) is None
    assert opened(b"another", ticket, 1_001) is None
    assert opened(secret, ticket.replace("web-1", "web-2"), 1_001) is None
    assert opened(secret, "", 1_001) is None


def test_the_newest_history_that_fits() -> None:
    lines = [Line("user", "x" * 30) for _ in range(10)]
    cost = tokens("x" * 30)
    assert len(within_budget(lines, cost * 3)) == 3
    assert within_budget(lines, 0) == ()
    assert within_budget([Line("user", "old"), Line("user", "x" * 900)], 20) == ()


@given(st.lists(st.integers(1, 10**12), min_size=1, unique=True))
def test_numbers_are_sorted_as_numbers(ids: list[int]) -> None:
    order = provider_order([str(number) for number in ids])
    assert [ids[place] for place in order] == sorted(ids)


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-11-22T02:00:00", "2026-11-22T02:00:00"),
        ("2026-11-22T01:59:59", "2026-11-21T02:00:00"),
        ("2026-11-22T23:00:00", "2026-11-22T02:00:00"),
    ],
)
def test_a_daily_row_is_due_at_its_local_time(now: str, due: str) -> None:
    zone = ZoneInfo("America/Bogota")

    def ms(text: str) -> int:
        return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1_000)

    assert Daily(2).last_due_ms(ms(now), "America/Bogota") == ms(due)


def test_an_interval_row_is_due_at_whole_multiples() -> None:
    assert Every(30).last_due_ms(95_000, "UTC") == 90_000


def test_an_event_of_a_later_release_changes_nothing_and_stops_nothing() -> None:
    later = decode(b'{"type":"reply_translated","at_ms":1}')
    assert isinstance(later, Unknown)
    assert apply(State(seq=4), 5, later) == State(seq=5, memory=Memory(seq=5))
    with_more = encode(TurnInterrupted(at_ms=1, turn="t", reason="r"))[:-1] + b',"new":1}'
    assert decode(with_more) == TurnInterrupted(at_ms=1, turn="t", reason="r")
