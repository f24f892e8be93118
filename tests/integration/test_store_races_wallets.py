"""Two connections that want the same customer: its wallet, its subscriptions, its token.

The order is forced where possible: one transaction stays open while the other runs.
"""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest

from billing.domain.errors import WalletAlreadyLinked
from billing.domain.events import OPERATOR
from billing.services.context import Request
from billing.services.subscriptions import canceling, subscribing
from billing.services.wallets import linking
from billing.store.queries import invoices, subscriptions, wallets
from tests.integration.engine import Engine
from tests.integration.races import Hold, at_once, beside, is_waiting

DAY = timedelta(days=1)


def test_two_links_begun_at_once_are_one(engine: Engine, other: Engine) -> None:
    """A customer has one live wallet, also after two simultaneous requests."""
    customer = engine.customer(linked=False)

    told = at_once(
        lambda: engine.bind(customer), lambda: other.bind(customer), lambda: other.bind(customer)
    )

    assert sum(isinstance(answer, WalletAlreadyLinked) for answer in told) == 2
    assert len(engine.wallets(customer)) == 1


def test_two_refreshes_at_once_activate_once(engine: Engine, other: Engine) -> None:
    """Two polls find the same token: one event, one start of the subscription."""
    engine.plan()
    customer = engine.customer(linked=False)
    engine.subscribe(customer)
    engine.bind(customer)
    engine.gateway.control("POST", f"wallets/{customer}/confirm")

    at_once(
        *(
            lambda process=process: linking.refresh(process.context, customer)
            for process in (engine, other, other)
        )
    )

    assert len(engine.told("wallet.linked")) == 1
    assert len(engine.told("subscription.activated")) == 1
    engine.run()
    assert len(engine.debits(customer)) == 1


def test_cancels_of_one_customers_subscriptions_do_not_lock_each_other_out(
    engine: Engine, other: Engine
) -> None:
    """Each asks whether others need the wallet: locks in one order, and one of them unlinks."""
    engine.plan()
    for _ in range(6):
        customer = engine.customer()
        pair = [engine.subscribe(customer, again=True) for _ in range(2)]
        engine.run()
        told = at_once(
            *(
                lambda p=process, s=subscription: canceling.cancel(
                    p.context, s, OPERATOR, unlink=True
                )
                for process, subscription in zip((engine, other), pair, strict=True)
            )
        )
        assert [answer["status"] for answer in told] == ["canceled"] * 2
        engine.run()
        assert len(engine.ledger(customer, "unbind")) == 1


def test_a_cancel_that_asks_about_others_holds_them_all_in_one_order(
    engine: Engine, other: Engine
) -> None:
    """A settlement holds the first and wants the second; a cancel of that does not cross it."""
    customer, one = engine.begun()
    first, second = sorted([one, engine.subscribe(customer, again=True)])
    engine.run()
    with ThreadPoolExecutor(1) as pool:
        with engine.context.database.transaction() as connection:
            subscriptions.lock(connection, [first])
            canceled = pool.submit(canceling.cancel, other.context, second, OPERATOR, unlink=True)
            engine.until(lambda: is_waiting(other))
            # The cancel waits for the first one and must not hold the second one meanwhile.
            assert subscriptions.lock(connection, [second]) == [second]
        canceled.result(10)


def test_subscribing_with_one_key_at_once_makes_one_subscription(
    engine: Engine, other: Engine
) -> None:
    """A customer whose request is sent twice has one subscription, and pays once."""
    engine.plan()
    customer = engine.customer()
    request = Request("click", "admin.subscribe", {"customer": customer, "plan": "P"})

    at_once(
        *(
            lambda process=process: subscribing.subscribe(
                process.context, customer, "P", OPERATOR, request=request
            )
            for process in (engine, other, other)
        )
    )
    engine.run()

    assert engine.counts()["subscriptions"] == 1
    assert len(engine.debits(customer)) == 1


@pytest.mark.parametrize("first", ["link", "subscribe"])
def test_a_subscription_made_while_the_wallet_is_being_linked_begins(
    engine: Engine, other: Engine, hold: Hold, first: str
) -> None:
    """Neither sees the other's uncommitted rows; one of them waits, and no row is missed."""
    engine.plan()
    customer = engine.customer(linked=False)
    wallet = engine.bind(customer)
    engine.gateway.control("POST", f"wallets/{customer}/confirm")
    link = partial(linking.attend, engine.context, wallet)
    subscribe = partial(other.subscribe, customer)

    if first == "link":
        beside(engine, hold, (invoices, "try_new_wallet"), link, subscribe)
    else:
        beside(engine, hold, (wallets, "live_of"), subscribe, link)
    engine.run()

    assert len(engine.debits(customer)) == 1


@pytest.mark.parametrize("first", ["cancel", "subscribe"])
def test_a_token_is_kept_for_a_subscription_made_while_the_last_one_is_canceled(
    engine: Engine, other: Engine, hold: Hold, first: str
) -> None:
    """The cancel asks whether others need the token while a new one is about to: it is kept."""
    customer, subscription = engine.begun()
    engine.run()
    cancel = partial(canceling.cancel, engine.context, subscription, OPERATOR, unlink=True)
    subscribe = partial(other.subscribe, customer, again=True)

    if first == "cancel":
        beside(engine, hold, (wallets, "request_unlink"), cancel, subscribe)
    else:
        beside(engine, hold, (wallets, "live_of"), subscribe, cancel)
    engine.run()

    assert engine.wallets(customer)[0]["status"] == "active"
    assert len(engine.debits(customer)) == 2
