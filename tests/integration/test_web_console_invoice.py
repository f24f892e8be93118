"""The console's page of an invoice, with its charges and refunds, and what a person does there."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

from sqlalchemy import event

from billing.domain.events import OPERATOR, Actor
from billing.domain.people import Role
from billing.services.money import refunding
from billing.services.operating import invoice_actions
from billing.services.reading import invoice_page
from tests.integration.console import browsing, confirmed, hidden, person, text_of
from tests.integration.engine import Engine, Row
from tests.integration.web import Web

STATEMENTS_MAX = 11
"""A page has at most 12 statements; one recognizes the session."""


def paid(engine: Engine, **plan: int) -> tuple[str, Row]:
    """A customer with one paid invoice."""
    customer, subscription = engine.begun(**{"amount": 50_000} | plan)
    engine.run()
    [invoice] = engine.invoices(subscription)
    return customer, invoice


class TestPage:
    """The page says what the rows say."""

    def test_a_paid_invoice_with_a_refund(self, engine: Engine, web: Web) -> None:
        """The verdict, every attempt with its numbers, lines, refunds and events."""
        customer, invoice = paid(engine)
        refunding.refund_invoice(engine.context, invoice["id"], 12_000, Actor("budi", "sorry"))
        engine.run()
        [charge] = engine.charges(invoice["subscription_id"])
        [refund] = engine.refunds(customer)
        with browsing(web, person(engine)) as [browser]:
            said = text_of(browser.page(f"/invoices/{invoice['id']}"))
            assert "It was paid on 2026-01-31 09:00 WIB" in said
            assert "Charged Rp 50,000 Refunded Rp 12,000 Became credit Rp 0 Kept Rp 38,000" in said
            assert f"{charge['gateway_number']} {charge['id']}" in said
            assert f"succeeded Rp 12,000 sorry – answer at 2026-01-31 09:00 WIB {refund['id']}" in (
                said
            )
            assert "period Rp 50,000" in said
            assert "A refund was requested amount: Rp 12,000 " in said
            assert " budi sorry " in said

    def test_a_declined_invoice_shows_the_ladder(self, engine: Engine, web: Web) -> None:
        """Why it was declined, in words, and the dates of the attempts that come."""
        _customer, subscription = engine.begun(amount=50_000, cash=60_000)
        engine.run()
        engine.advance(timedelta(days=28))
        [_, invoice] = engine.invoices(subscription)
        found = invoice_page.read(engine.context, invoice["id"])
        with browsing(web, person(engine)) as [browser]:
            page = browser.page(f"/invoices/{invoice['id']}")
            said = text_of(page)
            assert "Rp 50,000 is owed. The charge of 2026-02-28 09:00 WIB was declined:" in said
            assert "insufficient funds" in said
            assert len(found.invoice.retries_at) > 1
            for at in found.invoice.retries_at:
                assert f'<li><time datetime="{at.isoformat(timespec="seconds")}">' in page

    def test_charges_and_refunds_lead_to_their_row(self, engine: Engine, web: Web) -> None:
        """Their own addresses are links to the invoice; unknown ones say so."""
        customer, invoice = paid(engine)
        refunding.refund_invoice(engine.context, invoice["id"], None, OPERATOR)
        [charge] = engine.charges(invoice["subscription_id"])
        [refund] = engine.refunds(customer)
        with browsing(web, person(engine)) as [browser]:
            page = browser.page(f"/invoices/{invoice['id']}")
            for path, row in (("charges", charge), ("refunds", refund)):
                place = browser.open(f"/{path}/{row['id']}").headers["Location"]
                assert place == f"/console/invoices/{invoice['id']}#row-{row['id']}"
                assert f'id="row-{row["id"]}"' in page
            for path in ("charges", "refunds", "invoices", "subscriptions"):
                for unknown in (str(uuid4()), "x", "%3Cscript%3E", "0" * 500):
                    assert browser.open(f"/{path}/{unknown}").status_code == 404

    def test_a_page_has_few_statements(self, engine: Engine) -> None:
        """Also with an open charge, refunds and many events."""
        _customer, invoice = paid(engine)
        refunding.refund_invoice(engine.context, invoice["id"], 1_000, OPERATOR)
        engine.execute("UPDATE invoices SET first_failed_at = now()")
        statements: list[str] = []
        with engine.context.database.transaction() as connection:
            event.listen(connection, "before_cursor_execute", lambda *a: statements.append(a[2]))
            invoice_page.read(engine.context.joined(connection), invoice["id"])
        engine.execute("UPDATE invoices SET first_failed_at = NULL")
        assert 0 < len(statements) <= STATEMENTS_MAX


class TestRefund:
    """Refund all or a part, after a preview."""

    def test_a_part_is_refunded_once(self, engine: Engine, web: Web) -> None:
        """The preview writes nothing; a double click acts once; the event has name and reason."""
        customer, invoice = paid(engine)
        path = f"/invoices/{invoice['id']}/refund"
        with browsing(web, person(engine, Role.FINANCE, "Dewi")) as [browser]:
            assert f'href="/console{path}"' in browser.page(f"/invoices/{invoice['id']}")
            assert "Amount in rupiah" in text_of(browser.page(path))
            before = engine.counts()
            answer = browser.send(path, {"amount": "Rp 20.000", "reason": "late parcel"})
            said = text_of(answer.text)
            assert "Goes back to the wallet Rp 20,000" in said
            assert "Kept of this invoice Rp 50,000 Rp 30,000 afterwards" in said
            assert engine.counts() == before

            form = hidden(answer.text)
            for _ in range(2):
                done = browser.send(path, form)
                assert done.headers["Location"] == f"/console/invoices/{invoice['id']}?done=refund"
            page = browser.page(f"/invoices/{invoice['id']}?done=refund")
            assert "The refund was requested" in text_of(page)
        [refund] = engine.refunds(customer)
        assert (refund["amount"], refund["reason"]) == (20_000, "late parcel")
        [told] = engine.told("refund.requested")
        assert (told["actor"], told["reason"]) == ("Dewi", "late parcel")

    def test_everything_that_is_kept_is_the_default(self, engine: Engine, web: Web) -> None:
        """Without an amount; afterwards there is no button any more."""
        customer, invoice = paid(engine)
        with browsing(web, person(engine)) as [browser]:
            confirmed(browser, f"/invoices/{invoice['id']}/refund", amount="", reason="all")
            assert '/refund"' not in browser.page(f"/invoices/{invoice['id']}")
            answer = browser.send(
                f"/invoices/{invoice['id']}/refund", {"amount": "", "reason": "again"}
            )
            assert answer.status_code == 409
            assert "it is refunded already" in text_of(answer.text)
            assert "Charged Rp 50,000" in text_of(answer.text)
        assert [each["amount"] for each in engine.refunds(customer)] == [50_000]

    def test_a_wrong_value_brings_the_form_back(self, engine: Engine, web: Web) -> None:
        """422 with one line at the field and what was written; no row is written."""
        _customer, invoice = paid(engine)
        wrong = (
            *((amount, "a", "write whole rupiah")
              for amount in ("1.5", "-5", "5,00", "１２", "9" * 99, "1e3", "0x10")),
            ("0", "a", "between 1 and"), ("50001", "a", "cannot be refunded"),
            *(("5", reason, "the reason must") for reason in ("", "x" * 256, "a\u202eb")),
        )  # fmt: skip
        with browsing(web, person(engine)) as [browser]:
            before = engine.counts()
            for amount, reason, said in wrong:
                answer = browser.send(
                    f"/invoices/{invoice['id']}/refund", {"amount": amount, "reason": reason}
                )
                assert answer.status_code == 422
                assert answer.text.count('role="alert"') == 1
                assert said in text_of(answer.text)
                assert 'aria-invalid="true"' in answer.text
                assert f'name="amount" value="{amount}"' in answer.text
                assert "\u202e" not in answer.text
            assert engine.counts() == before

    def test_an_old_preview_is_not_acted_on(self, engine: Engine, web: Web) -> None:
        """Two people refund: the second sees the state of now, and acts on that or not at all."""
        customer, invoice = paid(engine)
        path = f"/invoices/{invoice['id']}/refund"
        with browsing(web, person(engine, Role.FINANCE), person(engine)) as [one, other]:
            form = hidden(one.send(path, {"amount": "20000", "reason": "one"}).text)
            confirmed(other, path, amount="15000", reason="other")
            answer = one.send(path, form)
            assert answer.status_code == 409
            said = text_of(answer.text)
            assert "Something has changed since you read this; nothing was done." in said
            assert "Kept of this invoice Rp 35,000 Rp 15,000 afterwards" in said
            assert [each["amount"] for each in engine.refunds(customer)] == [15_000]
            assert one.send(path, hidden(answer.text)).status_code == 303
        assert sorted(each["amount"] for each in engine.refunds(customer)) == [15_000, 20_000]

    def test_a_double_click_acts_once(self, engine: Engine, web: Web) -> None:
        """Two confirmations at the same time lead to the page, and one refund is made."""
        customer, invoice = paid(engine)
        path = f"/invoices/{invoice['id']}/refund"
        with (
            browsing(web, person(engine)) as [browser],
            ThreadPoolExecutor(max_workers=4) as clicks,
        ):
            form = hidden(browser.send(path, {"amount": "5000", "reason": "a"}).text)
            sent = [clicks.submit(browser.send, path, form) for _ in range(4)]
            assert [each.result().status_code for each in sent] == [303] * 4
        assert [each["amount"] for each in engine.refunds(customer)] == [5_000]

    def test_an_invented_confirmation_does_nothing(self, engine: Engine, web: Web) -> None:
        """Without a preview of this console there is only a preview."""
        customer, invoice = paid(engine)
        path = f"/invoices/{invoice['id']}/refund"
        with browsing(web, person(engine)) as [browser]:
            for key, seen in (("x", "1"), (str(uuid4()), ""), (str(uuid4()), "0"), ("'", "-1")):
                form = {"amount": "5", "reason": "a", "key": key, "seen": seen}
                assert browser.send(path, form).status_code == 409
        assert engine.refunds(customer) == []

    def test_a_key_is_of_one_action(self, engine: Engine, web: Web) -> None:
        """The key of a preview with another amount is refused; money moves once."""
        customer, invoice = paid(engine)
        path = f"/invoices/{invoice['id']}/refund"
        with browsing(web, person(engine)) as [browser]:
            form = hidden(browser.send(path, {"amount": "20000", "reason": "one"}).text)
            assert browser.send(path, form).status_code == 303
            answer = browser.send(path, form | {"amount": "10000"})
            assert answer.status_code in {409, 422}
        assert [each["amount"] for each in engine.refunds(customer)] == [20_000]


class TestRetryAndVoid:
    """Attempt an invoice now, or give it up."""

    def owed(self, engine: Engine) -> Row:
        """An invoice that was declined."""
        _customer, subscription = engine.begun(amount=50_000, cash=60_000)
        engine.run()
        engine.advance(timedelta(days=28))
        return engine.invoices(subscription)[-1]

    def test_a_retry_is_previewed_and_planned(self, engine: Engine, web: Web) -> None:
        """The preview asks for the reason; the invoice is due at once."""
        invoice = self.owed(engine)
        path = f"/invoices/{invoice['id']}/retry"
        with browsing(web, person(engine, Role.SUPPORT, "Ani S")) as [browser]:
            page = browser.page(path)
            assert "To be charged from the wallet Rp 50,000" in text_of(page)
            assert browser.send(path, hidden(page) | {"reason": ""}).status_code == 422
            form = hidden(page) | {"reason": "topped up"}
            for _ in range(2):
                assert browser.send(path, form).headers["Location"].endswith("?done=retry")
        [told] = engine.told("invoice.retry_requested")
        assert (told["actor"], told["reason"]) == ("Ani S", "topped up")
        assert engine.invoices(invoice["subscription_id"])[-1]["next_attempt_at"] == engine.now

    def test_a_void_invoice_is_owed_no_more(self, engine: Engine, web: Web) -> None:
        """The preview says the amount and the subscription's state; a second one is refused."""
        invoice = self.owed(engine)
        path = f"/invoices/{invoice['id']}/void"
        with browsing(web, person(engine, Role.FINANCE)) as [browser]:
            page = browser.page(path)
            said = text_of(page)
            assert "Is not owed any more Rp 50,000" in said
            assert "Status past due active" in said
            assert browser.send(path, hidden(page) | {"reason": "goodwill"}).status_code == 303
            said = text_of(browser.page(f"/invoices/{invoice['id']}?done=void"))
            assert "nothing is owed. goodwill" in said
            answer = browser.open(path)
            assert answer.status_code == 409
            assert "is void already" in text_of(answer.text)

    def test_an_invoice_that_was_voided_meanwhile_is_shown(self, engine: Engine, web: Web) -> None:
        """409, with the invoice as it is now."""
        invoice = self.owed(engine)
        path = f"/invoices/{invoice['id']}/retry"
        with browsing(web, person(engine)) as [browser]:
            page = browser.page(path)
            invoice_actions.void_invoice(engine.context, invoice["id"], OPERATOR)
            answer = browser.send(path, hidden(page) | {"reason": "topped up"})
            assert answer.status_code == 409
            assert "not open: nothing is owed" in text_of(answer.text)
            assert "It is void since" in text_of(answer.text)


class TestResolve:
    """Set the outcome of a charge that the gateway does not know."""

    def lost(self, engine: Engine, *, moved: bool) -> tuple[Row, str]:
        """An unknown charge, old enough, and the address at which its outcome is set."""
        customer, subscription = engine.begun(every="1 year")
        engine.script("drop_after" if moved else "drop_before", customer)
        engine.run()
        engine.set_clock(engine.now + timedelta(hours=1))
        [charge] = engine.charges(subscription)
        return charge, f"/invoices/{charge['invoice_id']}/charges/{charge['id']}/resolve"

    def test_not_paid_with_a_proof(self, engine: Engine, web: Web) -> None:
        """The reason carries the reference; the preview warns, and asks the gateway nothing."""
        charge, path = self.lost(engine, moved=False)
        form = {"outcome": "not_paid", "reference": "DOKU-4711", "reason": "their statement"}
        with browsing(web, person(engine, Role.FINANCE, "Dewi")) as [browser]:
            page = browser.page(f"/invoices/{charge['invoice_id']}")
            assert f"The outcome of charge {charge['gateway_number']} is not known." in (
                text_of(page)
            )
            assert f'href="/console{path}"' in page
            answer = browser.send(path, form)
            said = text_of(answer.text)
            assert "The charge counts as declined." in said
            assert f"Amount of the charge Rp {charge['amount']:,}" in said
            for _ in range(2):
                done = browser.send(path, form | hidden(answer.text))
                assert done.headers["Location"].endswith("?done=resolve")
            assert "set by a person on" in text_of(
                browser.page(f"/invoices/{charge['invoice_id']}")
            )
        [told] = engine.told("charge.declined")
        assert (told["actor"], told["reason"]) == ("Dewi", "their statement (proof: DOKU-4711)")

    def test_the_gateways_word_goes_first(self, engine: Engine, web: Web) -> None:
        """Said to be not paid, and paid at the gateway: it is paid."""
        charge, path = self.lost(engine, moved=True)
        with browsing(web, person(engine)) as [browser]:
            confirmed(browser, path, outcome="not_paid", reference="x", reason="a")
            said = text_of(browser.page(f"/invoices/{charge['invoice_id']}"))
            assert "It was paid on" in said
            again = confirmed(browser, path, outcome="paid", reference="x", reason="a")
            assert again.status_code == 409
            assert "only an open charge can be resolved" in text_of(again.text)

    def test_a_wrong_value_is_at_its_field(self, engine: Engine, web: Web) -> None:
        """An outcome needs a reference, and both together are one reason."""
        charge, path = self.lost(engine, moved=False)
        wrong = (
            ({"outcome": "perhaps", "reference": "x", "reason": "a"}, "outcome"),
            ({"reference": "x", "reason": "a"}, "outcome"),
            ({"outcome": "paid", "reference": "", "reason": "a"}, "reference"),
            ({"outcome": "paid", "reference": "x" * 100, "reason": "r" * 200}, "reason"),
        )
        with browsing(web, person(engine)) as [browser]:
            for form, field in wrong:
                answer = browser.send(path, form)
                assert answer.status_code == 422
                assert f'id="about-{field}"' in answer.text
            other = f"/invoices/{charge['invoice_id']}/charges/{uuid4()}/resolve"
            assert browser.open(other).status_code == 404
        assert engine.told("charge.declined") == []
        engine.run()
