"""The console: every number of Now, Attention and Ahead equals the rows, on a random past."""

import random
import re
from contextlib import suppress
from datetime import timedelta
from html import unescape
from uuid import UUID

import pytest

from billing.domain.errors import BillingError
from billing.domain.events import OPERATOR
from billing.services.money import refunding
from billing.services.operating import counting_ahead, held_rows
from billing.services.operating.held_rows import Kind
from billing.services.reading import ahead, auditing, forecasting
from billing.services.reading import attention as attentions
from billing.services.reading.now import read
from billing.services.subscriptions import canceling, pausing
from billing.store.queries import attention
from tests.integration.console import Browser, browsing, person, text_of
from tests.integration.engine import Engine
from tests.integration.web import Web

SEEDS = (1, 2)
DAY = timedelta(days=1)


def lived(engine: Engine, seed: int) -> None:
    """Some weeks with customers who pay, do not pay, have no wallet, leave, pause, get back."""
    chance = random.Random(seed)
    plans = [
        engine.plan("P", every="1 week", amount=50_000, retries="1d 1d"),
        engine.plan("Q", every="1 month", amount=70_000, on_exhausted="unpaid", retries="1d"),
    ]
    subscriptions: list[UUID] = []
    for _ in range(chance.randint(5, 8)):
        linked = chance.random() < 0.8
        customer = engine.customer(linked=linked, cash=chance.choice([0, 60_000, 10_000_000]))
        subscriptions.append(engine.subscribe(customer, chance.choice(plans)))
        if linked and chance.random() < 0.4:
            engine.script(chance.choice(["drop_after", "http_500", "failed"]), customer)
    for _ in range(3):
        engine.run()
        engine.advance(chance.randint(1, 5) * DAY)
        act(engine, chance, chance.choice(subscriptions))
    today(engine)
    held_rows.set_aside(engine.context, Kind.SUBSCRIPTION, subscriptions[0], ValueError("bad"))
    engine.audited = False  # dead ends are meant here


def today(engine: Engine) -> None:
    """Something of each kind on the last day: paid, declined, unsent, unresolved, given back."""
    engine.no_more_scripts()
    engine.plan("H", every=None, cron="0 */3 * * *", amount=20_000)
    scripts = {"rich": None, "poor": None, "unsent": "turn_away", "unknown": "drop_after"}
    made = {}
    for name, script in scripts.items():
        customer = engine.customer(cash=0 if name == "poor" else 1_000_000)
        made[name] = engine.subscribe(customer, "H")
        if script:
            engine.script(script, customer)
            engine.script("drop_before", customer, "status", times=None)
    engine.run()
    [invoice] = engine.invoices(made["rich"])
    refunding.refund_invoice(engine.context, invoice["id"], 5_000, OPERATOR)
    engine.run()
    refunding.refund_invoice(engine.context, invoice["id"], 1_000, OPERATOR)
    engine.subscribe(engine.customer(), "P")
    engine.tick(["open_periods"])
    engine.set_clock(engine.now + timedelta(hours=4))


def act(engine: Engine, chance: random.Random, subscription: UUID) -> None:
    """One decision of an operator; what is refused changes nothing."""
    deeds = [
        lambda: canceling.cancel(engine.context, subscription, OPERATOR),
        lambda: pausing.pause(engine.context, subscription, OPERATOR),
        lambda: refunding.refund_invoice(
            engine.context, engine.invoices(subscription)[0]["id"], 10_000, OPERATOR
        ),
    ]
    with suppress(BillingError, IndexError):
        chance.choice(deeds)()


def listed(browser: Browser, path: str) -> int:
    """How many rows a list has, on all of its pages."""
    count = 0
    while path:
        page = browser.page(path)
        table = page.rpartition("<tbody>")[2]
        count += table.count("<tr><td>")
        following = re.search(r'rel="next" href="/console([^"]*)"', page)
        path = unescape(following[1]) if following else ""
    return count


FIGURES = {
    "Charged": """SELECT count(DISTINCT charge_id) FROM events
        WHERE kind = 'charge.succeeded' AND at >= :day""",
    "Refunded": """SELECT count(*) FROM refunds WHERE status = 'succeeded'
        AND settled_at >= :day""",
    "Declined": """SELECT count(DISTINCT charge_id) FROM events
        WHERE kind = 'charge.declined' AND at >= :day""",
    "Unsent": """SELECT count(DISTINCT charge_id) FROM events
        WHERE kind = 'charge.unsent' AND at >= :day""",
    "Due and uncharged": """SELECT count(*) FROM invoices
        WHERE next_attempt_at <= :now AND held_at IS NULL""",
    "Periods to open": """SELECT count(*) FROM subscriptions WHERE next_due_at <= :now
        AND status IN ('trialing', 'active', 'past_due') AND held_at IS NULL
        AND next_due_at < coalesce(cancel_at, 'infinity')
        AND next_due_at < coalesce(pause_at, 'infinity')""",
    "Unresolved charges": """SELECT count(*) FROM charges
        WHERE status IN ('pending', 'in_flight', 'unknown')""",
    "Unsettled refunds": """SELECT count(*) FROM refunds
        WHERE status IN ('requested', 'in_flight', 'unknown')""",
    "Webhook deliveries to send": """SELECT count(*) FROM webhook_deliveries
        WHERE status = 'pending'""",
}
"""What each figure of Now counts, written down a second time."""


@pytest.mark.parametrize("seed", SEEDS)
def test_every_number_equals_the_rows(
    engine: Engine, web: Web, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """On Now, Attention and Ahead; and each number that is a link leads to as many rows."""
    lived(engine, seed)
    situation = read(engine.context)
    with browsing(web, person(engine)) as [browser]:
        now = browser.page("/now?part=live")
        figures = re.findall(r'<dt>([^<]+)</dt>\s*<dd><a href="/console([^"]+)">([^<]+)</a></dd>'
                             r'(?:\s*<dd class="quiet">([^<]*)</dd>)?', now)  # fmt: skip
        assert {name for name, *_ in figures} == set(FIGURES)
        for name, path, value, note in figures:
            number = value if not value.startswith("Rp") else note.partition(" ")[0]
            wanted = engine.one(FIGURES[name], now=engine.now, day=situation.day_begins_at)
            assert int(number) == wanted, name
            assert listed(browser, unescape(path)) == wanted, name

        whole = browser.page("/attention")
        counts = re.findall(r'<td class="number"><a href="/console(/attention[^"]+)">(\d+)<', whole)
        assert len(counts) == len(situation.counts) > 0
        for path, number in counts:
            assert listed(browser, unescape(path)) == int(number), path
        ages = attentions.ages(engine.now, engine.context.settings.tick_seconds)
        with engine.context.database.transaction() as connection:
            items = attention.items(connection, ages, limit=1_000)
        assert sum(int(number) for _, number in counts) == len(items)

        check_ahead(engine, browser)
        monkeypatch.setattr(ahead, "LINES_MAX", 0)
        check_ahead_totals(engine, browser)


def check_ahead(engine: Engine, browser: Browser) -> None:
    """The sums of the days are those of the forecast's lines, and each day has its charges."""
    page = browser.page("/ahead")
    found = ahead.read(engine.context)
    until = engine.now + timedelta(days=ahead.DAYS + 1)
    lines = [
        each
        for each in forecasting.forecast(engine.context.database, engine.now, until)
        if each.due_at.date() <= found.last_on
    ]
    assert found.total.charges + found.total.waiting == len(lines)
    assert found.total.amount + found.total.waiting_amount == sum(each.amount for each in lines)
    said = text_of(page)
    assert f"Will be charged Rp {found.total.amount:,}" in said
    assert f"Will wait for a wallet Rp {found.total.waiting_amount:,}" in said
    for sums in (found.days, found.plans):
        totals = [sum(each[place] for each in sums.values()) for place in range(4)]
        assert totals == list(found.total)
    for on in list(found.days)[:3]:
        of_day = [each for each in lines if each.due_at.date() == on]
        assert browser.page(f"/ahead?day={on}").count("/console/subscriptions/") == len(of_day)


def check_ahead_totals(engine: Engine, browser: Browser) -> None:
    """What the tick added up: each count leads to as many rows, and the audit finds none wrong."""
    assert counting_ahead.count(engine.context)
    page = browser.page("/ahead")
    links = re.findall(r'<td class="number"><a href="/console([^"]+)">(\d+)</a>', page)
    assert sum(int(number) for _, number in links) > 0
    for path, number in links:
        assert listed(browser, unescape(path)) == int(number), path
    found = ahead.read(engine.context)
    assert found.is_cut
    assert found.total == ahead.total(found.days.values()) == ahead.total(found.plans.values())
    names = {each.name for each in auditing.broken(engine.context)}
    assert "the totals of each day ahead are those of the rows" not in names
