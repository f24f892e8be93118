"""The console's page of a subscription, its timeline, and what a person does with it."""

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import event

from billing.domain.events import OPERATOR, Actor
from billing.domain.people import Role
from billing.domain.subscription import RefundPolicy
from billing.services.money import coupons, refunding
from billing.services.operating import kill_switch
from billing.services.reading import subscription_page
from billing.services.subscriptions import canceling, changing, pausing, previewing, subscribing
from tests.integration.console import browsing, confirmed, hidden, person, text_of
from tests.integration.engine import Engine
from tests.integration.web import Web

STATEMENTS_MAX = 11
"""A page has at most 12 statements; one recognizes the session."""


def shown_moments(page: str) -> list[str]:
    """What each mark of the picture says."""
    return [text_of(each) for each in re.findall(r"<title>(.*?)</title>", page)][1:]


class TestPage:
    """The page says what the rows say."""

    def test_the_verdict_comes_first(self, engine: Engine, web: Web) -> None:
        """What is owed and why, and what comes next; a stop of charging is said too."""
        _customer, subscription = engine.begun(amount=50_000, cash=60_000)
        engine.run()
        engine.advance(timedelta(days=28))
        with browsing(web, person(engine)) as [browser]:
            said = text_of(browser.page(f"/subscriptions/{subscription}"))
            assert "P past due" in said
            assert "Rp 50,000 is owed. The charge of 2026-02-28 09:00 WIB was declined:" in said
            assert "Next attempt: 2026-03-02 09:00 WIB" in said
            assert "Next charge: Rp 50,000 on 2026-03-31 09:00 WIB" in said
            assert "It is paid until 2026-02-28 09:00 WIB" in said
            kill_switch.stop_charging(engine.context, OPERATOR)
            said = text_of(browser.page(f"/subscriptions/{subscription}"))
            assert "No customer is charged: charging is stopped since" in said

    def test_the_timeline_has_every_row_and_plan(self, engine: Engine, web: Web) -> None:
        """Periods, attempts, a refund, a pause, and what is planned; picture and table agree."""
        _customer, subscription = engine.begun(amount=50_000)
        engine.plan("Q", amount=80_000)
        engine.run()
        [invoice] = engine.invoices(subscription)
        refunding.refund_invoice(engine.context, invoice["id"], 7_000, OPERATOR)
        engine.run()
        pausing.pause(engine.context, subscription, OPERATOR)
        engine.advance(timedelta(days=5))
        pausing.resume(engine.context, subscription, OPERATOR)
        changing.change(engine.context, subscription, OPERATOR, plan_code="Q", at="period-end")
        found = subscription_page.read(engine.context, subscription)
        kinds = [each.kind for each in found.timeline]
        assert sorted(kinds) == sorted(
            ["period", "charge", "refund", "pause", "next charge", "change of terms"]
        )
        [pause] = [each for each in found.timeline if each.kind == "pause"]
        assert pause.until is not None
        assert pause.until - pause.at == timedelta(days=5)
        with browsing(web, person(engine)) as [browser]:
            page = browser.page(f"/subscriptions/{subscription}")
            marks = shown_moments(page)
            assert len(marks) == len(found.timeline)
            assert any(each.startswith("next charge, Rp 80,000, 2026-02-28") for each in marks)
            assert any(each.startswith("refund, succeeded, Rp 7,000") for each in marks)
            assert "planned Rp 80,000" in text_of(page)
            assert "It changes on 2026-02-28 09:00 WIB , to Q." in text_of(page)

    def test_a_pause_that_lasts_ends_with_now(self, engine: Engine) -> None:
        """And one that a cancellation ended, with that."""
        _customer, subscription = engine.begun(amount=50_000)
        engine.run()
        pausing.pause(engine.context, subscription, OPERATOR)
        engine.set_clock(engine.now + timedelta(days=3))
        found = subscription_page.read(engine.context, subscription)
        [pause] = [each for each in found.timeline if each.kind == "pause"]
        assert (pause.at, pause.until) == (engine.now - timedelta(days=3), engine.now)
        canceling.cancel(engine.context, subscription, OPERATOR)
        engine.set_clock(engine.now + timedelta(days=3))
        found = subscription_page.read(engine.context, subscription)
        [pause] = [each for each in found.timeline if each.kind == "pause"]
        assert pause.until == engine.now - timedelta(days=3)
        assert not any(each.ahead for each in found.timeline)

    def test_states_without_a_past_or_a_future_are_shown(self, engine: Engine, web: Web) -> None:
        """One that waits for a wallet, and one that has ended: no button, no mark ahead."""
        engine.plan()
        waiting = engine.subscribe(engine.customer(linked=False))
        ended = engine.subscribe(engine.customer())
        engine.run()
        canceling.cancel(engine.context, ended, Actor("budi", "moved away"))
        with browsing(web, person(engine)) as [browser]:
            said = text_of(browser.page(f"/subscriptions/{waiting}"))
            assert "Waits for" in said
            assert "Invoices None." in said
            page = browser.page(f"/subscriptions/{ended}")
            assert "nothing will be charged. Canceled by budi. Reason: moved away." in text_of(page)
            assert f"/subscriptions/{ended}/" not in page

    def test_names_from_outside_are_only_text(self, engine: Engine, web: Web) -> None:
        """A hostile name, one of 50 emoji, one that turns text around; also in the titles."""
        engine.plan()
        for number, name in enumerate(["<script>alert(1)</script>", "😀" * 50, "Ani"]):
            subscribing.create_customer(engine.context, f"n{number}", name=name, by=OPERATOR)
        engine.execute("UPDATE customers SET name = :name WHERE id = 'n2'", name="A\u202eb")
        with browsing(web, person(engine)) as [browser]:
            for number in range(3):
                made = subscribing.subscribe(engine.context, f"n{number}", "P", OPERATOR)
                for path in ("", "/cancel"):
                    page = browser.page(f"/subscriptions/{made['id']}{path}")
                    assert "<script>alert" not in page
                    assert "\u202e" not in page

    def test_pages_and_actions_are_in_indonesian_too(self, engine: Engine, web: Web) -> None:
        """Page, form and preview; rupiah are written as there."""
        _customer, subscription = engine.begun(amount=50_000)
        engine.run()
        [invoice] = engine.invoices(subscription)
        place = f"/subscriptions/{subscription}"
        with browsing(web, person(engine)) as [browser]:
            browser.send("/display", {"language": "id", "timezone": "UTC", "back": "/console/now"})
            said = text_of(browser.page(place))
            assert "Penagihan berikutnya: Rp50.000 pada 2026-02-28 02:00 UTC" in said
            assert "Batalkan langganan…" in said
            said = text_of(browser.page(f"/invoices/{invoice['id']}"))
            assert "Dibayar pada 2026-01-31 02:00 UTC" in said
            form = {"at": "now", "refund": "full", "reason": "pindah"}
            said = text_of(browser.send(f"{place}/cancel", form).text)
            assert "Kembali ke dompet Rp50.000" in said
            assert "Status aktif dibatalkan" in said

    def test_a_page_has_few_statements(self, engine: Engine) -> None:
        """Also with debts, refunds and a pause."""
        _customer, subscription = engine.begun(amount=50_000, cash=60_000)
        engine.run()
        engine.advance(timedelta(days=30))
        statements: list[str] = []
        with engine.context.database.transaction() as connection:
            event.listen(connection, "before_cursor_execute", lambda *a: statements.append(a[2]))
            subscription_page.read(engine.context.joined(connection), subscription)
        assert 0 < len(statements) <= STATEMENTS_MAX


class TestCancel:
    """Cancel now or at the end of the period."""

    @pytest.mark.parametrize("policy", RefundPolicy)
    def test_the_preview_is_what_happens(
        self, engine: Engine, web: Web, policy: RefundPolicy
    ) -> None:
        """The refund on the page equals the row; the days until the end of the period are told."""
        customer, subscription = engine.begun(amount=280_000)
        engine.run()
        engine.set_clock(engine.now + timedelta(days=7))
        wanted = previewing.cancel(engine.context, subscription, OPERATOR, refund=policy)
        path = f"/subscriptions/{subscription}/cancel"
        with browsing(web, person(engine, Role.OPERATOR, "Budi")) as [browser]:
            form = {"at": "now", "refund": policy.value, "reason": "moved away"}
            answer = browser.send(path, form)
            said = text_of(answer.text)
            assert "Status active canceled" in said
            assert "It was paid until 2026-02-28 09:00 WIB" in said
            if wanted.amount_refunded:
                assert f"Goes back to the wallet Rp {wanted.amount_refunded:,}" in said
            else:
                assert "The days until then end without a refund." in said
            assert engine.status(subscription) == "active"
            for _ in range(2):
                done = browser.send(path, form | hidden(answer.text))
                assert done.headers["Location"].endswith(f"{subscription}?done=cancel")
        assert engine.status(subscription) == "canceled"
        refunded = sum(each["amount"] for each in engine.refunds(customer))
        assert refunded == wanted.amount_refunded
        [told] = engine.told("subscription.canceled")
        assert (told["actor"], told["reason"]) == ("Budi", "moved away")

    def test_a_planned_end_is_shown_and_withdrawn(self, engine: Engine, web: Web) -> None:
        """No money moves by either; who may not refund has no such choice."""
        _customer, subscription = engine.begun(amount=50_000)
        engine.run()
        place = f"/subscriptions/{subscription}"
        with browsing(web, person(engine, Role.SUPPORT)) as [browser]:
            assert 'name="refund"' not in browser.page(f"{place}/cancel")
            answer = browser.send(f"{place}/cancel", {"at": "period-end", "reason": "a"})
            said = text_of(answer.text)
            assert "No money moves by this." in said
            assert "Ends on – 2026-02-28 09:00 WIB" in said
            browser.send(f"{place}/cancel", {"at": "period-end"} | hidden(answer.text))
            assert "It ends on 2026-02-28 09:00 WIB" in text_of(browser.page(place))
            page = browser.page(f"{place}/withdraw-cancel")
            form = hidden(page) | {"reason": "stays"}
            for _ in range(2):
                assert browser.send(f"{place}/withdraw-cancel", form).status_code == 303
            assert "It ends on" not in text_of(browser.page(place))
        assert len(engine.told("subscription.cancel_withdrawn")) == 1

    def test_a_refund_needs_its_own_right(self, engine: Engine, web: Web) -> None:
        """Support may cancel, and not refund by a form that was invented."""
        _customer, subscription = engine.begun(amount=50_000)
        engine.run()
        with browsing(web, person(engine, Role.SUPPORT)) as [browser]:
            answer = browser.send(
                f"/subscriptions/{subscription}/cancel",
                {"at": "now", "refund": "full", "reason": "a"},
            )
            assert answer.status_code == 403
        assert engine.status(subscription) == "active"

    def test_a_refund_at_the_end_of_the_period_is_refused(self, engine: Engine, web: Web) -> None:
        """With one line at that field."""
        _customer, subscription = engine.begun(amount=50_000)
        engine.run()
        with browsing(web, person(engine)) as [browser]:
            answer = browser.send(
                f"/subscriptions/{subscription}/cancel",
                {"at": "period-end", "refund": "full", "reason": "a"},
            )
            assert answer.status_code == 422
            assert 'id="about-refund"' in answer.text


class TestTerms:
    """Pause, resume, change, coupon and extra lines."""

    def test_a_pause_until_a_date_and_a_resumption(self, engine: Engine, web: Web) -> None:
        """The date is written in the viewer's zone."""
        _customer, subscription = engine.begun(amount=50_000)
        engine.run()
        place = f"/subscriptions/{subscription}"
        with browsing(web, person(engine)) as [browser]:
            form = {"at": "now", "resume_at": "2026-04-01T10:30", "reason": "holiday"}
            answer = browser.send(f"{place}/pause", form)
            said = text_of(answer.text)
            assert "Status active paused" in said
            assert "Resumes on – 2026-04-01 10:30 WIB" in said
            assert browser.send(f"{place}/pause", form | hidden(answer.text)).status_code == 303
            assert "It resumes on 2026-04-01 10:30 WIB" in text_of(browser.page(place))
            done = confirmed(browser, f"{place}/resume", start="anchor", reason="back early")
            assert done.headers["Location"].endswith("?done=resume")
            for written in ("tomorrow", "2026-13-01T00:00", "0001-01-01T00:00"):
                wrong = browser.send(f"{place}/pause", form | {"resume_at": written})
                assert wrong.status_code == 422
                assert 'id="about-resume_at"' in wrong.text
            early = browser.send(f"{place}/pause", form | {"resume_at": "2026-01-01T00:00"})
            assert early.status_code == 422
        assert engine.status(subscription) == "active"

    def test_an_upgrade_charges_what_the_preview_says(self, engine: Engine, web: Web) -> None:
        """The amount on the page is that of the invoice which the change opens."""
        _customer, subscription = engine.begun(amount=280_000)
        engine.plan("Q", amount=560_000)
        engine.run()
        engine.set_clock(engine.now + timedelta(days=7))
        path = f"/subscriptions/{subscription}/change"
        form = {"plan": "Q", "quantity": "", "amount": "", "at": "now", "reason": "wants more"}
        with browsing(web, person(engine)) as [browser]:
            assert '<option value="Q">' in browser.page(path)
            said = text_of(browser.send(path, form).text)
            assert "Plan P × 1 Q × 1" in said
            assert "Amount per period Rp 280,000 Rp 560,000" in said
            confirmed(browser, path, **form)
        [_, invoice] = engine.invoices(subscription)
        assert f"Is charged now Rp {invoice['amount'] - invoice['credited']:,}" in said

    def test_a_wrong_value_of_a_change_is_at_its_field(self, engine: Engine, web: Web) -> None:
        """422, and nothing is written."""
        _customer, subscription = engine.begun(amount=50_000)
        engine.run()
        wrong = (
            ({"plan": "nothing", "at": "now"}, "plan"),
            ({"quantity": "0", "at": "now"}, "quantity"),
            ({"quantity": "two", "at": "now"}, "quantity"),
            ({"amount": "x", "at": "now"}, "amount"),
            ({"plan": "P", "quantity": "2", "at": "never"}, "at"),
            ({"at": "now", "reason": ""}, "reason"),
        )
        with browsing(web, person(engine)) as [browser]:
            before = engine.counts()
            for form, field in wrong:
                answer = browser.send(
                    f"/subscriptions/{subscription}/change", {"reason": "a"} | form
                )
                assert answer.status_code == 422, text_of(answer.text)
                assert f'id="about-{field}"' in answer.text
            assert engine.counts() == before

    def test_a_coupon_and_an_extra_line_are_on_the_next_invoice(
        self, engine: Engine, web: Web
    ) -> None:
        """The preview shows the next charge before and after; each acts once."""
        _customer, subscription = engine.begun(amount=50_000)
        coupons.create(engine.context, "TEN", OPERATOR, percent=10)
        engine.run()
        place = f"/subscriptions/{subscription}"
        with browsing(web, person(engine)) as [browser]:
            form = {"title": "Towel", "amount": "15.000", "reason": "ordered"}
            answer = browser.send(f"{place}/extra", form)
            said = text_of(answer.text)
            assert "Next charge Rp 50,000 on 2026-02-28 09:00 WIB Rp 65,000 on" in said
            for _ in range(2):
                sent = browser.send(f"{place}/extra", form | hidden(answer.text))
                assert sent.status_code == 303
            answer = browser.send(f"{place}/coupon", {"coupon": "TEM", "reason": "a"})
            assert answer.status_code == 422
            assert "did you mean &#39;TEN&#39;" in answer.text
            confirmed(browser, f"{place}/coupon", coupon="TEN", reason="goodwill")
            said = text_of(browser.page(place))
            assert "Coupon TEN" in said
            assert "Towel Rp 15,000" in said
            empty = browser.send(f"{place}/extra", {"title": "", "amount": "", "reason": "a"})
            assert empty.status_code == 422
        assert len(engine.told("subscription.extra_added")) == 1


def test_an_unknown_subscription_is_a_page_that_says_so(engine: Engine, web: Web) -> None:
    """404 for the form and for what is sent."""
    with browsing(web, person(engine)) as [browser]:
        for unknown in (uuid4(), "x"):
            for deed in ("cancel", "withdraw-cancel", "change", "coupon"):
                path = f"/subscriptions/{unknown}/{deed}"
                assert browser.open(path).status_code == 404
                assert browser.send(path, {"reason": "a"}).status_code == 404
