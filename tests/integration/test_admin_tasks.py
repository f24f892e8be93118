"""Admin tasks with an engine: what a key that was used before answers."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from billing.domain.errors import BillingError, KeyReused
from tests.integration.engine import Engine

Send = Callable[..., BaseException | None]


@pytest.fixture
def admin(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The admin tasks as a worker has them, with this engine."""
    with monkeypatch.context() as environment:
        environment.setenv("BILLING_DATABASE_URL", engine.url)
        environment.setenv("BILLING_REDIS_URL", "redis://127.0.0.1:1/0")
        environment.setenv(
            "BILLING_TOKEN_KEY", engine.context.settings.token_key.get_secret_value()
        )
        from workers import admin
    monkeypatch.setattr(admin, "context", lambda: engine.context)
    return admin


@pytest.fixture
def send(admin: ModuleType) -> Send:
    """Send a task as a message with arguments, and return its refusal."""

    def sent(name: str, **arguments: Any) -> BaseException | None:
        result = getattr(admin, name).apply(kwargs=arguments).result
        assert result is None or isinstance(result, BillingError), result
        return result

    return sent


PHONE = {"phone": "081234567890"}
AGAIN: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("link_wallet", PHONE, {"phone": "081234567891"}),
    ("link_wallet", PHONE, {"success_url": "https://shop.example/other"}),
    ("link_wallet", PHONE, {"replace": True}),
    ("subscribe", {"plan": "P"}, {"quantity": 2}),
    ("subscribe", {"plan": "P"}, {"amount": 1_000}),
    ("subscribe", {"plan": "P"}, {"reason": "another order"}),
]


@pytest.mark.parametrize(("name", "arguments", "other"), AGAIN)
def test_a_used_key_with_other_arguments_is_refused(
    engine: Engine, send: Send, name: str, arguments: dict[str, Any], other: dict[str, Any]
) -> None:
    """Each argument counts, also one that is not stored as it is, such as a phone number."""
    engine.plan()
    given = {"customer": engine.customer(linked=False), "idempotency_key": "k", **arguments}
    assert send(name, **given) is None
    before = engine.counts()

    assert send(name, **given) is None
    assert isinstance(send(name, **(given | other)), KeyReused)
    assert engine.counts() == before


def test_another_sender_repeats_the_same_task(engine: Engine, send: Send) -> None:
    """The name of who sends it is no argument: a second program may send a message again."""
    engine.plan()
    given = {"customer": engine.customer(linked=False), "plan": "P", "idempotency_key": "k"}

    assert send("subscribe", **given, by="ani") is None
    assert send("subscribe", **given, by="budi") is None
    assert engine.counts()["subscriptions"] == 1


def test_a_phone_in_two_spellings_is_one_link(engine: Engine, send: Send) -> None:
    """A number with `08` and with `62` is the same; it is stored with the key as a keyed hash."""
    given = {"customer": engine.customer(linked=False), "idempotency_key": "k"}

    assert send("link_wallet", **given, **PHONE) is None
    assert send("link_wallet", **given, phone="+62 812-3456-7890") is None
    assert "81234567890" not in str(engine.rows("SELECT arguments FROM commands"))
