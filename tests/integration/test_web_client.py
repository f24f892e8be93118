"""A client that a public generator makes from docs/openapi.json runs the first integration."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from uuid import uuid4

import pytest

from billing.services.wallets import linking
from tests.integration.engine import Engine
from tests.integration.web import Web

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"
PACKAGE = "made_shop_client"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The generated package."""
    done = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", "generate", "--path", str(DOCUMENT),
         "--meta", "none", "--output-path", str(tmp_path / PACKAGE), "--fail-on-warning"],
        capture_output=True, text=True, timeout=50, check=False,
        env={"PATH": str(Path(sys.executable).parent)},  # it formats the package with ruff
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module(PACKAGE)
    for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
        del sys.modules[name]


def test_a_generated_client_runs_the_first_integration(
    engine: Engine, web: Web, shop: ModuleType
) -> None:
    """Plan, customer, link, subscription, charge, preview and cancellation, typed."""
    customer = f"C{uuid4().hex[:12]}"
    engine.gateway.control("PUT", f"wallets/{customer}", {"cash": 1_000_000})

    def call(group: str, name: str, *place: object, **more: object) -> object:
        return importlib.import_module(f"{PACKAGE}.api.{group}.{name}").sync(
            *place, client=client, **more
        )

    models = importlib.import_module(f"{PACKAGE}.models")
    client = shop.AuthenticatedClient(
        base_url=web.url,
        token=str(web.client("write", "refund").key),
        raise_on_unexpected_status=True,
    )
    with client:
        plan = models.PlanBody(amount=31_000, every="1 month")
        assert call("plans_and_coupons", "put_plan", "gold", body=plan).amount == 31_000
        who = models.CustomerBody(name="Siti Rahma", phone="08123456789")
        assert call("customers", "put_customer", customer, body=who).charged_twice is False
        phone = models.WalletLinkBody(phone=f"08{uuid4().int % 10**10:010d}")
        link = call("customers", "link_wallet", customer, body=phone, idempotency_key="link")
        assert link.registration_url.startswith("http")
        wanted = models.SubscriptionBody(customer=customer, plan="gold")
        made = call("subscriptions", "create_subscription", body=wanted, idempotency_key="begin")
        engine.gateway.control("POST", f"wallets/{customer}/confirm")
        linking.refresh(engine.context, customer)
        engine.run()
        paid = call("subscriptions", "get_subscription", made.id)
        assert [invoice.status.value for invoice in paid.invoices] == ["paid"]
        idea = models.PreviewBody(
            action=models.PreviewBodyAction.CANCEL, refund=models.RefundPolicy.FULL
        )
        seen = call("subscriptions", "preview_subscription", made.id, body=idea)
        assert seen.amount_refunded == 31_000
        end = models.CancelBody(refund=models.RefundPolicy.FULL)
        gone = call(
            "subscriptions", "cancel_subscription", made.id, body=end, idempotency_key="end"
        )
        assert gone.status.value == "canceled"
        refused = call("subscriptions", "get_subscription", uuid4())
        assert refused.type_ == "not_found"
    engine.run()
