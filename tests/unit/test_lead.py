"""How long before the window closes a draft is begun, and why it is not."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.analytics.counters import Count
from actors.analytics.days import local_day
from actors.analytics.tallies import PENDING_MAX, Tallies
from actors.channels.message import Message
from actors.companies.company import Company, UnknownCompany
from actors.companies.making import company_of
from actors.conversation.counting import Counting
from actors.conversation.events import MessageReceived, TurnSuperseded, Unknown
from actors.conversation.lead import (
    LEAD_MAX_MS,
    LEAD_MIN_MS,
    OBSERVATIONS_MAX,
    OBSERVATIONS_MIN,
    Leads,
    lead_ms,
)
from actors.conversation.ports import Lead, Tally
from actors.conversation.state import State
from actors.settings import Settings
from actors.tables import CompanySettings
from tests.fakes import START_MS, VirtualClock

ACME = replace(
    company_of("acme", CompanySettings(), Settings()),
    zone="America/Bogota",
    draft_early=True,
    early_waste_tokens_max=1_000,
)
TODAY = local_day(START_MS, ACME.zone)


class AwayRedis:
    """Nobody asks it anything: what neither waits nor fails does without."""


def tallies() -> Tallies:
    return Tallies(AwayRedis())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("latencies", "wasted", "budget", "expected", "why"),
    [
        ([4_000] * 5, 0, 0, 0, "their budget is 0 tokens"),
        ([4_000] * 5, None, 100, 0, "is being looked up"),
        ([4_000] * 5, 100, 100, 0, "until tomorrow: they wasted 100 of 100 tokens today"),
        ([4_000] * 2, 0, 100, 0, "2 of 3 answers of the model timed"),
        ([LEAD_MIN_MS - 1] * 3, 0, 100, 0, "the model answers in 249 ms"),
        ([3_000, 1_000, 2_000], 0, 100, 3_000, "drafts begin 3.0 s before the window closes"),
        ([1_000, 2_000, 3_000, 4_000, 60_000], 99, 100, 4_000, "wasted 99 of 100 tokens today"),
        ([90_000] * 3, 0, 100, LEAD_MAX_MS, "took at most 90.0 s"),
    ],
)
def test_the_lead_and_its_reason(
    latencies: list[int], wasted: int | None, budget: int, expected: int, why: str
) -> None:
    found, reason = lead_ms(latencies, wasted, budget)
    assert found == expected
    assert why in reason


@given(
    latencies=st.lists(st.integers(0, 100_000), max_size=OBSERVATIONS_MAX),
    wasted=st.none() | st.integers(0, 2_000),
    budget=st.integers(0, 2_000),
)
def test_a_lead_is_bounded_and_never_beyond_the_budget(
    latencies: Sequence[int], wasted: int | None, budget: int
) -> None:
    found, reason = lead_ms(latencies, wasted, budget)
    assert reason
    assert found == 0 or LEAD_MIN_MS <= found <= LEAD_MAX_MS
    if found:
        assert wasted is not None and wasted < budget
        assert len(latencies) >= OBSERVATIONS_MIN
        ready = sum(latency <= found for latency in latencies)
        assert ready >= 0.8 * len(latencies) or found == LEAD_MAX_MS


class KnownTallies(Tallies):
    """Knows what Redis would say."""

    wasted: int | None = 0

    def watch(self, company_id: str, day: date, field: str) -> int | None:
        assert (company_id, day, field) == ("acme", TODAY, Count.WASTED_EARLY)
        return self.wasted


def known() -> KnownTallies:
    return KnownTallies(AwayRedis())  # type: ignore[arg-type]


def test_a_company_learns_its_model_and_forgets_the_oldest_calls() -> None:
    leads = Leads(known(), VirtualClock())
    lead: Lead = leads.of(ACME)
    assert lead.lead_ms() == 0
    for _ in range(OBSERVATIONS_MAX):
        lead.took(9_000)
    assert lead.lead_ms() == 9_000
    for _ in range(OBSERVATIONS_MAX):
        lead.took(2_000)
    assert lead.lead_ms() == 2_000
    assert "the last 30 answers" in lead.why()


def test_what_was_seen_outlives_a_change_of_the_company_but_not_of_its_model() -> None:
    leads = Leads(known(), VirtualClock())
    for _ in range(OBSERVATIONS_MIN):
        leads.of(ACME).took(2_000)
    assert leads.of(replace(ACME, quiet_window_ms=5_000)).lead_ms() == 2_000
    off = leads.of(replace(ACME, draft_early=False))
    assert (off.lead_ms(), off.why()) == (
        0,
        "no early drafts: the company has them switched off",
    )
    assert leads.of(replace(ACME, company_id="other", draft_early=False)).lead_ms() == 0
    assert leads.of(replace(ACME, model="another")).lead_ms() == 0
    assert leads.of(ACME).lead_ms() == 0, "the calls before were another model's"


def test_a_used_budget_switches_early_drafts_off() -> None:
    counted = known()
    lead = Leads(counted, VirtualClock()).of(ACME)
    for _ in range(OBSERVATIONS_MIN):
        lead.took(2_000)
    for wasted, expected in ((None, 0), (999, 2_000), (1_000, 0)):
        counted.wasted = wasted
        assert lead.lead_ms() == expected


# Counting, as far as it needs no Redis.


def company(company_id: str) -> Company:
    if company_id != "acme":
        raise UnknownCompany(company_id)
    return ACME


def pending(counted: Tallies) -> dict[tuple[str, date], dict[str, int]]:
    return counted._pending


def test_an_event_counts_on_the_day_on_which_it_happened_where_the_company_is() -> None:
    counted = tallies()
    tally: Tally = Counting(counted, company)
    for at_ms in (START_MS, START_MS, START_MS - 24 * 3_600_000):
        event = MessageReceived(at_ms=at_ms, message=Message("1", "hi", "api"))
        tally.count("acme", State(), event)
    yesterday = date.fromordinal(TODAY.toordinal() - 1)
    assert pending(counted) == {
        ("acme", TODAY): {"messages": 2, "message_chars": 4},
        ("acme", yesterday): {"messages": 1, "message_chars": 2},
    }


def test_counting_never_fails() -> None:
    counted = tallies()
    counting = Counting(counted, company)
    counting.count("gone", State(), TurnSuperseded(at_ms=START_MS, turn="t", by=1))
    counting.count("acme", State(), Unknown(b"?"))
    assert pending(counted) == {}


def test_what_waits_for_redis_is_bounded() -> None:
    counted = tallies()
    for number in range(PENDING_MAX + 10):
        counted.add(f"company-{number}", TODAY, {"messages": 1})
    counted.add("company-0", TODAY, {"messages": 1})
    assert len(pending(counted)) == PENDING_MAX
    assert pending(counted)["company-0", TODAY] == {"messages": 2}


async def test_a_flush_of_nothing_asks_nobody() -> None:
    counted = tallies()
    assert await counted.run_once()
    await counted.aclose()
