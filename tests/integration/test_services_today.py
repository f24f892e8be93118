"""Today by the hour: what was charged, declined and refunded, and the same hours of other days."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from billing.domain.events import OPERATOR
from billing.services.money import refunding
from billing.services.operating import metrics
from billing.services.reading import auditing, today
from tests.integration.command import Billing
from tests.integration.console import browsing, person, text_of
from tests.integration.engine import START, Engine
from tests.integration.web import Web

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def by_hour(found: today.Today, name: str) -> dict[str, Any]:
    """The hours in which something happened, as in Jakarta."""
    return {
        f"{hour.begins_at:%H}": getattr(hour, name) for hour in found.hours if getattr(hour, name)
    }


def test_hours_are_those_of_the_rows(engine: Engine) -> None:
    """Daily charges, one declined and one refunded: each in its hour, beside yesterday."""
    customer, subscription = engine.begun(every="1 day", amount=40_000)
    engine.plan("Q", every="1 day", amount=25_000)
    engine.subscribe(engine.customer(), "Q")
    engine.run()
    engine.advance(START + DAY)
    engine.script("decline", customer, times=1)
    engine.advance(START + 2 * DAY + HOUR / 2)
    refunding.refund_invoice(
        engine.context, engine.invoices(subscription)[0]["id"], 15_000, OPERATOR
    )
    engine.advance(START + 2 * DAY + 3 * HOUR)

    found = today.read(engine.context)

    assert [f"{hour.begins_at:%H}" for hour in found.hours] == [f"{n:02}" for n in range(13)]
    assert by_hour(found, "amount") == {"09": 25_000}
    assert by_hour(found, "charges_count") == {"09": 1}
    assert by_hour(found, "declines_count") == {"09": 1}
    assert by_hour(found, "amount_refunded") == {"09": 15_000}
    assert by_hour(found, "amount_yesterday") == {"09": 65_000}
    assert (found.amount, found.amount_yesterday, found.amount_week_ago) == (25_000, 65_000, 0)
    assert found.uncounted_count == 0
    assert auditing.audit(engine.context) == []


def test_the_rest_of_the_other_days_is_counted_apart(engine: Engine) -> None:
    """At eight in the morning nothing of yesterday's nine o'clock is compared, but it is known."""
    engine.begun(every="1 week")
    engine.run()
    engine.set_clock(START + 7 * DAY - HOUR)

    found = today.read(engine.context)

    assert (found.amount_week_ago, found.amount_week_ago_in_all) == (0, 50_000)
    assert (found.amount_yesterday, found.amount_yesterday_in_all) == (0, 0)


def test_an_event_is_counted_once_however_often_it_is_read(engine: Engine) -> None:
    """Readers of today and scrapes of the metrics count from one position."""
    engine.begun()
    engine.run()

    for _ in range(2):
        metrics.read(engine.context)
        assert today.read(engine.context).amount == 50_000

    assert engine.one("SELECT sum(events) FROM hourly_totals WHERE name = 'charge.succeeded'") == 1


def test_today_is_printed_hour_by_hour(
    billing: Billing, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line an hour that has anything, in 80 columns, and all hours for a program."""
    monkeypatch.setenv("COLUMNS", "80")
    engine.begun()
    engine.run()

    found = billing("today")
    said = billing("today", people=True)

    assert sum(hour["amount"] for hour in found["hours"]) == found["amount"] == 50_000
    assert datetime.fromisoformat(found["hours"][9]["begins_at"]) == START
    assert [line.split() for line in said.splitlines() if line.startswith("0")] == [
        ["09:00", "1", "50,000", "0", "0", "0", "0"]
    ]
    assert "hours without anything are left out" in said
    assert max(map(len, said.splitlines()[:4])) <= 80
    assert "charged until now: Rp 50,000; yesterday Rp 0 of Rp 0" in said


def test_the_first_page_of_the_console_shows_the_hours(engine: Engine, web: Web) -> None:
    """The sentence, the bars and the table say the same as the rows, as far as they are counted."""
    engine.begun()
    engine.run()
    with browsing(web, person(engine)) as [browser]:
        before = text_of(browser.page("/now"))
        count = int(engine.one("SELECT count(*) FROM events"))
        metrics.count(engine.context)
        page = browser.page("/now")
    assert "Charged until now: Rp 0" in before
    assert f"{count} events are not counted yet." in before
    assert "not counted yet" not in page

    said = text_of(page)
    assert "Charged until now: Rp 50,000; yesterday until this hour Rp 0, a week ago Rp 0." in said
    assert page.count('<rect class="made"') == 1
    [row] = [line for line in page.splitlines() if "09:00:00" in line and "<td" in line]
    assert text_of(row).split("Rp")[1].strip() == "50,000 0"
