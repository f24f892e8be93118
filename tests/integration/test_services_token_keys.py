"""A key that was removed too early or lost: it is seen at the start, and there is a way out."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet

from billing.domain.errors import NotConfigured, WalletAlreadyLinked
from billing.domain.events import OPERATOR
from billing.sandbox.process import SandboxProcess
from billing.services.operating import importing, safety, token_keys
from billing.services.reading import attention, auditing
from billing.services.wallets import unlinking
from tests.integration.command import Billing
from tests.integration.engine import KEY, Engine

DAY = timedelta(days=1)
NEW = Fernet.generate_key().decode()


@pytest.fixture
def lost(engine: Engine, gateway: SandboxProcess) -> Iterator[Engine]:
    """The same engine after its key was replaced, with what it had sealed still there."""
    made = Engine(engine.url, gateway, token_key=NEW)
    yield made
    made.close()


def test_a_lost_key_every_customer_can_link_again(engine: Engine, lost: Engine) -> None:
    """`bind` closes the wallet that no key opens, with an event; its invoice is charged at once."""
    customer, subscription = engine.begun(every="1 year")

    lost.run()
    [invoice] = lost.invoices(subscription)
    assert (invoice["status"], lost.charges(subscription)) == ("open", [])
    assert "BILLING_TOKEN_KEY" in invoice["reason"]
    [waiting] = auditing.dead_ends(lost.context)
    assert (waiting.cause, waiting.customer) == ("unsendable", customer)

    lost.link(customer, replace=True)
    assert [w["status"] for w in lost.wallets(customer)] == ["expired", "active"]
    assert [told["customer_id"] for told in lost.told("wallet.replaced")] == [customer]
    lost.run()
    assert [i["status"] for i in lost.invoices(subscription)] == ["paid"]
    assert [c["trigger"] for c in lost.charges(subscription)] == ["scheduled"]
    assert auditing.audit(lost.context) == []


def test_a_key_that_comes_back_charges_what_waited_for_it(engine: Engine, lost: Engine) -> None:
    """No customer has to link again for a key that was missing for a while."""
    _, subscription = engine.begun(every="1 year")
    lost.run()
    engine.advance(2 * DAY)
    assert [i["status"] for i in engine.invoices(subscription)] == ["paid"]
    assert engine.invoices(subscription)[0]["reason"] is None


def test_an_unlink_that_no_key_allows_is_held_until_the_customer_links_anew(
    engine: Engine, lost: Engine
) -> None:
    """It is not tried daily in silence; a new link closes it, and the old token is deleted."""
    customer = engine.customer()
    unlinking.unlink(lost.context, customer, OPERATOR)
    lost.run()
    [wallet] = lost.wallets(customer)
    assert (wallet["status"], wallet["held_at"]) == ("unlinking", lost.now)

    lost.link(customer, replace=True)
    assert [w["status"] for w in lost.wallets(customer)] == ["unlinked", "active"]
    assert lost.wallets(customer)[0]["reason"] == token_keys.UNOPENABLE
    assert auditing.audit(lost.context) == []


def test_a_wallet_whose_year_has_ended_is_linked_anew_without_its_key(
    engine: Engine, lost: Engine
) -> None:
    """An earlier token that cannot be opened does not keep the new one from being seen."""
    customer = engine.customer()
    engine.lose_wallet(customer)
    engine.advance(DAY)
    lost.link(customer)
    assert [w["status"] for w in lost.wallets(customer)] == ["expired", "active"]


def test_a_wallet_is_replaced_by_word_only(
    engine: Engine, lost: Engine, billing: Billing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell with another key ends no good wallet: it says what --replace would end."""
    customer, subscription = engine.begun(every="1 year")
    phone = engine.wallets(customer)[0]["masked_phone"]
    monkeypatch.setenv("BILLING_TOKEN_KEY", NEW)
    words = ("wallet", "link", customer, "--phone", "6281234567890")

    told = billing(*words, code=1)

    assert f"the customer's wallet {phone} is active, and BILLING_TOKEN_KEY does not open" in told
    assert "--replace" in told
    assert [w["status"] for w in engine.wallets(customer)] == ["active"]
    assert engine.told("wallet.replaced") == []
    engine.run()
    assert [i["status"] for i in engine.invoices(subscription)] == ["paid"]

    billing(*words, "--replace")
    assert [w["status"] for w in engine.wallets(customer)] == ["expired", "pending"]
    assert len(engine.told("wallet.replaced")) == 1


def test_replace_ends_no_wallet_that_opens(engine: Engine, billing: Billing) -> None:
    """The option is for an unusable token; a usable one is always unlinked first."""
    customer = engine.customer()
    words = ("wallet", "link", customer, "--phone", "6281234567890", "--replace")
    assert "unlink it first" in billing(*words, code=1)
    assert [w["status"] for w in engine.wallets(customer)] == ["active"]


def test_attention_names_the_replace_option_after_a_lost_key(engine: Engine, lost: Engine) -> None:
    """`attention` lists the command with --replace: without it, it would be refused."""
    engine.begun(every="1 year")
    lost.run()
    tick = lost.context.settings.tick_seconds
    [waiting] = attention.listed(lost.context.database, lost.now, tick, 10)
    assert waiting.command.endswith(" --replace")
    lost.audited = engine.audited = False


def test_an_import_with_a_key_that_opens_nothing_is_refused(engine: Engine, lost: Engine) -> None:
    """Its tokens would be sealed with a key that the workers do not have."""
    engine.plan()
    customer = engine.customer()
    at = "2026-01-31T09:00"
    row = {"id": "1", "customer": customer, "plan": "P", "anchor": at, "next_due_at": at}
    before = engine.counts()
    with pytest.raises(NotConfigured, match="does not open 1 of 1 tokens"):
        list(importing.subscriptions(lost.context, [(2, row)], OPERATOR))
    assert engine.counts() == before


def test_a_wallet_that_opens_is_not_replaced(engine: Engine) -> None:
    """A second link of a usable wallet is always refused."""
    customer = engine.customer()
    with pytest.raises(WalletAlreadyLinked):
        engine.bind(customer)
    assert engine.told("wallet.replaced") == []


def test_the_start_refuses_a_key_that_opens_nothing(engine: Engine, lost: Engine) -> None:
    """A wrong key is taken for a mistake before it makes every customer wait."""
    engine.customer()
    with pytest.raises(NotConfigured, match=r"does not open 1 of 1 tokens.* add the key"):
        safety.check_keys(lost.context)
    safety.check_keys(engine.context)


def test_an_old_key_that_was_removed_too_early_is_told_at_the_start(
    engine: Engine, gateway: SandboxProcess, billing: Billing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old rows are tried, not only the newest token: the worker starts, and the doctor says it."""
    old = engine.customer()
    both = Engine(engine.url, gateway, token_key=f"{NEW},{KEY}")
    both.set_clock(both.now + timedelta(hours=1))
    both.customer()
    both.close()
    only = Engine(engine.url, gateway, token_key=NEW)
    safety.check_keys(only.context)
    tried = token_keys.try_all(only.context.database, only.context.vault)
    only.close()

    assert {each.what: (each.tried, each.shut) for each in tried} == {
        "tokens": (2, 1), "phones": (2, 1), "bodies": (0, 0), "webhook secrets": (0, 0),
        "second factors": (0, 0),
    }  # fmt: skip
    monkeypatch.setenv("BILLING_TOKEN_KEY", NEW)
    found = {check["name"]: check for check in billing("doctor", code=1)["checks"]}
    assert not found["token key opens"]["ok"]
    assert "1 of 2 tokens" in found["token key opens"]["detail"]
    assert engine.wallets(old)[0]["status"] == "active"


def test_a_body_that_does_not_open_is_counted(engine: Engine) -> None:
    """It is needed again only when the gateway never had the charge."""
    customer, subscription = engine.begun(every="1 year")
    engine.script("drop_after", customer)
    engine.run()
    body = engine.charges(subscription)[0]["body_sealed"]
    engine.execute(r"UPDATE charges SET body_sealed = '\x0100'")
    tried = token_keys.try_all(engine.context.database, engine.context.vault)
    assert "1 of 1 bodies" in token_keys.trouble(tried)
    assert not token_keys.none_opens(tried)
    engine.execute("UPDATE charges SET body_sealed = :body", body=body)
    engine.advance(DAY)


def test_a_sample_is_bounded_and_has_the_oldest_and_the_newest(engine: Engine) -> None:
    """However many wallets there are, a start tries a few hundred."""
    engine.plan()
    seal = engine.context.vault.seal(b"x")
    engine.execute(
        "INSERT INTO customers (id, name, created_at)"
        " SELECT 'c' || n, 'Ani', :now FROM generate_series(1, 3000) AS n",
        now=engine.now,
    )
    engine.execute(
        "INSERT INTO wallets (id, customer_id, status, phone_sealed, token_sealed, created_at,"
        " expires_at) SELECT gen_random_uuid(), 'c' || n, 'active', :seal,"
        " CASE WHEN n IN (1, 3000) THEN CAST('x' AS bytea) ELSE :seal END, :now,"
        " :now + n * interval '1 hour' FROM generate_series(1, 3000) AS n",
        now=engine.now, seal=seal,
    )  # fmt: skip
    tried = token_keys.try_all(engine.context.database, engine.context.vault)
    assert tried[0].tried <= token_keys.SAMPLE_MAX
    assert tried[0].shut == 2
    engine.audited = False  # the gateway knows none of them
