"""Companies as this process knows them: made of settings, kept apart, sealed, warmed."""

import asyncio
import base64
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, SecretStr

from actors.companies.company import BrokenCompany, Company, UnknownCompany
from actors.companies.directory import Directory
from actors.companies.sealing import MARK, SECRETS, Seal
from actors.companies.warm import WARM, WARM_AT_ONCE_MAX, WARM_ATTEMPTS_MAX, warm_all
from actors.errors import Misconfigured, Permanent, Retryable
from actors.fields import several
from actors.settings import CompanySettings, Settings
from actors.tokens import hashed
from tests.fakes import LoadedDice, VirtualClock, settle

TWO = """
[companies.acme]
{acme}
[companies.bolt]
name = "Bolt"
"""


def settings_of(directory: Path, text: str, **variables: Any) -> Settings:
    path = directory / "companies.toml"
    path.write_text(text)
    return Settings(companies_file=path, **variables)


def no_swearing(company: Company) -> None:
    if "damn" in company.prompt:
        raise Misconfigured(f"companies.{company.company_id}.prompt: no swearing")


def test_a_company_has_all_that_its_table_says(tmp_path: Path) -> None:
    text = """
    [companies.acme]
    first_window_s = 4.5
    resume_after_s = 60
    hours = { mon = "08:00-12:00, 14:00-18:00", sat = "closed" }
    time_zone = "Europe/Madrid"
    attachment_hosts = [".Files.Example"]
    api_token = "a-token"
    responder = "acme_bot:answer"
    [companies.acme.tools.stock]
    call = "acme_bot:stock"
    description = "in stock"
    [companies.acme.chatwoot]
    base_url = "https://chat.example/"
    account_id = 1
    api_key = "k"
    webhook_secret = ["one", "two"]
    [companies.acme.twilio]
    account_sid = "AC1"
    auth_token = "t"
    [companies.acme.whatsapp]
    phone_number_id = 123
    access_token = "w"
    """
    acme = Directory(settings_of(tmp_path, text, tools_s=7, max_batch=9)).company("acme")
    assert (acme.first_window_ms, acme.resume_after_ms, acme.largest_batch) == (4_500, 60_000, 9)
    assert acme.hours["mon"] == ((480, 720), (840, 1_080))
    assert acme.hours["sat"] == acme.hours["sun"] == ()
    assert (acme.zone, acme.files.hosts) == ("Europe/Madrid", (".files.example",))
    (tool,) = acme.tools
    assert (tool.name, tool.call, tool.timeout_s) == ("stock", "acme_bot:stock", 7)
    assert tool.parameters == {"type": "object", "properties": {}}
    assert acme.chatwoot is not None and acme.twilio is not None and acme.whatsapp is not None
    assert acme.chatwoot.base_url == "https://chat.example"
    assert acme.chatwoot.webhook_secrets == ("one", "two")
    assert (acme.whatsapp.phone_number_id, acme.twilio.account_sid) == ("123", "AC1")
    assert acme.owns_token("a-token") and not acme.owns_token("another")


def test_a_bad_company_takes_no_other_down(tmp_path: Path) -> None:
    directory = Directory(settings_of(tmp_path, TWO.format(acme="longest_wait_s = 5")))
    assert [company.company_id for company in directory] == ["bolt"]
    assert directory.company("bolt").name == "Bolt"
    reason = (
        "companies.acme.longest_wait_s (5) is below quiet_window_s (10); make it at least as long"
    )
    assert directory.broken() == {"acme": reason}
    with pytest.raises(BrokenCompany, match=re.escape(reason)):
        directory.company("acme")
    directory.require_one()


def test_nobody_has_this_id(tmp_path: Path) -> None:
    directory = Directory(settings_of(tmp_path, TWO.format(acme="")))
    with pytest.raises(UnknownCompany, match="'nobody' is not known"):
        directory.company("nobody")


def test_what_only_a_floor_above_can_judge(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, TWO.format(acme='prompt = "damn"'))
    directory = Directory(settings, [no_swearing])
    assert directory.broken() == {"acme": "companies.acme.prompt: no swearing"}
    assert not Directory(settings).broken(), "no checks are given by default"


def test_a_start_without_a_good_company(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, '[companies.acme]\nprompt = "damn"')
    directory = Directory(settings, [no_swearing])
    with pytest.raises(Misconfigured, match=r"^COMPANIES_FILE .*: companies.acme.prompt: no"):
        directory.require_one()


def test_a_plain_start_is_told_of_its_variable() -> None:
    directory = Directory(Settings(companies_file=None, system_prompt="damn"), [no_swearing])
    with pytest.raises(Misconfigured, match=r"^SYSTEM_PROMPT: no swearing"):
        directory.require_one()


@pytest.mark.parametrize("text", [None, "[companies", "", "\ud800"])
def test_a_file_that_cannot_be_read(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "companies.toml"
    if text is not None:
        path.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(Misconfigured, match="COMPANIES_FILE"):
        Directory(Settings(companies_file=path))


# --- Secrets -------------------------------------------------------------------------------------

KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
OTHER = base64.urlsafe_b64encode(bytes(range(32, 64))).decode()
TABLE: dict[str, Any] = {
    "name": "Acme",
    "whatsapp": {"phone_number_id": "1", "access_token": "token"},
    "chatwoot": {"base_url": "http://c", "api_key": "key", "webhook_secret": ["a", "b"]},
}


def seal(key: str | None = KEY) -> Seal:
    return Seal(None if key is None else SecretStr(key))


def secrets_in(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterable[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        kinds = list(parts_of(field.annotation))
        if SecretStr in kinds:
            yield (*above, name)
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from secrets_in(kind, (*above, name))


def parts_of(kind: Any) -> Iterable[Any]:
    yield kind
    for part in get_args(kind):
        yield from parts_of(part)


def test_every_secret_of_a_table_is_sealed() -> None:
    assert set(secrets_in(CompanySettings)) == set(SECRETS)


def test_what_is_sealed_opens_again() -> None:
    sealed = seal().sealed("acme", TABLE)
    for secret in ("'token'", "'key'", "'a'"):
        assert secret not in repr(sealed["whatsapp"]["access_token"]) + repr(sealed["chatwoot"])
    assert sealed["name"] == "Acme" and sealed["chatwoot"]["base_url"] == "http://c"
    assert seal().opened("acme", sealed) == TABLE
    assert TABLE["chatwoot"]["api_key"] == "key", "what was given is not changed"
    assert seal().sealed("acme", TABLE) != sealed, "each time another nonce"


def test_a_secret_opens_only_where_it_was_stored() -> None:
    sealed = seal().sealed("acme", TABLE)
    with pytest.raises(Misconfigured, match=r"companies\.bolt\.chatwoot.api_key: it does not open"):
        seal().opened("bolt", sealed)
    moved = {"chatwoot": {"api_key": sealed["whatsapp"]["access_token"]}}
    with pytest.raises(Misconfigured, match=r"companies\.acme\.chatwoot.api_key: it does not open"):
        seal().opened("acme", moved)


def test_a_new_key_goes_first_and_the_old_one_still_opens() -> None:
    old = seal().sealed("acme", TABLE)
    both = seal(f"{OTHER}, {KEY}")
    assert both.opened("acme", old) == TABLE
    new = both.sealed("acme", both.opened("acme", old))
    assert seal(OTHER).opened("acme", new) == TABLE
    with pytest.raises(Misconfigured, match="set the key that it was stored with"):
        seal(OTHER).opened("acme", old)


def test_a_passphrase_is_a_key_for_every_process() -> None:
    phrase = "a passphrase of a good length"
    assert seal(phrase).opened("acme", seal(phrase).sealed("acme", TABLE)) == TABLE


def test_without_a_key_no_secret_is_stored() -> None:
    with pytest.raises(
        Misconfigured, match=r"companies\.acme\.chatwoot.api_key: .* set SECRETS_KEY"
    ):
        seal(None).sealed("acme", TABLE)
    assert seal(None).sealed("acme", {"name": "x"}) == {"name": "x"}
    with pytest.raises(Misconfigured, match="SECRETS_KEY is not set"):
        seal(None).opened("acme", seal().sealed("acme", TABLE))


@pytest.mark.parametrize("text", ["", "v1", "v2.a.b", "v1..", f"v1.{'0' * 8}.AAAA", 7, None])
def test_what_is_no_seal_does_not_open(text: Any) -> None:
    with pytest.raises(Misconfigured, match=r"companies\.acme\.api_token: it does not open"):
        seal().opened("acme", {"api_token": {MARK: text}})


def test_a_spoilt_seal_does_not_open() -> None:
    text: str = seal().sealed("acme", TABLE)["whatsapp"]["access_token"][MARK]
    head, _, body = text.rpartition(".")
    for spoilt in ("", "A", "AAAA", "é", body[:-8] + "AAAAAAA=", body[:12]):
        with pytest.raises(Misconfigured, match="it does not open"):
            seal().opened("acme", {"whatsapp": {"access_token": {MARK: f"{head}.{spoilt}"}}})


OF_BEFORE = {MARK: "v1.c5d15a45.AeTsTsYVmUS0PpYAQApRwcS0BmP8V2rznwXoAsqBITTZazUovayMd66qiX8yeXg="}
"""The token `a-token-of-before` of acme, as releases stored it that sealed tokens."""


@pytest.mark.parametrize("given", ["one-token", "one-token, another", ["one-token", "another"]])
def test_of_a_token_only_the_hash_is_stored_and_no_key_is_needed(given: Any) -> None:
    stored = seal(None).sealed("acme", {"api_token": given})
    assert "one-token" not in repr(stored) and "another" not in repr(stored)
    assert stored["api_token"] == [hashed(token) for token in several(given)]
    assert seal(None).opened("acme", stored) == stored
    assert seal(None).sealed("acme", stored) == stored, "a hash is not hashed again"


def test_a_token_that_was_sealed_opens_and_is_a_hash_from_the_next_change_on() -> None:
    table = seal().opened("acme", {"api_token": OF_BEFORE})
    assert table == {"api_token": "a-token-of-before"}
    assert seal().sealed("acme", table) == {"api_token": [hashed("a-token-of-before")]}


# --- Warming -------------------------------------------------------------------------------------


def many(directory: Path, count: int) -> list[Company]:
    text = "".join(f"[companies.c{number}]\n" for number in range(count))
    return list(Directory(settings_of(directory, text)))


class Kettle:
    """Warms companies; `faults` are raised by the next tries of a company, in order."""

    def __init__(self, clock: VirtualClock, **faults: list[Exception]) -> None:
        self._clock = clock
        self._faults = faults
        self.tries: list[str] = []
        self.at_once = self.most_at_once = 0

    async def warm_one(self, company: Company) -> None:
        self.tries.append(company.company_id)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            await self._clock.sleep(1)
            if self._faults.get(company.company_id):
                raise self._faults[company.company_id].pop(0)
        finally:
            self.at_once -= 1


async def warmed(companies: list[Company], kettle: Kettle, clock: VirtualClock) -> dict[str, str]:
    task = asyncio.create_task(warm_all(companies, kettle.warm_one, clock, LoadedDice()))
    await settle()
    for _ in range(600):
        if not task.done():
            await clock.advance(1)
    return task.result()


async def test_each_company_is_warmed_and_says_why_not(tmp_path: Path) -> None:
    clock = VirtualClock()
    always: list[Exception] = [Retryable("the model is away")] * 9
    kettle = Kettle(clock, c1=[Retryable("busy")], c2=always, c3=[Permanent("the key is wrong")])
    assert await warmed(many(tmp_path, 4), kettle, clock) == {
        "c0": WARM,
        "c1": WARM,
        "c2": f"cold: the model is away (tries: {WARM_ATTEMPTS_MAX})",
        "c3": "cold: the key is wrong (tries: 1)",
    }
    assert kettle.tries.count("c1") == 2


async def test_only_so_many_are_warmed_at_once(tmp_path: Path) -> None:
    clock = VirtualClock()
    kettle = Kettle(clock)
    result = await warmed(many(tmp_path, 3 * WARM_AT_ONCE_MAX), kettle, clock)
    assert set(result.values()) == {WARM}
    assert kettle.most_at_once == WARM_AT_ONCE_MAX


async def test_whoever_waits_for_its_next_try_is_in_nobodys_way(tmp_path: Path) -> None:
    clock = VirtualClock()
    companies = many(tmp_path, WARM_AT_ONCE_MAX + 1)
    failing: dict[str, list[Exception]] = {
        company.company_id: [Retryable("busy")] for company in companies[:-1]
    }
    kettle = Kettle(clock, **failing)
    task = asyncio.create_task(warm_all(companies, kettle.warm_one, clock, LoadedDice()))
    await settle()
    await clock.advance(1)
    assert companies[-1].company_id == kettle.tries[-1], "its turn comes during the others' wait"
    await clock.advance(60)
    assert set(task.result().values()) == {WARM}


async def test_no_companies_are_warm_at_once() -> None:
    clock = VirtualClock()
    assert await warm_all([], Kettle(clock).warm_one, clock, LoadedDice()) == {}
