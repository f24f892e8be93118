"""The console: what happens while a request waits; only what changes its own effect ends it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from billing.domain.events import Actor
from billing.domain.people import Role
from billing.services.money import refunding
from billing.services.operating import approvals
from billing.services.subscriptions import changing
from tests.integration.console import Browser, browsing, hidden, person, text_of
from tests.integration.engine import Engine, Row
from tests.integration.test_web_console_approvals import LIMITS, WHO_DECIDES, asked
from tests.integration.test_web_console_attention import within
from tests.integration.test_web_console_invoice import paid
from tests.integration.web import Web, serving
from tests.servers import Servers

SHOP = Actor("shop")
ENDED = "nothing was done, and the request has ended"


@pytest.fixture
def web(engine: Engine, shared_servers: Servers) -> Iterator[Web]:
    """The console with limits: above Rp 20,000, and above one row."""
    with serving(engine, shared_servers.own_redis(), **LIMITS) as made:
        yield made


def before_renewal(engine: Engine, invoice: Row) -> None:
    """Go to an hour before the next period."""
    at = engine.subscription(invoice["subscription_id"])["next_due_at"]
    engine.advance(at - timedelta(hours=1))


def renew(engine: Engine) -> None:
    """Let the next period open, and be charged and paid."""
    engine.advance(timedelta(hours=2))
    engine.run()


def refused(browser: Browser, place: str) -> str:
    """Approve what cannot be approved any more; return the page."""
    answer = browser.send(f"{place}/approve", WHO_DECIDES)
    assert answer.status_code == 409
    said = text_of(answer.text)
    assert ENDED in said
    return said


def is_counted(browser: Browser) -> bool:
    """Whether Now and Attention say that a request waits; they agree."""
    [said] = {
        "1 request waits for a second person" in text_of(browser.page(path))
        for path in ("/now", "/attention")
    }
    return said


class TestRefund:
    """A refund of an invoice that waits."""

    def test_a_renewal_changes_nothing_of_it(self, engine: Engine, web: Web) -> None:
        """The next period is opened and paid in between; exactly what was shown goes back."""
        customer, invoice = paid(engine)
        before_renewal(engine, invoice)
        with browsing(web, person(engine, Role.FINANCE), person(engine)) as [one, other]:
            place = asked(one, invoice)
            renew(engine)
            assert [each["status"] for each in engine.invoices(invoice["subscription_id"])] == [
                "paid", "paid",
            ]  # fmt: skip
            assert is_counted(other)
            assert "has changed" not in text_of(other.page("/approvals"))
            said = text_of(other.page(place))
            assert "Kept of this invoice Rp 50,000 Rp 20,000 afterwards" in said
            assert "Rp 20,000 of this subscription within 24 hours; Rp 0 went back" in said
            assert other.send(f"{place}/approve", WHO_DECIDES).status_code == 303
        [refund] = engine.refunds(customer)
        assert (refund["amount"], refund["invoice_id"]) == (30_000, invoice["id"])
        engine.run()

    def test_another_refund_ends_it_and_the_page_says_what_changed(
        self, engine: Engine, web: Web
    ) -> None:
        """Both amounts are shown, it is not counted any more, and who asked can ask again."""
        customer, invoice = paid(engine)
        with browsing(web, person(engine, Role.FINANCE), person(engine)) as [one, other]:
            place = asked(one, invoice)
            refunding.refund_invoice(engine.context, invoice["id"], 5_000, SHOP)
            assert not is_counted(other)
            assert "Ask again" not in other.page(place)
            mine = one.page(place)
            said = text_of(mine)
            assert "Refund that was shown Rp 30,000 Refund now Rp 30,000" in said
            assert "Kept when it was asked Rp 50,000 Kept now Rp 45,000" in said
            form = {"amount": "30000", "reason": "lost"}
            for name, value in form.items():
                assert f'name="{name}" value="{value}"' in mine
            path = f"/invoices/{invoice['id']}/refund"
            answer = one.send(path, form)
            again = within(one.send(path, hidden(answer.text)).headers["Location"])
            assert again.partition("?")[0] != place
            assert is_counted(other)
            assert other.send(f"{place}/approve", WHO_DECIDES).status_code == 409
            assert other.send(f"{again.partition('?')[0]}/approve", WHO_DECIDES).status_code == 303
        assert [each["amount"] for each in engine.refunds(customer)] == [5_000, 30_000]
        engine.run()

    def test_money_that_is_kept_no_more_is_not_refunded(self, engine: Engine, web: Web) -> None:
        """The rest was refunded in between: the request ends, and the page says why."""
        customer, invoice = paid(engine)
        with browsing(web, person(engine, Role.FINANCE), person(engine)) as [one, other]:
            place = asked(one, invoice)
            refunding.refund_invoice(engine.context, invoice["id"], 40_000, SHOP)
            assert "It is refused now: Rp 10,000 is left of invoice" in text_of(other.page(place))
            refused(other, place)
            assert not is_counted(other)
        assert [each["amount"] for each in engine.refunds(customer)] == [40_000]
        engine.run()

    def test_money_that_became_credit_ends_it(self, engine: Engine, web: Web) -> None:
        """A change in between turns unused days into credit: less is kept."""
        customer, invoice = paid(engine)
        engine.plan("Q", amount=10_000)
        with browsing(web, person(engine, Role.FINANCE), person(engine)) as [one, other]:
            place = asked(one, invoice)
            changing.change(
                engine.context, invoice["subscription_id"], SHOP, plan_code="Q", at="now"
            )
            engine.run()
            assert not is_counted(other)
            refused(other, place)
        assert engine.refunds(customer) == []

    def test_a_contradicted_charge_ends_it(self, engine: Engine, web: Web) -> None:
        """The gateway says in between that the money was not taken: nothing goes back."""
        customer, invoice = paid(engine)
        [charge] = engine.charges(invoice["subscription_id"])
        with browsing(web, person(engine, Role.FINANCE), person(engine)) as [one, other]:
            place = asked(one, invoice)
            engine.dead_ends.add("contradicted")
            engine.execute(
                "INSERT INTO events (kind, at, actor, customer_id, subscription_id, invoice_id,"
                " charge_id, data) VALUES ('charge.contradicted', :at, 'gateway', :customer,"
                " :subscription, :invoice, :charge, '{}')",
                at=engine.now, customer=customer, subscription=invoice["subscription_id"],
                invoice=invoice["id"], charge=charge["id"],
            )  # fmt: skip
            assert not is_counted(other)
            said = text_of(other.page(place))
            assert "The amount is the same; an event of the invoice" in said
            refused(other, place)
        assert engine.refunds(customer) == []


class TestCancellation:
    """A cancellation with a refund that waits."""

    def asked(
        self, browser: Browser, engine: Engine, refund: str, before: timedelta = timedelta(hours=1)
    ) -> tuple[str, str]:
        """Ask for it that long before the next period; return the customer and the path."""
        customer, subscription = engine.begun(amount=280_000)
        engine.run()
        at = engine.subscription(subscription)["next_due_at"]
        engine.advance(at - before)
        path = f"/subscriptions/{subscription}/cancel"
        form = {"at": "now", "refund": refund, "reason": "moved"}
        answer = browser.send(path, form)
        place = within(browser.send(path, form | hidden(answer.text)).headers["Location"])
        return customer, place.partition("?")[0]

    def test_a_renewal_outdates_it(self, engine: Engine, web: Web) -> None:
        """Other paid days would end, and money of another period would go back."""
        with browsing(web, person(engine), person(engine, Role.OPERATOR)) as [one, other]:
            customer, place = self.asked(one, engine, "full")
            said = text_of(other.page(place))
            for words in (
                "When Now, when it is approved",
                "Refund of the current period The whole period",
                "Wallet It stays linked.",
                "Paid until",
            ):
                assert words in said
            assert is_counted(other)
            renew(engine)
            assert not is_counted(other)
            assert "It was paid until" in text_of(other.page(place))
            refused(other, place)
            assert 'name="refund" value="full"' in one.page(place)
        assert engine.refunds(customer) == []

    def test_an_event_without_money_or_days_changes_nothing(self, engine: Engine, web: Web) -> None:
        """An event without money or days comes in between; it is done as it was shown."""
        with browsing(web, person(engine), person(engine, Role.OPERATOR)) as [one, other]:
            customer, place = self.asked(one, engine, "full")
            [subscription] = {each["id"] for each in engine.rows("SELECT id FROM subscriptions")}
            engine.execute(
                "INSERT INTO events (kind, at, actor, customer_id, subscription_id, data)"
                " VALUES ('subscription.notice_failed', :at, 'scheduler', :customer,"
                " :subscription, '{}')",
                at=engine.now, customer=customer, subscription=subscription,
            )  # fmt: skip
            assert is_counted(other)
            assert other.send(f"{place}/approve", WHO_DECIDES).status_code == 303
        assert [each["amount"] for each in engine.refunds(customer)] == [280_000]
        engine.run()

    def test_a_prorated_refund_can_be_approved_until_its_day_ends(
        self, engine: Engine, web: Web
    ) -> None:
        """Unused days change at midnight in Jakarta; then it is not counted, nor done."""
        with browsing(web, person(engine), person(engine, Role.OPERATOR)) as [one, other]:
            customer, place = self.asked(one, engine, "prorated", before=timedelta(days=21))
            engine.set_clock(engine.now + timedelta(hours=14, minutes=59))
            assert "Ends by itself 2026-02-08 00:00 WIB" in text_of(other.page(place))
            assert is_counted(other)
            engine.set_clock(engine.now + timedelta(minutes=1))
            assert not is_counted(other)
            answer = other.send(f"{place}/approve", WHO_DECIDES)
            assert answer.status_code == 409
            assert "the time of the request is over" in text_of(answer.text)
            assert engine.refunds(customer) == []
            [subscription] = engine.rows("SELECT id, status FROM subscriptions")
            assert subscription["status"] == "active"
            form = {"at": "now", "refund": "prorated", "reason": "moved"}
            path = f"/subscriptions/{subscription['id']}/cancel"
            answer = one.send(path, form)
            again = within(one.send(path, form | hidden(answer.text)).headers["Location"])
            assert other.send(f"{again.partition('?')[0]}/approve", WHO_DECIDES).status_code == 303
        [refund] = engine.refunds(customer)
        assert refund["amount"] == 280_000 * 20 // 28
        engine.run()

    def test_a_full_refund_waits_over_midnight(self, engine: Engine, web: Web) -> None:
        """Its money is the same on the next day."""
        with browsing(web, person(engine), person(engine, Role.OPERATOR)) as [one, other]:
            customer, place = self.asked(one, engine, "full", before=timedelta(days=21))
            engine.set_clock(engine.now + timedelta(hours=23))
            assert is_counted(other)
            assert "cannot be approved any more" not in text_of(other.page(place))
            assert other.send(f"{place}/approve", WHO_DECIDES).status_code == 303
        assert [each["amount"] for each in engine.refunds(customer)] == [280_000]
        engine.run()

    def test_a_day_that_ends_while_it_is_asked_for_stores_nothing(
        self, engine: Engine, web: Web, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The amount was measured before midnight: what is confirmed has changed."""
        _customer, subscription = engine.begun(amount=280_000)
        engine.run()
        engine.advance(timedelta(days=7, hours=14, minutes=59, seconds=59))
        path, form = f"/subscriptions/{subscription}/cancel", {"at": "now", "refund": "prorated"}
        plain = approvals.ask

        def late(*given: Any) -> UUID:
            engine.set_clock(engine.now + timedelta(seconds=1))
            return plain(*given)

        monkeypatch.setattr(approvals, "ask", late)
        with browsing(web, person(engine)) as [one]:
            answer = one.send(path, form | {"reason": "moved"})
            answer = one.send(path, form | {"reason": "moved"} | hidden(answer.text))
            assert answer.status_code == 409
        assert engine.rows("SELECT id FROM approvals") == []
