"""A wallet's life: link, token, year, unlinking; and what an invoice does without one."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from billing.domain.errors import GatewayRefused, InvalidValue, NotKnown, WalletAlreadyLinked
from billing.domain.events import OPERATOR
from billing.services.wallets import linking, unlinking
from tests.integration.engine import START, Engine

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def statuses(engine: Engine, customer: str) -> list[str]:
    """The states of a customer's wallets, oldest first."""
    return [row["status"] for row in engine.wallets(customer)]


class TestALink:
    """From the first request to the token."""

    def test_a_link_is_polled_until_the_customer_has_finished(self, engine: Engine) -> None:
        """The customer's confirmation is found by the next poll, at most a minute later."""
        customer = engine.customer(linked=False)
        engine.bind(customer)
        assert engine.wallets(customer)[0]["registration_url"].startswith("http")
        engine.set_clock(START + HOUR)
        engine.run()
        assert statuses(engine, customer) == ["pending"]

        engine.gateway.control("POST", f"wallets/{customer}/confirm")
        engine.advance(timedelta(minutes=1))

        [wallet] = engine.wallets(customer)
        assert (wallet["status"], wallet["registration_url"]) == ("active", None)
        assert wallet["expires_at"] == wallet["linked_at"].replace(year=2027)
        assert b"token" not in wallet["token_sealed"]

    def test_an_unfinished_link_fails_after_a_week(self, engine: Engine) -> None:
        """The wait has an end, in a state that says why; then a new link may be asked for."""
        customer = engine.customer(linked=False)
        engine.bind(customer)
        engine.set_clock(START + 7 * DAY)
        engine.run()
        assert statuses(engine, customer) == ["pending"]

        engine.advance(HOUR)

        [wallet] = engine.wallets(customer)
        assert (wallet["status"], wallet["next_attempt_at"]) == ("failed", None)
        assert "did not finish" in wallet["reason"]
        engine.link(customer)
        assert statuses(engine, customer) == ["failed", "active"]

    def test_a_second_live_wallet_is_refused(self, engine: Engine) -> None:
        """While a link is open, while a wallet is active, and while it is being unlinked."""
        customer = engine.customer(linked=False)
        engine.bind(customer)
        before = engine.counts()
        with pytest.raises(WalletAlreadyLinked, match="still open"):
            engine.bind(customer)
        engine.gateway.control("POST", f"wallets/{customer}/confirm")
        linking.refresh(engine.context, customer)
        with pytest.raises(WalletAlreadyLinked, match="active"):
            engine.bind(customer)
        assert engine.counts()["wallets"] == before["wallets"]

    def test_an_unfinished_one_can_be_dropped(self, engine: Engine) -> None:
        """Unlinking a link that is still open ends it at once, and a new one may begin."""
        customer = engine.customer(linked=False)
        engine.bind(customer)

        unlinking.unlink(engine.context, customer, OPERATOR)

        assert statuses(engine, customer) == ["unlinked"]
        engine.link(customer)
        assert statuses(engine, customer) == ["unlinked", "active"]

    @pytest.mark.parametrize("kind", ["drop_after", "http_500", "turn_away", "decline", "garbage"])
    def test_a_link_that_cannot_be_started_is_refused_and_leaves_nothing_open(
        self, engine: Engine, kind: str
    ) -> None:
        """The refusal is one line, the wallet has failed, and a new link may be started."""
        customer = engine.customer(linked=False)
        engine.script(kind, customer, "bind")

        with pytest.raises(GatewayRefused) as refused:
            engine.bind(customer)

        assert "\n" not in str(refused.value)
        assert statuses(engine, customer) == ["failed"]
        engine.link(customer)
        assert statuses(engine, customer) == ["failed", "active"]

    @pytest.mark.parametrize("way", ["unlink", "refresh"])
    def test_a_link_that_ends_before_the_gateway_answers_stays_ended(
        self, engine: Engine, way: str
    ) -> None:
        """An answer that comes after the link was ended does not reactivate the wallet."""
        customer = engine.customer(linked=False)
        held = engine.script("hold", customer, "bind", seconds=0.4)
        with ThreadPoolExecutor(1) as pool:
            binding = pool.submit(engine.bind, customer)
            engine.until(lambda: engine.met(held) == 1)
            if way == "unlink":
                unlinking.unlink(engine.context, customer, OPERATOR)
            else:
                engine.set_clock(START + timedelta(seconds=30))
                linking.refresh(engine.context, customer)
            binding.result()

        assert statuses(engine, customer) == ["unlinked" if way == "unlink" else "pending"]
        engine.set_clock(START + HOUR)
        engine.run()

    def test_a_link_whose_process_died_before_the_call_is_given_up(self, engine: Engine) -> None:
        """A wallet without a registration URL does not block the customer for a week."""
        customer = engine.customer(linked=False)
        engine.bind(customer)
        engine.execute("UPDATE wallets SET registration_url = NULL, next_attempt_at = :at",
                       at=START + timedelta(minutes=5))  # fmt: skip

        engine.advance(timedelta(minutes=6))

        assert statuses(engine, customer) == ["failed"]

    def test_a_list_of_tokens_that_cannot_be_read_is_asked_for_again(self, engine: Engine) -> None:
        """Six failures of the poll in a row change nothing; the seventh finds the token."""
        customer = engine.customer(linked=False)
        for kind in ("drop_after", "http_500", "html", "garbage", "wrong_signature", "turn_away"):
            engine.script(kind, customer, "tokens")
        engine.bind(customer)
        engine.gateway.control("POST", f"wallets/{customer}/confirm")

        engine.advance(timedelta(minutes=1))

        assert statuses(engine, customer) == ["active"]


class TestWithoutAWallet:
    """A missing, expired or unlinked token is a precondition: no attempt is spent."""

    def test_an_invoice_waits_is_told_and_is_charged_at_once_after_linking(
        self, engine: Engine
    ) -> None:
        """Unlinked before the second period: blocked without a charge, and paid with the link."""
        customer, subscription = engine.begun()
        engine.run()
        unlinking.unlink(engine.context, customer, OPERATOR)
        engine.advance(START + 30 * DAY)

        invoice = engine.invoices(subscription)[1]
        assert (invoice["blocked_on"], len(engine.charges(subscription))) == ("wallet", 1)
        assert len(engine.told("invoice.blocked")) == 1
        assert engine.status(subscription) == "past_due"
        engine.link(customer)
        engine.run()

        assert [row["status"] for row in engine.invoices(subscription)] == ["paid", "paid"]
        assert engine.charges(subscription)[1]["created_at"] == engine.now
        assert engine.status(subscription) == "active"

    def test_the_wait_has_an_end(self, engine: Engine) -> None:
        """Thirty days without a new link, and dunning gives up as the plan says."""
        customer, subscription = engine.begun(on_exhausted="unpaid")
        engine.run()
        unlinking.unlink(engine.context, customer, OPERATOR)

        engine.advance(START + 59 * DAY)

        assert [row["status"] for row in engine.invoices(subscription)[1:]] == ["uncollectible"]
        assert engine.told("invoice.uncollectible")[0]["at"] == START + 58 * DAY
        assert engine.status(subscription) == "unpaid"
        assert len(engine.ledger(customer, "payment")) == 1

    @pytest.mark.parametrize("code", ["invalid_token", "token_expired"])
    def test_a_decline_for_the_tokens_sake_asks_for_a_new_link(
        self, engine: Engine, code: str
    ) -> None:
        """The wallet is expired, an event asks for a link, no step is used, no dunning starts."""
        customer, subscription = engine.begun()
        engine.script("decline", customer, code=code, message="no")
        engine.run()
        assert statuses(engine, customer) == ["active"]
        engine.advance(timedelta(minutes=10))

        [invoice] = engine.invoices(subscription)
        assert (invoice["blocked_on"], invoice["first_failed_at"]) == ("wallet", None)
        assert statuses(engine, customer) == ["expired"]
        assert len(engine.told("wallet.link_needed")) == 1
        engine.advance(5 * DAY)
        assert len(engine.ledger(customer, "payment")) == 1

    def test_a_token_the_gateway_still_holds_is_unbound_and_linked_anew(
        self, engine: Engine
    ) -> None:
        """The gateway refuses a second link for a live token: it says so, and unlinking helps."""
        customer, subscription = engine.begun()
        engine.script("decline", customer, code="invalid_token", message="no")
        engine.advance(timedelta(minutes=10))
        with pytest.raises(GatewayRefused, match="active OVO token"):
            engine.bind(customer)

        unlinking.unlink(engine.context, customer, OPERATOR)
        engine.run()
        engine.link(customer)
        engine.run()

        assert engine.status(subscription) == "active"
        assert len(engine.debits(customer)) == 1

    def test_token_expired_is_asked_about_and_then_needs_the_customer(self, engine: Engine) -> None:
        """TOKEN_EXPIRED with no payment behind it: blocked in the end, and paid when linked.

        It is queried after the horizon, and once again after the breaker's window.
        """
        customer, subscription = engine.begun()
        engine.script("token_expired", customer)
        engine.run()
        assert engine.charges(subscription)[0]["waiting"] == "token_expired"

        engine.advance(timedelta(minutes=20))
        assert engine.charges(subscription)[0]["status"] == "pending"
        assert {wallet["status"] for wallet in engine.wallets(customer)} == {"active"}
        engine.advance(timedelta(minutes=5))
        assert engine.charges(subscription)[0]["status"] == "declined"
        assert engine.invoices(subscription)[0]["blocked_on"] == "wallet"
        engine.link(customer)
        engine.run()

        assert [c["status"] for c in engine.charges(subscription)] == ["declined", "succeeded"]
        assert [row["first_payment"] for row in engine.debits(customer)] == [True]

    def test_token_expired_that_was_paid_after_all_is_booked(self, engine: Engine) -> None:
        """TOKEN_EXPIRED with a payment that ends in SUCCESS all the same: one debit, one charge."""
        customer, subscription = engine.begun()
        engine.script("token_expired", customer, end="SUCCESS", after_queries=1)

        engine.advance(timedelta(minutes=20))

        assert [c["status"] for c in engine.charges(subscription)] == ["succeeded"]
        assert engine.status(subscription) == "active"

    def test_a_year_after_linking_the_token_is_expired_and_a_new_one_goes_on(
        self, engine: Engine
    ) -> None:
        """Not sent with a dead token: thirteen months, one link in between, thirteen debits."""
        customer, subscription = engine.begun()
        engine.advance(START.replace(year=2027) + HOUR)
        assert statuses(engine, customer) == ["expired"]
        assert engine.told("wallet.link_needed")[0]["at"] == START.replace(year=2027)
        engine.unlink(customer)
        assert engine.invoices(subscription)[-1]["blocked_on"] == "wallet"

        engine.link(customer)
        engine.run()

        assert len(engine.debits(customer)) == 13
        assert engine.status(subscription) == "active"

    def test_a_charge_that_meets_a_lost_token_after_the_new_link_is_not_held_back(
        self, engine: Engine
    ) -> None:
        """Two subscriptions, the second learns of the old token's end after the new link."""
        customer, first = engine.begun()
        second = engine.subscribe(customer, again=True)
        engine.script("decline", customer, code="invalid_token", message="no", times=1)
        engine.script("pending", customer, times=1, skip=0)
        engine.run()
        held = next(s for s in (first, second) if engine.charges(s)[0]["status"] == "pending")
        engine.unlink(customer)
        engine.advance(timedelta(minutes=10))
        engine.link(customer)
        engine.run()
        engine.execute("UPDATE charges SET waiting = 'token_expired' WHERE status = 'pending'")
        engine.gateway.control("POST", "scripts", {
            "match": {"call": "status", "customer_id": customer}, "times": None,
            "action": {"kind": "status_says", "status": "NOT_FOUND"}})  # fmt: skip

        engine.advance(2 * HOUR)

        states = [c["status"] for c in engine.charges(held)]
        assert states == ["declined", "succeeded"]
        assert len(engine.debits(customer)) == 2


def test_no_charge_is_sent_again_with_a_token_whose_year_is_over(engine: Engine) -> None:
    """A charge that turns out not to have arrived after the token's end waits for the new link.

    This also holds before the wallet is marked as expired: its date decides.
    """
    customer, subscription = engine.begun()
    engine.script("drop_before", customer)
    engine.tick()
    engine.execute("UPDATE wallets SET expires_at = :at", at=engine.now + timedelta(minutes=10))
    engine.set_clock(engine.now + timedelta(minutes=20))
    engine.forget_leases()

    engine.tick(["ticks.reconcile"])

    assert statuses(engine, customer) == ["expired"]
    assert engine.debits(customer) == []
    assert engine.invoices(subscription)[0]["blocked_on"] == "wallet"
    engine.unlink(customer)
    engine.link(customer)
    engine.run()
    assert [debit["first_payment"] for debit in engine.debits(customer)] == [True]


def test_a_balance_is_told_or_refused_in_one_line(engine: Engine) -> None:
    """Cash and points of a linked wallet; no wallet and no answer are errors of their own."""
    customer = engine.customer(cash=1_234, points=56)
    told = linking.balance(engine.context, customer)
    assert (told.cash, told.points) == (1_234, 56)
    engine.script("http_500", customer, "balance")
    with pytest.raises(GatewayRefused):
        linking.balance(engine.context, customer)
    with pytest.raises(NotKnown):
        linking.balance(engine.context, engine.customer(linked=False))


@pytest.mark.parametrize(
    "phone", ["", "8123456789", "+1234567890", "62  81234567", "62812", "62" + "1" * 14,
              "62٣٣٣٣٣٣٣٣٣٣", "6281234567\n", "08-", "62-" * 5]
)  # fmt: skip
def test_a_phone_that_is_no_ovo_number_is_refused_before_anything_is_written(
    engine: Engine, phone: str
) -> None:
    """After normalizing: 62 and eight to thirteen plain digits."""
    customer = engine.customer(linked=False)
    before = engine.counts()

    with pytest.raises(InvalidValue, match="62"):
        linking.link(engine.context, customer, phone, OPERATOR)

    assert engine.counts() == before


@pytest.mark.parametrize(
    "phone", ["081234567890", "+6281234567890", "62 812 3456 7890", "0812-3456-7890"]
)
def test_a_phone_is_linked_in_one_form(engine: Engine, phone: str) -> None:
    """However it is written, the gateway gets 62…: one phone is one wallet."""
    customer = engine.customer(linked=False)
    linking.link(engine.context, customer, phone, OPERATOR)

    [row] = engine.wallets(customer)
    assert engine.context.vault.open(row["phone_sealed"]) == b"6281234567890"
