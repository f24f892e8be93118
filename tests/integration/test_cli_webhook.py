"""The commands about webhooks."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.integration.command import Billing
from tests.integration.engine import Engine
from tests.integration.hooked import tick
from tests.integration.receiver import Receiver, receiving, status


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver on this machine, which the settings allow."""
    monkeypatch.setenv("BILLING_WEBHOOK_ALLOWED_HOSTS", "127.0.0.1")
    with receiving() as made:
        yield made


def test_the_life_of_an_endpoint(billing: Billing, engine: Engine, receiver: Receiver) -> None:
    """Created with a secret, tested, changed, rotated, disabled, deleted."""
    url = f"{receiver.url}/h"
    made = billing("webhook", "create", url, "--event-type", "plan.*", "--description", "ERP")
    endpoint, secret = made["id"], made["secret"]
    assert (made["url"], made["event_types"], made["description"]) == (url, ["plan.*"], "ERP")
    assert "secret" not in billing("webhook", "show", endpoint)
    assert [row["id"] for row in billing("webhook", "list")] == [endpoint]
    listed = billing("webhook", "list", people=True)
    assert url in listed
    assert "enabled" in listed
    engine.execute("UPDATE webhook_endpoints SET failing_since = now()")
    assert "failing" in billing("webhook", "list", people=True)
    engine.execute("UPDATE webhook_endpoints SET failing_since = NULL")

    assert billing("webhook", "test", endpoint) == {"status_code": 200, "error": None}
    receiver.received[0].verify(secret)
    receiver.answer = status(500)
    assert "http_500" in billing("webhook", "test", endpoint, code=1)

    changed = billing("webhook", "update", endpoint, "--all-types", "--description", "")
    assert (changed["event_types"], changed["description"]) == ([], None)
    rotated = billing("webhook", "rotate-secret", endpoint)
    assert rotated["secret"] != secret
    assert rotated["previous_secret_ends_at"]
    disabled = billing("webhook", "update", endpoint, "--disable", "--reason", "test")
    assert disabled["disabled_cause"] == "disabled by an operator"
    assert "disabled by an operator" in billing("webhook", "list", people=True)
    assert billing("webhook", "update", endpoint, "--enable")["disabled_at"] is None
    assert "deleted" in billing("webhook", "delete", endpoint, people=True)
    assert billing("webhook", "list") == []
    assert "billing webhook create" in billing("webhook", "list", people=True)
    assert engine.told("webhook.disabled")[0]["reason"] == "test"


def test_deliveries_are_listed_resent_and_replayed(
    billing: Billing, engine: Engine, receiver: Receiver
) -> None:
    """What failed is found by its status, and is sent again by its id or by a range."""
    endpoint = billing("webhook", "create", receiver.url, "--event-type", "plan.created")["id"]
    engine.plan()
    object.__setattr__(engine.context.settings, "webhook_allowed_hosts", "127.0.0.1")
    tick(engine)
    [row] = billing("webhook", "deliveries", "--endpoint", endpoint, "--status", "succeeded")
    assert (row["type"], row["attempts_count"], row["last_status_code"]) == ("plan.created", 1, 200)
    assert row["id"] in billing("webhook", "deliveries", people=True)
    assert billing("webhook", "deliveries", "--status", "failed") == []

    assert billing("webhook", "resend", row["id"])["status"] == "pending"
    tick(engine)
    assert billing("webhook", "replay", endpoint, "--after", 0) == {"deliveries_count": 1}
    tick(engine)
    assert len(receiver.of(f"msg_{row['id'].replace('-', '')}")) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["create", "http://shop.example/"], "https://"),
        (["create", "https://shop.example/", "--event-type", "invoice.payed"], "did you mean"),
        (["show", "x"], "billing webhook list"),
        (["show", str(uuid4())], "billing webhook list"),
        (["resend", "x"], "billing webhook deliveries"),
        (["resend", str(uuid4())], "billing webhook deliveries"),
        (["update", str(uuid4())], "nothing to change"),
        (["update", str(uuid4()), "--enable", "--disable"], "not both"),
        (["update", str(uuid4()), "--all-types", "--event-type", "plan.*"], "not both"),
        (["replay", str(uuid4()), "--after", "x"], "position"),
        (["replay", str(uuid4()), "--after", "0"], "billing webhook list"),
    ],
)
def test_a_wrong_word_is_one_line(
    billing: Billing, engine: Engine, words: list[str], said: str
) -> None:
    """Refused, and nothing is written."""
    before = engine.counts()

    assert said in billing("webhook", *words, code=1)
    assert engine.counts() == before
