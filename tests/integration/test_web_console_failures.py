"""The console: why payments fail, whether asking again helps; each number is that of the rows."""

import re
from datetime import timedelta
from html import unescape

import pytest

from billing.domain.events import OPERATOR
from billing.domain.filters import ChargeFilter, Counted
from billing.domain.paging import Page
from billing.domain.people import Role
from billing.services.operating import invoice_actions, metrics
from billing.services.reading import auditing, failures, filtered
from billing.services.subscriptions import canceling
from billing.services.wallets import erasing
from billing.web.console import policies
from tests.integration.console import browsing, person, text_of
from tests.integration.engine import Engine
from tests.integration.test_services_console_plans import plans, scanned
from tests.integration.test_web_console_numbers import listed
from tests.integration.test_web_console_numbers import lived as random_past
from tests.integration.web import Web


@pytest.fixture
def lived(engine: Engine) -> Engine:
    """Four days: one pays, one pays after a decline, and one never does."""
    engine.plan("P", amount=50_000, retries="1d 1d", on_exhausted="unpaid")
    engine.subscribe(engine.customer(), "P")
    late, poor = engine.customer(cash=0), engine.customer(cash=0)
    for each in (late, poor):
        engine.subscribe(each, "P")
    engine.run()
    engine.put_cash(late, 1_000_000)
    engine.advance(timedelta(days=4))
    metrics.count(engine.context)  # as the tick does
    return engine


def test_each_number_equals_the_rows_and_leads_to_them(lived: Engine, web: Web) -> None:
    """Declines by class, code and day, retries by step, and what became uncollectible."""
    with browsing(web, person(lived, Role.VIEWER)) as [browser]:
        page = browser.page("/failures?days=30")
        links = re.findall(
            r'href="/console(/(?:charges|invoices)\?of=[^"]*)">(\d+)</a>', page
        )  # fmt: skip
        assert len(links) >= 5
        for path, number in links:
            assert listed(browser, unescape(path)) == int(number), path
        said = text_of(page)
    found = failures.read(lived.context, 30)
    count = lived.one("SELECT count(*) FROM charges WHERE status = 'declined'")
    amount = lived.one("SELECT sum(amount) FROM charges WHERE status = 'declined'")
    assert found.declined == (count, amount)
    assert found.charged.events == lived.one(
        "SELECT count(*) FROM charges WHERE status = 'succeeded'"
    )
    assert found.given_up == (1, 50_000)
    assert sum(found.ended.values(), ()) == (1, 50_000)
    assert sum(each.declined.events for each in found.days) == count
    [step] = [each for each in found.steps if each.paid.events]
    assert (step.name, step.tried, step.paid) == ("1", (1, 50_000), (1, 50_000))
    assert "Asking again brought Rp 50,000" in said
    assert "Most often: insufficient funds." in said
    assert found.short.events == lived.one("SELECT count(*) FROM events WHERE kind='invoice.short'")


def test_a_manual_retry_is_no_step(lived: Engine) -> None:
    """It is counted apart; the audit finds the same totals from the events."""
    [invoice] = lived.rows("SELECT id, customer_id FROM invoices WHERE status = 'uncollectible'")
    lived.put_cash(invoice["customer_id"], 1_000_000)
    invoice_actions.retry_invoice(lived.context, invoice["id"], OPERATOR)
    lived.run()
    metrics.count(lived.context)
    found = failures.read(lived.context, 7)
    assert [each.name for each in found.steps][-1] == failures.MANUAL
    assert found.steps[-1].paid == (1, 50_000)
    assert failures.read(lived.context, 90).declined.events >= found.declined.events
    assert auditing.broken(lived.context) == []


def test_the_period_and_the_policies_are_chosen(lived: Engine, web: Web) -> None:
    """What cannot be used is said at its field; the simulation says what it assumes."""
    with browsing(web, person(lived)) as [browser]:
        assert 'aria-current="page">90 days' in browser.page("/failures?days=90")
        assert browser.open("/failures?days=8").status_code == 422
        page = browser.page("/failures?plan=P&steps=1d+1d")
        said = text_of(page)
        for name in ("The plan’s policy", "The same, without reading the balance first",
                     "The standard policy", "Your steps"):  # fmt: skip
            assert name in said
        assert "A model, not your customers" in said
        for query, field in (("plan=none", "plan"), ("plan=P&steps=every+day", "steps"),
                             (f"plan=P&steps={'1d+' * 100}", "steps"),
                             ("plan=" + "x" * 51, "plan")):  # fmt: skip
            answer = browser.open(f"/failures?{query}")
            assert answer.status_code == 422
            assert f'id="wrong-{field}"' in answer.text


def test_without_a_payment_the_page_says_so(engine: Engine, web: Web) -> None:
    """No empty charts, and no share of nothing."""
    with browsing(web, person(engine)) as [browser]:
        said = text_of(browser.page("/failures"))
        assert "No payment was answered in the last 30 days." in said


def test_failures_scan_no_table_that_grows(lived: Engine) -> None:
    """The totals are rows of days; invoices are counted by the index of their kind."""
    found = plans(lived, lambda context: failures.read(context, 90))
    assert 1 <= len(found) <= 9
    assert scanned(found) == []


def test_the_comparison_is_made_once() -> None:
    """The same policies give the same figures, at no cost."""
    terms = policies.Terms("2d 5d", (), None, None, None)
    assert policies.compare(terms, "") is policies.compare(terms, "")


def test_an_erasure_changes_no_number(lived: Engine) -> None:
    """What was declined, and why, is still counted, listed and found by the audit."""
    before = failures.read(lived.context, 7)
    [row] = lived.rows("SELECT customer_id FROM invoices WHERE status = 'uncollectible'")
    customer = row["customer_id"]
    [subscription] = lived.rows(
        "SELECT id FROM subscriptions WHERE customer_id = :customer", customer=customer
    )
    canceling.cancel(lived.context, subscription["id"], OPERATOR, unlink=True)
    lived.run()
    erasing.erase(lived.context, customer, OPERATOR)
    lived.run()
    assert lived.told("customer.erased")
    metrics.count(lived.context)
    after = failures.read(lived.context, 7)
    assert (after.causes, after.ended, after.steps) == (before.causes, before.ended, before.steps)
    first = after.causes[0]
    wanted = ChargeFilter(
        counted=Counted.FAILED, at=after.since, before=after.until, fault=first.fault,
        code=first.code,
    )  # fmt: skip
    found = filtered.read(lived.context.database, wanted, Page(50))
    assert len(found.rows) == first.declines.events


def test_a_random_past_has_the_numbers_of_its_rows(engine: Engine, web: Web) -> None:
    """Each number that is a link leads to as many rows; the totals are those of the charges."""
    random_past(engine, seed=3)
    assert failures.read(engine.context, 90).uncounted_count > 0
    metrics.count(engine.context)
    with browsing(web, person(engine)) as [browser]:
        page = browser.page("/failures?days=90")
        links = re.findall(r'href="/console(/(?:charges|invoices)\?of=[^"]*)">(\d+)</a>', page)
        assert len(links) > 3
        for path, number in links:
            assert listed(browser, unescape(path)) == int(number), path
    found = failures.read(engine.context, 90)
    answered = engine.rows("""SELECT count(*) FILTER (WHERE kind = 'charge.succeeded') AS paid,
        count(*) FILTER (WHERE kind = 'charge.declined') AS declined FROM events""")
    assert [(found.charged.events, found.declined.events)] == [
        (row["paid"], row["declined"]) for row in answered
    ]
    assert sum(each.declines.events for each in found.causes) == found.declined.events
    assert found.given_up.invoices <= sum(each.events for each in found.ended.values())
