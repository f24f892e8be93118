"""The console: what is above a limit is done when another person approves it, and once."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy.exc import IntegrityError

from billing.domain.events import OPERATOR, Actor
from billing.domain.people import Role
from billing.services.context import Context
from billing.services.money import refunding
from billing.services.operating import approval_ends, approvals, invoice_actions, people
from billing.store.queries import people as rows
from tests.integration.console import Browser, browsing, confirmed, hidden, person, text_of
from tests.integration.engine import Engine, Row
from tests.integration.races import at_once
from tests.integration.test_web_console_attention import within
from tests.integration.test_web_console_invoice import paid
from tests.integration.web import Web, serving
from tests.servers import Servers

LIMIT = 20_000
LIMITS = {"approval_refund_above": LIMIT, "approval_bulk_above": 1}
WHO_DECIDES = {"reason": "seen the parcel"}


@pytest.fixture
def web(engine: Engine, shared_servers: Servers) -> Iterator[Web]:
    """The console with limits: above Rp 20,000, and above one row."""
    with serving(engine, shared_servers.own_redis(), **LIMITS) as made:
        yield made


def limited(engine: Engine) -> Context:
    """The engine with the same limits, for services."""
    settings = engine.context.settings.model_copy(update=LIMITS)
    return replace(engine.context, settings=settings)


def asked(browser: Browser, invoice: Row, amount: int = 30_000, reason: str = "lost") -> str:
    """Confirm a refund above the limit; return the path of the request."""
    path = f"/invoices/{invoice['id']}/refund"
    answer = browser.send(path, {"amount": str(amount), "reason": reason})
    assert "another person must approve this" in text_of(answer.text)
    place = within(browser.send(path, hidden(answer.text)).headers["Location"])
    assert place.startswith("/approvals/")
    return place.partition("?")[0]


def id_of(place: str) -> UUID:
    """The id of a request."""
    return UUID(place.rpartition("/")[2])


def status(engine: Engine) -> str:
    """The status of the only request."""
    return str(engine.one("SELECT status FROM approvals"))


def who(engine: Engine, name: str) -> rows.Person:
    """A person."""
    [found] = [each for each in people.listed(engine.context) if each.name == name]
    return found


class TestRefund:
    """A refund above the limit."""

    def test_another_person_approves_and_it_is_done_once(self, engine: Engine, web: Web) -> None:
        """Nothing moves before; a double click asks once and acts once; events have both names."""
        customer, invoice = paid(engine)
        path = f"/invoices/{invoice['id']}/refund"
        ani, budi = person(engine, Role.FINANCE, "Ani"), person(engine, Role.OPERATOR, "Budi")
        with browsing(web, ani, budi) as [one, other]:
            answer = one.send(path, {"amount": "30000", "reason": "late parcel"})
            assert "Ask for approval" in text_of(answer.text)
            form = hidden(answer.text)
            places = {one.send(path, form).headers["Location"] for _ in range(2)}
            [place] = {within(each) for each in places}
            assert "Nothing happens before another person approves it" in text_of(one.page(place))
            engine.run()
            assert engine.refunds(customer) == []

            for page in ("/now", "/attention"):
                assert "1 request waits for a second person." in text_of(other.page(page))
            listed = text_of(other.page("/approvals"))
            assert "1 request waits." in listed
            assert f"Refund Rp 30,000 {customer} Ani 2026-01-31 09:00 WIB late parcel" in listed
            place = place.partition("?")[0]
            said = text_of(other.page(place))
            assert "Goes back to the wallet Rp 30,000" in said
            answers = [other.send(f"{place}/approve", WHO_DECIDES) for _ in range(2)]
            assert {each.headers["Location"] for each in answers} == {
                f"/console{place}?done=approved"
            }
            said = text_of(other.page(f"{place}?done=approved"))
            assert "It was approved and done." in said
            assert "Nothing waits for approval." in text_of(other.page("/approvals"))
            assert "request waits" not in text_of(other.page("/now"))
        [refund] = engine.refunds(customer)
        assert (refund["amount"], refund["reason"]) == (30_000, "late parcel")
        [told] = engine.told("refund.requested")
        assert (told["actor"], told["reason"]) == ("Ani", "late parcel")
        assert told["data"]["approved_by"] == "Budi"
        [told] = engine.told("approval.approved")
        assert (told["actor"], told["reason"]) == ("Budi", "seen the parcel")
        assert told["data"]["asked_by"] == "Ani"
        engine.run()

    def test_the_page_says_from_which_limit_on(self, engine: Engine, web: Web) -> None:
        """The values of both settings, in the language of the viewer."""
        with browsing(web, person(engine)) as [browser]:
            said = text_of(browser.page("/approvals"))
            assert f"what refunds more than Rp {LIMIT:,}; an action on more than 1 row." in said
            browser.send("/display", {"language": "id", "timezone": "UTC", "back": "/console/now"})
            assert f"Rp{LIMIT:,}".replace(",", ".") in text_of(browser.page("/approvals"))

    def test_up_to_the_limit_one_person_is_enough(self, engine: Engine, web: Web) -> None:
        """Parts of one subscription count together for a day, so that they are no way around."""
        customer, invoice = paid(engine)
        path = f"/invoices/{invoice['id']}/refund"
        with browsing(web, person(engine)) as [browser]:
            answer = browser.send(path, {"amount": str(LIMIT), "reason": "a"})
            assert "Ask for approval" not in answer.text
            assert browser.send(path, hidden(answer.text)).headers["Location"].endswith("=refund")
            engine.run()
            asked(browser, invoice, 1)
        assert [each["amount"] for each in engine.refunds(customer)] == [LIMIT]

    def test_parts_of_late_money_count_together(self, engine: Engine, web: Web) -> None:
        """What the gateway declined to give back of a void invoice is money like any other."""
        engine.plan(amount=40_000)
        customer = engine.customer()
        subscription = engine.subscribe(customer)
        engine.script("drop_after", customer)
        engine.script("failed", customer, "refund")
        engine.run()
        [invoice] = engine.invoices(subscription)
        invoice_actions.void_invoice(engine.context, invoice["id"], OPERATOR)
        engine.advance(timedelta(hours=1))
        engine.audited = False
        with browsing(web, person(engine, Role.FINANCE)) as [browser]:
            path = f"/invoices/{invoice['id']}/refund"
            answer = confirmed(browser, path, amount="15000", reason="a")
            assert answer.headers["Location"].endswith("=refund")
            engine.run()
            asked(browser, invoice, 15_000)
        assert {each["purpose"] for each in engine.refunds(customer)} == {"void"}

    def test_the_asker_cannot_approve(self, engine: Engine, web: Web) -> None:
        """Also not in another session; and the database refuses it too."""
        customer, invoice = paid(engine)
        ani = person(engine, Role.ADMIN, "Ani")
        with browsing(web, ani, ani) as [one, again]:
            place = asked(one, invoice)
            for browser in (one, again):
                assert "/approve" not in browser.page(place)
                for deed in ("approve", "decline"):
                    answer = browser.send(f"{place}/{deed}", WHO_DECIDES)
                    assert answer.status_code == 409
                    assert "another person must decide" in text_of(answer.text)
        with pytest.raises(IntegrityError, match="second_person"):
            engine.execute("UPDATE approvals SET status = 'approved', decided_by = asked_by,"
                           " decided_at = now(), decision_reason = 'x'")  # fmt: skip
        assert engine.refunds(customer) == []
        assert status(engine) == "open"

    def test_a_change_since_the_question_ends_the_request(self, engine: Engine, web: Web) -> None:
        """Another refund came first: nothing is done, and the request has ended."""
        customer, invoice = paid(engine)
        with browsing(web, person(engine, Role.FINANCE), person(engine)) as [one, other]:
            place = asked(one, invoice)
            refunding.refund_invoice(engine.context, invoice["id"], 5_000, Actor("shop"))
            assert "has changed" in text_of(other.page("/approvals"))
            assert "It cannot be approved any more" in text_of(other.page(place))
            answer = other.send(f"{place}/approve", WHO_DECIDES)
            assert answer.status_code == 409
            assert "nothing was done, and the request has ended" in text_of(answer.text)
            assert other.send(f"{place}/approve", WHO_DECIDES).status_code == 409
            assert "outdated" in text_of(other.page("/approvals"))
            asked(one, invoice)
        assert [each["amount"] for each in engine.refunds(customer)] == [5_000]
        assert len(engine.told("approval.outdated")) == 1

    def test_a_request_ends_after_its_time(self, engine: Engine, web: Web) -> None:
        """It cannot be approved then, and the same may be asked again; the tick records the end."""
        customer, invoice = paid(engine)
        with browsing(web, person(engine, Role.FINANCE), person(engine)) as [one, other]:
            place = asked(one, invoice)
            engine.set_clock(engine.now + timedelta(hours=24))
            assert "Nothing waits for approval." in text_of(other.page("/approvals"))
            assert "1 request" not in text_of(other.page("/attention"))
            answer = other.send(f"{place}/approve", WHO_DECIDES)
            assert answer.status_code == 409
            assert "the time of the request is over" in text_of(answer.text)
            assert approval_ends.expire(engine.context) == 1
            assert approval_ends.expire(engine.context) == 0
            assert "expired" in text_of(other.page(place))
            asked(one, invoice)
        assert engine.refunds(customer) == []
        assert [each["actor"] for each in engine.told("approval.expired")] == ["scheduler"]

    def test_the_same_is_asked_once_at_a_time(self, engine: Engine, web: Web) -> None:
        """A second request for the invoice is refused while the first waits."""
        _customer, invoice = paid(engine)
        path = f"/invoices/{invoice['id']}/refund"
        with browsing(web, person(engine, Role.FINANCE), person(engine)) as [one, other]:
            asked(one, invoice)
            form = hidden(other.send(path, {"amount": "25000", "reason": "b"}).text)
            answer = other.send(path, form)
            assert answer.status_code == 409
            assert "waiting for approval already" in text_of(answer.text)
        assert engine.one("SELECT count(*) FROM approvals") == 1

    def test_two_who_approve_at_once_act_once(self, engine: Engine, web: Web) -> None:
        """One of them is told that it was approved."""
        customer, invoice = paid(engine)
        names = [person(engine, Role.FINANCE, "Ani"), person(engine), person(engine, Role.OPERATOR)]
        with browsing(web, names[0]) as [browser]:
            approval = id_of(asked(browser, invoice))
        context = limited(engine)
        others = [who(engine, name) for name in names[1:]]
        found = at_once(
            *(lambda by=each: approvals.approve(context, approval, by, "yes") for each in others)
        )
        assert sum(isinstance(each, Exception) for each in found) == 1
        assert [each["amount"] for each in engine.refunds(customer)] == [30_000]
        assert len(engine.told("approval.approved")) == 1

    def test_approving_and_withdrawing_at_once_is_one_of_them(
        self, engine: Engine, web: Web
    ) -> None:
        """Money moves exactly when the request says approved."""
        customer, invoice = paid(engine)
        ani, budi = person(engine, Role.FINANCE, "Ani"), person(engine)
        with browsing(web, ani) as [browser]:
            approval = id_of(asked(browser, invoice))
        context = limited(engine)
        found = at_once(
            lambda: approvals.approve(context, approval, who(engine, budi), "yes"),
            lambda: approvals.withdraw(context, approval, who(engine, ani), "no"),
        )
        assert sum(isinstance(each, Exception) for each in found) == 1
        assert bool(engine.refunds(customer)) == (status(engine) == "approved")

    @pytest.mark.parametrize("how", ["role", "disabled"])
    def test_a_request_of_who_lost_the_role_is_not_approved(
        self, engine: Engine, web: Web, how: str
    ) -> None:
        """The request can only be declined."""
        customer, invoice = paid(engine)
        with browsing(web, person(engine, Role.FINANCE, "Ani"), person(engine)) as [one, other]:
            place = asked(one, invoice)
            if how == "role":
                people.set_role(engine.context, "Ani", Role.SUPPORT, OPERATOR)
            else:
                people.disable(engine.context, "Ani", OPERATOR)
            answer = other.send(f"{place}/approve", WHO_DECIDES)
            assert answer.status_code == 409
            assert "has another role now" in text_of(answer.text)
            assert other.send(f"{place}/decline", WHO_DECIDES).status_code == 303
        assert engine.refunds(customer) == []
        assert status(engine) == "declined"

    def test_a_person_who_was_disabled_meanwhile_approves_nothing(
        self, engine: Engine, web: Web
    ) -> None:
        """The role is read again under the locks, not taken from the session."""
        customer, invoice = paid(engine)
        name = person(engine)
        with browsing(web, person(engine, Role.FINANCE)) as [browser]:
            approval = id_of(asked(browser, invoice))
        before = who(engine, name)
        people.disable(engine.context, name, OPERATOR)
        [refused] = at_once(lambda: approvals.approve(limited(engine), approval, before, "yes"))
        assert "your role does not allow" in str(refused)
        assert engine.refunds(customer) == []

    def test_a_request_is_declined_or_withdrawn_with_a_reason(
        self, engine: Engine, web: Web
    ) -> None:
        """Without one the page comes again with one line; only who asked can withdraw."""
        customer, invoice = paid(engine)
        with browsing(web, person(engine, Role.FINANCE, "Ani"), person(engine)) as [one, other]:
            place = asked(one, invoice)
            for browser, deed in ((other, "approve"), (other, "decline"), (one, "withdraw")):
                for reason in ("", " ", "x" * 256, "a\u202eb"):
                    answer = browser.send(f"{place}/{deed}", {"reason": reason})
                    assert answer.status_code == 422
                    assert answer.text.count('role="alert"') == 1
                    assert 'id="wrong-reason"' in answer.text
            answer = other.send(f"{place}/withdraw", {"reason": "mine"})
            assert answer.status_code == 409
            assert "only 'Ani', who asked, can withdraw" in text_of(answer.text)
            answers = [one.send(f"{place}/withdraw", {"reason": "wrong"}) for _ in range(2)]
            assert {each.status_code for each in answers} == {303}
            assert "It was withdrawn" in text_of(one.page(f"{place}?done=withdrawn"))
            place = asked(one, invoice)
            assert other.send(f"{place}/decline", {"reason": "no proof"}).status_code == 303
            assert "no proof" in text_of(one.page(place))
            assert other.send(f"{place}/approve", WHO_DECIDES).status_code == 409
        assert engine.refunds(customer) == []
        told = engine.told("approval.declined") + engine.told("approval.withdrawn")
        assert [each["reason"] for each in told] == ["no proof", "wrong"]
