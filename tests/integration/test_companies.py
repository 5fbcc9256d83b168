"""Companies through the running service: made, changed and removed without a restart."""

import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from redis import Redis

from tests.places import ADMIN_TOKEN, TOKEN, Place, message_created, until

pytestmark = pytest.mark.cluster

OPERATOR = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
POPUP_SECRETS = ("a-popup-key", "a-popup-secret", "a-popup-token")


def admin(
    place: Place, method: str, path: str, body: dict[str, Any] | None = None
) -> httpx.Response:
    return place.http.request(method, f"/api/companies{path}", json=body, headers=OPERATOR)


@pytest.fixture
def popup(place: Place) -> Iterator[str]:
    """A company that only the API knows, for one test."""
    table = {
        "name": "Pop-up",
        "quiet_window_s": 1,
        "longest_wait_s": 5,
        "api_token": "a-popup-token",
        "chatwoot": {
            "base_url": place.peers,
            "account_id": 1,
            "api_key": "a-popup-key",
            "webhook_secret": "a-popup-secret",
        },
    }
    answer = admin(place, "PUT", "/popup", table)
    assert answer.status_code in (200, 201), answer.text
    yield "popup"
    assert admin(place, "DELETE", "/popup").status_code in (200, 204)


def asked(place: Place, company: str, text: str, secret: str = "a-popup-secret") -> int:
    """The customer writes; returns the conversation, when the webhook was taken."""
    conversation = place.conversation()

    def taken() -> bool:
        event = message_created(conversation, text)
        return place.webhook(company, event, secret=secret).status_code == 202

    until("the company is known to every process", taken)
    return conversation


def shown(place: Place, conversation: int) -> dict[str, Any]:
    answer = place.http.get(
        f"/api/companies/popup/conversations/{conversation}",
        headers={"Authorization": "Bearer a-popup-token"},
    )
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def window_ms(place: Place, conversation: int) -> int:
    """The window that the conversation's last turn began after."""
    until("the answer", lambda: place.posted(conversation))
    started = [e for e in shown(place, conversation)["timeline"] if e["type"] == "turn_started"]
    found: int = started[-1]["window_ms"]
    return found


def test_a_company_is_made_and_changed_without_a_restart(place: Place, popup: str) -> None:
    assert window_ms(place, asked(place, popup, "hi")) == 1_000
    answer = admin(place, "PATCH", f"/{popup}", {"quiet_window_s": 2})
    assert answer.status_code == 200, answer.text
    assert answer.json()["settings"]["quiet_window_s"]["value"] == 2

    def follows() -> bool:
        return window_ms(place, asked(place, popup, "again")) == 2_000

    until("the new window holds", follows)


def test_secrets_of_a_company_are_written_and_never_read(place: Place, popup: str) -> None:
    told = admin(place, "GET", f"/{popup}").text + admin(place, "GET", "").text
    with Redis.from_url(place.settings()["REDIS_URL"]) as redis:
        kept = b"".join(redis.hvals("turnwise:{companies}")).decode()
    log = place.log.read_text(errors="replace")
    assert "a-popup-key" not in told + kept + log
    assert not [secret for secret in POPUP_SECRETS if secret in told + kept + log]
    assert "Pop-up" in kept


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"longest_wait_s": 0.5}, "companies.popup.longest_wait_s (0.5) is below"),
        ({"time_zone": "Mars/Olympus"}, "companies.popup.time_zone"),
        ({"responder": "nowhere:answer"}, "companies.popup.responder"),
        ({"prompt": "Hello {{ custommer }}"}, "companies.popup.prompt"),
        ({"quiet_windows_s": 1}, "companies.popup.quiet_windows_s"),
        ({"allowed_statuses": ["closed"]}, "companies.popup.allowed_statuses"),
    ],
)
def test_a_bad_setting_is_refused_with_its_path_and_changes_nothing(
    place: Place, popup: str, change: dict[str, Any], says: str
) -> None:
    before = admin(place, "GET", f"/{popup}").json()
    answer = admin(place, "PATCH", f"/{popup}", change)
    assert answer.status_code == 422, answer.text
    assert says in answer.json()["detail"]
    assert admin(place, "GET", f"/{popup}").json() == before


def test_only_the_operator_may(place: Place) -> None:
    for headers in ({}, {"Authorization": f"Bearer {TOKEN}"}):
        assert place.http.get("/api/companies", headers=headers).status_code == 401
        answer = place.http.patch("/api/companies/acme", json={"name": "x"}, headers=headers)
        assert answer.status_code == 401
    own = place.http.get("/api/companies/acme", headers={"Authorization": f"Bearer {TOKEN}"})
    assert own.status_code == 200, "a company reads its own"
    other = place.http.get("/api/companies/open", headers={"Authorization": f"Bearer {TOKEN}"})
    assert other.status_code == 401


def test_a_broken_company_takes_nobody_down(place: Place) -> None:
    ready = place.ready()
    assert ready is not None
    assert "companies.broken.longest_wait_s (1) is below" in ready["companies"]["broken"]["broken"]
    assert ready["status"] == "ready"
    event = message_created(place.conversation(), "hi")
    answer = place.webhook("broken", event)
    assert answer.status_code == 500, "an agent bot sends it again"
    assert "longest_wait_s" in answer.json()["detail"]
    assert place.webhook("acme", message_created(place.conversation(), "hi")).status_code == 202


def test_the_companies_file_is_followed(place: Place) -> None:
    path = place.directory / "companies.toml"
    before = path.read_text()
    try:
        path.write_text(before + "\n[companies.late]\nwebchat = true\nquiet_window_s = 1\n")
        until("the new company", lambda: "late" in admin(place, "GET", "").text)
        path.write_text(before + "\n[companies.late")
        until(
            "the trouble is told",
            lambda: "TOML" in admin(place, "GET", "").json()["companies_file"],
        )
        assert "late" in admin(place, "GET", "").text, "the last good file goes on"
    finally:
        # A new file in its place, as an editor does it.
        (fresh := path.with_suffix(".new")).write_text(before)
        os.replace(fresh, path)
    until("the old companies", lambda: "late" not in admin(place, "GET", "").text)


def test_attachments_reach_the_model(place: Place) -> None:
    from tests.made_files import PNG

    httpx.put(f"{place.peers}/files/cat.png", content=PNG, headers={"Content-Type": "image/png"})
    httpx.put(
        f"{place.peers}/files/order.txt",
        content=b"Order 4711: two rakes",
        headers={"Content-Type": "text/plain"},
    )
    conversation = place.conversation()
    files = [
        {"id": 1, "file_type": "image", "data_url": f"{place.peers}/files/cat.png"},
        {"id": 2, "file_type": "file", "data_url": f"{place.peers}/files/order.txt"},
        {"id": 3, "file_type": "image", "data_url": "http://169.254.169.254/latest/meta-data"},
    ]
    event = message_created(conversation, "see what I bought", attachments=files)
    assert place.webhook("acme", event).status_code == 202
    until("the answer", lambda: place.posted(conversation))
    asked_with = next(
        call["messages"][-1]["content"]
        for call in reversed(place.seen()["completions"])
        if "see what I bought" in str(call["messages"][-1]["content"])
    )
    kinds = [part["type"] for part in asked_with]
    assert kinds.count("image_url") == 1
    assert "two rakes" in str(asked_with)
    assert "cannot be read" in str(asked_with), "the third is said, not dropped, not fetched"


def test_what_happened_is_counted(place: Place, popup: str) -> None:
    conversation = asked(place, popup, "one")
    until("the answer", lambda: place.posted(conversation))

    def counted() -> dict[str, Any] | None:
        answer = place.http.get(f"/api/companies/{popup}/analytics", headers=OPERATOR)
        answer.raise_for_status()
        total: dict[str, Any] = answer.json()["total"]
        return total if total["replies"]["count"] else None

    total = until("the counts are written", counted)
    assert total["messages"]["count"] >= 1
    assert total["tokens"]
