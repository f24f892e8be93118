"""What somebody tried who wanted to break the HTTP interface, and what it does instead."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from billing.domain.errors import InvalidValue
from billing.domain.events import OPERATOR
from billing.logs import scrub
from billing.services.operating import api_keys
from billing.services.reading import read_models
from billing.store.queries import subscriptions
from tests.integration.engine import Engine
from tests.integration.test_web_story import PLAN, begun
from tests.integration.web import Web, serving


def test_a_lost_key_gives_no_other_customer_the_first_ones_id(engine: Engine, web: Web) -> None:
    """A restored database has lost the key: B's request must not meet A's payment."""
    client = web.client()
    client.ok("PUT", "/v1/plans/gold", PLAN)
    for customer in ("a", "b"):
        client.ok("PUT", f"/v1/customers/{customer}", {"name": customer})
    wanted = {"customer": "a", "plan": "gold"}
    first = client.ok("POST", "/v1/subscriptions", wanted, key="k")
    engine.execute("DELETE FROM commands")

    other = client.ok("POST", "/v1/subscriptions", {"customer": "b", "plan": "gold"}, key="k")
    assert other["id"] != first["id"]
    engine.execute("DELETE FROM commands")
    assert client.ok("POST", "/v1/subscriptions", wanted, key="k")["id"] == first["id"]


@pytest.mark.parametrize("credit", [5_000, 500_000])
def test_a_preview_says_what_the_wallet_pays(engine: Engine, web: Web, credit: int) -> None:
    """An invoice that credit covers costs the wallet nothing."""
    client = web.client()
    client.ok("PUT", "/v1/plans/platinum", PLAN | {"amount": 93_000})
    paid = begun(web, client)
    path = f"/v1/customers/{paid['customer']}/credits"
    client.ok("POST", path, {"amount": credit, "reason": "goodwill"})
    engine.advance(timedelta(days=10))
    subscription = f"/v1/subscriptions/{paid['id']}"

    seen = client.ok("POST", f"{subscription}/preview", {"action": "change", "plan": "platinum"})
    client.ok("POST", f"{subscription}/change", {"plan": "platinum"})
    engine.run()

    charges = client.ok("GET", f"/v1/charges?customer={paid['customer']}")["data"]
    assert sum(each["amount"] for each in charges) - 31_000 == seen["amount_charged"]


@pytest.mark.parametrize("path", ["customers/%00", "plans/%00", "charges/%00",
                                  "events?customer=%00", "customers/a%00/wallet"])  # fmt: skip
def test_nul_in_an_address_is_refused(web: Web, path: str) -> None:
    """PostgreSQL knows no NUL: it is no internal error."""
    assert web.client().refused("GET", f"/v1/{path}")["status"] == 422


@pytest.mark.parametrize(
    "name", ["scheduler", "Operator", "guard", "00000000-0000-4000-8000-000000000000"]
)
def test_no_key_is_named_like_the_engine_or_another_key(engine: Engine, name: str) -> None:
    """Its events would look like theirs."""
    with pytest.raises(InvalidValue, match="choose"):
        api_keys.create(engine.context, name, ["read"], OPERATOR)


def test_a_plan_is_compared_whole(web: Web) -> None:
    """A PUT that leaves out the trial is another plan."""
    client = web.client()
    client.ok("PUT", "/v1/plans/gold", PLAN | {"trial": "14 days", "cycles": 12})
    assert client.refused("PUT", "/v1/plans/gold", PLAN)["type"] == "already_exists"


def test_a_locked_row_holds_no_thread_for_long(engine: Engine, web: Web) -> None:
    """Every request waits a second for a lock, and /health for none."""
    client = web.client()
    paid = begun(web, client)
    preview = {"action": "cancel"}
    with (
        engine.context.database.transaction() as connection,
        ThreadPoolExecutor(4) as pool,
    ):
        subscriptions.lock_with_siblings(connection, paid["id"])
        path = f"/v1/subscriptions/{paid['id']}/preview"
        asked = [pool.submit(web.client().send, "POST", path, preview) for _ in range(4)]
        assert web.stranger().ok("GET", "/health") == {"status": "ok"}
        assert {each.result().status_code for each in asked} == {409}


def test_refused_calls_count_for_the_limit(engine: Engine, web: Web) -> None:
    """A key that may not do something may not try it without end."""
    with serving(engine, web.redis_url, web_requests_per_second=3) as narrow:
        client = narrow.client("read")
        path = "/v1/webhook-endpoints"
        answers = [client.send("POST", path, {"url": "https://a.example"}) for _ in range(20)]
        assert {each.status_code for each in answers} == {403, 429}


def test_an_unexpected_error_shows_no_value(
    engine: Engine, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the answer nor the log repeats what PostgreSQL says about a row."""

    def broken(*_: object) -> None:
        raise RuntimeError("Failing row contains (c1, Zub Zubaidah)")

    monkeypatch.setattr(read_models, "customer", broken)
    with capture_logs() as logs:
        said = web.client().refused("GET", "/v1/customers/c1")
    assert said["type"] == "internal"
    assert "Zub" not in str(logs) + str(said)


def test_keys_and_secrets_are_redacted(web: Web) -> None:
    """Wherever a line of a log would have one."""
    key = str(web.client().key)
    assert key not in scrub(f"the key {key} and whsec_{'A' * 43}=")
    assert "whsec_A" not in scrub(f"whsec_{'A' * 43}=")


def test_a_reason_is_printable(web: Web) -> None:
    """It is shown on terminals."""
    client = web.client()
    for reason in ("\x1b[2J", "a\r\nb", "\u202eevil"):
        body = {"name": "Ani", "reason": reason}
        assert client.refused("PUT", "/v1/customers/c1", body)["status"] == 422
