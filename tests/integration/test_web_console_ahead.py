"""The console: what will be charged by day, as bars and as numbers."""

import re
from datetime import date, timedelta
from html import unescape
from unittest.mock import Mock

import pytest

from billing.domain.events import OPERATOR
from billing.domain.people import Role
from billing.services.operating import counting_ahead
from billing.services.reading import ahead, auditing, forecasting
from billing.services.reading.results import ForecastLine
from billing.services.subscriptions import canceling, changing, pausing
from billing.store.queries import ahead as rows
from billing.web.console.pages import ahead as pages
from tests.integration.console import browsing, person, text_of
from tests.integration.engine import Engine
from tests.integration.web import Web
from tests.waits import wait_until

DAY = timedelta(days=1)
BY_DAY = """
    SELECT due::date AS day, count(*) AS charges, sum(amount)::bigint AS amount FROM (
        SELECT s.amount, (p.anchor + n * interval '1 week') AT TIME ZONE 'Asia/Jakarta'
            AT TIME ZONE 'Asia/Jakarta' AS due
        FROM subscriptions s
        CROSS JOIN LATERAL (SELECT s.next_due_at AT TIME ZONE 'Asia/Jakarta' AS anchor) AS p
        CROSS JOIN generate_series(0, 10) AS n
        WHERE s.status = 'active') AS periods
    WHERE due < CAST(:end AS timestamp) GROUP BY 1 ORDER BY 1
"""
"""The periods of weekly subscriptions without a time of summer."""


def test_each_number_is_that_of_the_rows(engine: Engine, web: Web) -> None:
    """By day and by plan, with a link to the charges of the day."""
    engine.plan(every="1 week", amount=50_000)
    engine.plan("Q", every="1 week", amount=70_000)
    for number in range(3):
        engine.subscribe(engine.customer(), "Q" if number == 2 else "P")
        engine.run()
        engine.advance(timedelta(days=1))
    end = engine.now.date() + timedelta(days=ahead.DAYS)
    rows = engine.rows(BY_DAY, end=end)
    assert len(rows) > 20
    with browsing(web, person(engine, Role.VIEWER)) as [browser]:
        page = browser.page("/ahead")
        shown = re.findall(r'<tr id="day-([\d-]+)">.*?</tr>', page)
        assert shown == [str(row["day"]) for row in rows]
        for row in rows:
            [line] = re.findall(rf'<tr id="day-{row["day"]}">(.*?)</tr>', page)
            said = text_of(line)
            assert said == f"{row['day']} {row['charges']} Rp {row['amount']:,} 0 Rp 0"
        total = sum(row["amount"] for row in rows)
        assert f"Will be charged Rp {total:,} {sum(r['charges'] for r in rows)} charges" in (
            text_of(page)
        )
        assert page.count('<rect class="made"') == len(rows)

        day = rows[0]["day"]
        of_day = browser.page(f"/ahead?day={day}")
        assert of_day.count("/console/subscriptions/") == rows[0]["charges"]
        only = text_of(browser.page("/ahead?plan=Q"))
        weeks = sum(1 for row in rows if row["amount"] == 70_000)
        assert f"Will be charged Rp {weeks * 70_000:,} {weeks} charges" in only


def test_wallets_that_will_not_work_are_listed(engine: Engine, web: Web) -> None:
    """A token that ends before the charge; the sums of what will wait are apart."""
    customer, _ = engine.begun(every="1 week", amount=50_000)
    engine.run()
    engine.execute("UPDATE wallets SET expires_at = :at", at=engine.now + timedelta(days=10))
    with browsing(web, person(engine)) as [browser]:
        page = browser.page("/ahead")
        said = text_of(page)
        assert "Will be charged Rp 50,000 1 charge" in said
        assert "Will wait for a wallet Rp 350,000 7 charges" in said
        assert f"/console/customers/{customer}" in page
        table = said.partition("Wallets that will not work by then")[2]
        assert re.search(rf"{customer} 20\S+ \S+ \S+ 7 Rp 350,000", table)


def test_an_empty_engine_and_a_wrong_day_are_said_plainly(engine: Engine, web: Web) -> None:
    """No bars without charges; 422 and one line for a text that is no date."""
    with browsing(web, person(engine)) as [browser]:
        page = browser.page("/ahead")
        assert "Nothing will be charged in these days." in text_of(page)
        assert "<svg" not in page
        for wrong in ("tomorrow", "<script>alert(1)</script>", "2026-02-30"):
            answer = browser.open(f"/ahead?day={wrong}")
            assert answer.status_code == 422
            assert "This is no date" in answer.text
            assert "<script>alert" not in answer.text
        assert browser.page("/ahead?day=2099-01-01&plan=nothing")


def first_lines(engine: Engine) -> list[ForecastLine]:
    """The first charge of each subscription, and of each that is retried."""
    lines = forecasting.forecast(engine.context.database, engine.now, engine.now + 59 * DAY)
    first: dict[object, ForecastLine] = {}
    for line in lines:
        first.setdefault((line.subscription, line.cause == "retry"), line)
    return list(first.values())


def test_too_many_charges_are_added_up_by_the_next_ones(
    engine: Engine, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page says what its numbers are and as of when; each has a link to exactly its rows."""
    engine.plan("D", every="1 day", amount=1_000)
    engine.plan("W", every="1 week", amount=70_000)
    for code, linked in (("D", True), ("W", True), ("W", False)):
        engine.subscribe(engine.customer(linked=linked), code)
    poor = engine.customer(cash=0)
    engine.subscribe(poor, "W")
    engine.run()
    expected = ahead.by_day(first_lines(engine))
    monkeypatch.setattr(ahead, "LINES_MAX", 2)
    with browsing(web, person(engine, Role.VIEWER)) as [browser]:
        assert "Nothing is added up yet" in text_of(browser.page("/ahead"))
        assert counting_ahead.count(engine.context)

        found = ahead.read(engine.context)

        assert found.is_cut
        assert {on: sums for on, sums in found.days.items() if sums != ahead.NOTHING} == expected
        assert found.total == ahead.total(expected.values())
        assert found.tomorrow == expected[date(2026, 2, 1)]
        assert found.plans["D"].charges == 1
        assert ahead.read(engine.context, "D").total == ahead.Sum(1, 1_000, 0, 0)
        for address in ("/ahead", "/ahead?plan=W", "/ahead?day=2026-02-07"):
            page = browser.page(address)
            said = text_of(page)
            assert "only the next charge of each subscription" in said
            assert "as of 2026-01-31 09:00" in said
            links = re.findall(r'<td class="number"><a href="/console([^"]+)">(\d+)</a>', page)
            assert links
            for path, number in links:
                rows = browser.page(unescape(path)).rpartition("<tbody>")[2].count("<tr><td>")
                assert rows == int(number), path
        said = text_of(browser.page("/ahead?day=2026-02-01"))
        assert "By plan, only the day 2026-02-01." in said
        assert "By plan Plan" in said
        assert "W 2" not in said.partition("By plan Plan")[2].partition("By day")[0]
        assert "Tomorrow Rp 1,000 1 charge" in said
        assert "A later charge of the same subscription is missing here" in said
        assert "billing forecast --by day --until" in said


@pytest.mark.parametrize("cron", ["0 */12 * * *", "0 9,10 * * *"])
def test_tomorrow_has_no_number_when_later_charges_are_missing(
    engine: Engine, web: Web, monkeypatch: pytest.MonkeyPatch, cron: str
) -> None:
    """A subscription is charged twice by then, and only its next charge is counted."""
    engine.plan("W", every="1 week", amount=70_000)
    engine.subscribe(engine.customer(), "W")
    engine.plan("H", amount=1_000, cron=cron)
    engine.subscribe(engine.customer(), "H")
    engine.run()
    assert counting_ahead.count(engine.context)
    monkeypatch.setattr(ahead, "LINES_MAX", 1)

    assert ahead.read(engine.context).tomorrow is None
    assert ahead.read(engine.context, "W").tomorrow == ahead.NOTHING
    with browsing(web, person(engine, Role.VIEWER)) as [browser]:
        said = text_of(browser.page("/ahead"))
    assert "Tomorrow – not added up here" in said
    assert "billing forecast --by day --until 2026-02-01" in said


def test_a_daily_plan_is_counted_for_tomorrow_once_today_is_charged(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its charge of today, that of tomorrow is missing in the count."""
    engine.plan("D", every="1 day", amount=1_000)
    engine.subscribe(engine.customer(), "D", start=engine.now + timedelta(hours=1))
    monkeypatch.setattr(ahead, "LINES_MAX", 0)
    assert counting_ahead.count(engine.context)
    assert ahead.read(engine.context).tomorrow is None
    engine.advance(timedelta(hours=2))
    assert counting_ahead.count(engine.context)
    assert ahead.read(engine.context).tomorrow == ahead.Sum(1, 1_000, 0, 0)


def test_tomorrow_has_no_number_when_a_late_period_is_followed_by_one(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an outage: a weekly period is six days late, and the next one begins tomorrow."""
    engine.plan("W", every="1 week", amount=70_000)
    engine.subscribe(engine.customer(), "W")
    engine.run()
    engine.set_clock(engine.now + 13 * DAY)
    assert ahead.read(engine.context).tomorrow == ahead.Sum(1, 70_000, 0, 0)
    assert counting_ahead.count(engine.context)
    monkeypatch.setattr(ahead, "LINES_MAX", 0)
    assert ahead.read(engine.context).tomorrow is None
    engine.run()


def test_a_count_from_before_the_first_subscription_promises_nothing(
    engine: Engine, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many charges are ahead that the count did not see: the page does not say that none are."""
    assert counting_ahead.count(engine.context)
    engine.plan("D", every="1 day")
    engine.subscribe(engine.customer(), "D")
    monkeypatch.setattr(ahead, "LINES_MAX", 2)
    with browsing(web, person(engine, Role.VIEWER)) as [browser]:
        said = text_of(browser.page("/ahead"))
    assert "When this was added up, no charge was ahead." in said
    assert "Nothing will be charged" not in said


def test_charges_that_will_not_be_made_are_not_added_up(engine: Engine) -> None:
    """As in the forecast: what ends or pauses before, a term that is complete, a planned change."""
    engine.plan("W", every="1 week", amount=70_000)
    engine.plan("X", every="1 week", amount=90_000)
    engine.plan("T", every="1 week", amount=10_000, cycles=1)
    plain, ends, rests, turns = (engine.subscribe(engine.customer(), "W") for _ in range(4))
    engine.subscribe(engine.customer(), "T")
    gone = engine.customer()
    engine.subscribe(gone, "W")
    engine.run()
    canceling.cancel(engine.context, ends, OPERATOR, at="period-end")
    pausing.pause(engine.context, rests, OPERATOR, at="period-end")
    changing.change(engine.context, turns, OPERATOR, plan_code="X", at="period-end")
    engine.execute("UPDATE wallets SET expires_at = :at WHERE customer_id = :id",
                   at=engine.now + 5 * DAY, id=gone)  # fmt: skip
    expected = ahead.by_day(first_lines(engine))
    assert ahead.total(expected.values()) == ahead.Sum(2, 160_000, 1, 70_000)

    assert counting_ahead.count(engine.context)

    with engine.context.database.transaction() as connection:
        totals, unlinked = rows.totals(connection), rows.unlinked(connection)
    assert sum(each.charges for each in totals if not each.waits) == 2
    assert sum(each.amount for each in totals if not each.waits) == 160_000
    assert [(each.charges, each.amount) for each in totals if each.waits] == [(1, 70_000)]
    assert [each.customer_id for each in unlinked] == [gone]
    assert {each.plan_code for each in totals} == {"W"}  # the present plan, of the change too
    assert plain != turns


def test_a_count_is_made_seldom_and_by_one_process(
    engine: Engine, other: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most once a minute, and a hundred times as seldom as it takes; two never count at once."""
    engine.begun()
    assert counting_ahead.count_when_due(engine.context)
    assert not counting_ahead.count_when_due(engine.context)
    engine.execute("UPDATE ahead_state SET counted_at = now() - interval '70 seconds'")
    with engine.context.database.transaction() as connection:
        assert rows.be_alone(connection)
        assert not counting_ahead.count_when_due(other.context)
    engine.execute("UPDATE ahead_state SET took_seconds = 2")
    assert not counting_ahead.count_when_due(engine.context)
    engine.execute("UPDATE ahead_state SET counted_at = now() - interval '201 seconds'")
    assert counting_ahead.count_when_due(engine.context)
    engine.execute("UPDATE ahead_state SET counted_at = now() + interval '1 hour'")
    assert counting_ahead.count_when_due(engine.context)


def test_a_count_that_fails_waits_as_long_as_another_one(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a count that takes too long costs no more; there are no totals before one succeeds."""
    engine.begun()
    with monkeypatch.context() as broken:
        broken.setattr(rows, "count", Mock(side_effect=TimeoutError("too long")))
        with pytest.raises(TimeoutError):
            counting_ahead.count_when_due(engine.context)
        assert not counting_ahead.count_when_due(engine.context)
        with engine.context.database.transaction() as connection:
            assert rows.state(connection) is None
    assert auditing.broken(engine.context) == []
    engine.execute("UPDATE ahead_state SET counted_at = now() - interval '61 seconds'")
    assert counting_ahead.count_when_due(engine.context)


def test_the_audit_compares_what_was_added_up_with_the_rows(engine: Engine) -> None:
    """As long as nothing has changed since; a change is no finding, a wrong total is one."""
    _customer, subscription = engine.begun(every="1 week", amount=50_000)
    engine.run()

    def is_comparable() -> bool:
        """Other tests' databases are on the same server: nothing may be written meanwhile."""
        assert counting_ahead.count(engine.context)
        return engine.one("SELECT event_id FROM ahead_state") is not None

    wait_until(is_comparable, "no other transaction writes")
    assert auditing.broken(engine.context) == []
    engine.execute("UPDATE ahead_totals SET amount = amount + 1")
    [finding] = auditing.broken(engine.context)
    assert "2026-02-07 P period: counted 1 over 50001, there are 1 over 50000" in finding.detail
    canceling.cancel(engine.context, subscription, OPERATOR)
    assert auditing.broken(engine.context) == []


def test_bars_fit_into_the_picture() -> None:
    """The highest fills it, the smallest is seen, and nothing sticks out."""
    sums = {
        date(2026, 2, 1): ahead.Sum(1, 10**13, 1, 10**13),
        date(2026, 2, 2): ahead.Sum(1, 1, 1, 1),
        date(2026, 2, 3): ahead.Sum(0, 0, 0, 0),
    }
    high, low, none = pages.bars(sums)
    assert (high.height, high.waiting_height, high.waiting_top) == (60, 60, 0)
    assert (low.height, low.waiting_height) == (1, 1)
    assert (none.height, none.waiting_height) == (0, 0)
    assert all(bar.top + bar.height == pages.HEIGHT for bar in (high, low, none))
