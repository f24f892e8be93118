"""`/metrics`: figures that are exact, cheap, and name no customer."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Event

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import text

from billing import bootstrap
from billing.config import Settings
from billing.domain.events import OPERATOR
from billing.services.context import Context
from billing.services.money import refunding
from billing.services.operating import call_times, kill_switch, metrics
from billing.store.queries import engine as engine_rows
from billing.store.queries import metrics as rows
from billing.web import app
from billing.web import metrics as page
from tests import asgi
from tests.integration.engine import Engine
from tests.integration.web import Web, serving
from tests.waits import wait_until

Found = dict[str, float]


def read(shown: str) -> Found:
    """Every sample by its name and labels."""
    found = {}
    for family in text_string_to_metric_families(shown):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def scraped(web: Web) -> Found:
    """What a scraper without a key reads."""
    answer = web.stranger().send("GET", "/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    return read(answer.text)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every scrape reads the database."""
    monkeypatch.setattr(page, "CACHE_SECONDS", 0.0)


@pytest.fixture
def refunded(engine: Engine) -> Engine:
    """An engine with two charges, of which one is partly refunded, and a wallet that is short."""
    paid, _ = engine.begun(amount=50_000)
    engine.plan("Q", amount=20_000)
    engine.subscribe(engine.customer(), "Q")
    engine.subscribe(engine.customer(cash=10), "Q")
    engine.run()
    invoice = engine.one(
        "SELECT id FROM invoices WHERE customer_id = :c AND status = 'paid'", c=paid
    )
    refunding.refund_invoice(engine.context, invoice, 15_000, OPERATOR)
    engine.run()
    return engine


@pytest.mark.usefixtures("fresh")
def test_totals_are_those_of_the_rows(refunded: Engine, redis_url: str) -> None:
    """Charges, declines and rupiah, counted from the feed, equal what the tables say."""
    with serving(refunded, redis_url) as web:
        found = scraped(web)

    assert found["billing_charged_rupiah_total"] == refunded.one(
        "SELECT sum(amount) FROM charges WHERE status = 'succeeded'"
    )
    assert found["billing_refunded_rupiah_total"] == 15_000
    assert found["billing_charges_total{status=succeeded}"] == 2
    assert found["billing_charges_total{status=in_flight}"] == refunded.one(
        "SELECT count(*) FROM charges"
    )
    assert found["billing_metrics_behind_events"] == 0


@pytest.mark.usefixtures("fresh")
def test_a_decline_is_counted_once_under_its_class(engine: Engine, redis_url: str) -> None:
    """A second scrape counts nothing twice, and a second process shows the same."""
    engine.plan(amount=10_000)
    customer = engine.customer()
    engine.script("decline", customer)
    engine.subscribe(customer)
    engine.run()
    declined = engine.one("SELECT count(*) FROM charges WHERE status = 'declined'")

    with serving(engine, redis_url) as one, serving(engine, redis_url) as two:
        first, second, again = scraped(one), scraped(two), scraped(one)

    classes = {name: value for name, value in first.items() if "declines_total" in name}
    assert sum(classes.values()) == declined == 1
    totals = {name for name in first if name.endswith(("_total", "}")) and "_total" in name}
    assert {name: first[name] for name in totals} == {name: again[name] for name in totals}
    assert {name: first[name] for name in totals} == {name: second[name] for name in totals}


def test_scrapes_at_the_same_time_count_each_event_once(refunded: Engine) -> None:
    """Eight threads count; the totals are those of one."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: metrics.count(refunded.context), range(16)))

    totals = {(one.name, one.label): one.total for one in metrics.read(refunded.context).totals}
    assert totals["charges", "succeeded"] == 2
    assert totals["refunded_rupiah", ""] == 15_000


def test_a_long_past_is_counted_over_several_scrapes(
    refunded: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scrape is bounded; how many events are left is a figure of its own."""
    monkeypatch.setattr(metrics, "BATCH", 4)

    left = metrics.count(refunded.context, batches=2)
    assert left > 0
    while left:
        left = metrics.count(refunded.context, batches=2)

    totals = {(one.name, one.label): one.total for one in metrics.read(refunded.context).totals}
    assert totals["charges", "succeeded"] == 2


@pytest.mark.usefixtures("fresh")
def test_stopped_charging_and_overdue_work_are_shown(engine: Engine, redis_url: str) -> None:
    """The kill switch is 1, and the age of the oldest due invoice grows with billing time."""
    engine.plan()
    customer = engine.customer()
    engine.subscribe(customer)
    kill_switch.stop_charging(engine.context, OPERATOR)
    engine.tick(["open_periods"])
    engine.set_clock(engine.now + timedelta(hours=3))

    with serving(engine, redis_url) as web:
        found = scraped(web)

    assert found["billing_charging_stopped"] == 1
    assert found["billing_due_oldest_age_seconds"] >= 3 * 3600
    assert found["billing_charge_oldest_unresolved_age_seconds"] == 0
    assert found["billing_queue_messages{queue=charges}"] == 0
    assert found["billing_redis_up"] == 1


@pytest.mark.usefixtures("fresh")
def test_ticks_findings_and_gateway_calls_are_shown(engine: Engine, redis_url: str) -> None:
    """Heartbeats as Unix time, the last audit's findings, and a histogram for each call."""
    engine.begun()
    engine.run()
    with engine.context.database.transaction() as connection:
        at = engine.now
        engine_rows.beat(connection, "audit", at)
        engine_rows.tick_succeeded(connection, "audit", at)
        rows.record_gauges(connection, {"audit_findings": 3.0}, at)

    with serving(engine, redis_url) as web:
        found = scraped(web)

    assert found["billing_audit_findings"] == 3
    assert found["billing_tick_last_success_timestamp_seconds{tick=audit}"] == at.timestamp()
    name = "billing_gateway_request_duration_seconds"
    assert found[f"{name}_count{{call=pay}}"] == 1
    assert found[f"{name}_bucket{{call=pay,le=75.0}}"] == 1
    assert found[f"{name}_sum{{call=pay}}"] > 0
    assert sum(value for key, value in found.items() if key.startswith("billing_build_info")) == 1


def test_times_of_calls_add_up_over_processes_and_a_lost_database_loses_none(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two stores add; one that fails keeps its times for the next."""
    engine.begun()
    engine.run()
    call_times.store(engine.context, at_once=True)
    engine.context.call_times.add("pay", 1.0)
    database = engine.context.database
    with monkeypatch.context() as patch:
        patch.setattr(type(database), "transaction", _lost)
        with pytest.raises(ConnectionError):
            call_times.store(engine.context, at_once=True)

    call_times.store(engine.context, at_once=True)

    assert sum(metrics.read(engine.context).calls["pay"].buckets) == 2


def _lost(_database: object) -> None:
    raise ConnectionError


def test_a_token_is_needed_when_one_is_set(engine: Engine, redis_url: str) -> None:
    """Without it, or with another, the answer is a problem document, and an API key is no token."""
    with serving(engine, redis_url, metrics_token=SecretStr("scrape-me-with-this")) as web:
        assert web.stranger().refused("GET", "/metrics")["status"] == 401
        assert web.stranger("wrong").refused("GET", "/metrics")["status"] == 401
        assert web.client().refused("GET", "/metrics")["status"] == 401
        assert web.stranger("scrape-me-with-this").send("GET", "/metrics").status_code == 200


def test_a_scrape_within_fifteen_seconds_reads_nothing(
    engine: Engine, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many scrapers cost as much as one."""
    reads = []
    read_figures = metrics.read
    monkeypatch.setattr(metrics, "read", lambda context: reads.append(1) or read_figures(context))
    with serving(engine, redis_url) as web:
        for _ in range(5):
            scraped(web)

    assert len(reads) == 1


def test_totals_never_fall_from_one_process_to_the_next(
    engine: Engine, other: Engine, redis_url: str
) -> None:
    """
    With several processes a scrape shows what another process has counted since.

    What does not only grow is that of the last reading, as with one process.
    """
    one, two = (
        page.Scrapes(replace(each.context, settings=several(each, redis_url)))
        for each in (engine, other)
    )
    first = read(one.text("")[0].decode())
    engine.begun()
    engine.run()
    second = read(two.text("")[0].decode())
    third = read(one.text("")[0].decode())

    totals = {name for name in second if "_total" in name or "_bucket" in name}
    assert first["billing_charged_rupiah_total"] < second["billing_charged_rupiah_total"]
    assert {name: third[name] for name in totals} == {name: second[name] for name in totals}


def several(engine: Engine, redis_url: str) -> Settings:
    """The engine's settings with two processes."""
    changed = {"redis_url": SecretStr(redis_url), "web_processes": 2}
    return engine.context.settings.model_copy(update=changed)


def test_a_process_stores_its_times_without_a_scrape(
    engine: Engine, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scrape reaches one of several processes; the calls of the others are counted as well."""
    monkeypatch.setattr(call_times, "EVERY_SECONDS", 0.01)
    own = bootstrap.build(several(engine, redis_url))
    own.call_times.add("pay", 1.0)
    built = app.create(own)

    def stored() -> bool:
        with engine.context.database.transaction() as connection:
            return "pay" in rows.calls(connection)

    async def serve() -> None:
        async with built.router.lifespan_context(built):
            await asyncio.to_thread(wait_until, stored, "the times are stored")

    asgi.apart(serve)


def test_scrapes_hold_no_other_request(
    engine: Engine, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the first figures are read, other scrapes must come again, and threads are free."""
    go, begun = Event(), Event()
    read_figures = metrics.read

    def slow(context: Context) -> metrics.Figures:
        begun.set()
        go.wait(20)
        return read_figures(context)

    monkeypatch.setattr(metrics, "read", slow)
    with serving(engine, redis_url, web_threads=4) as web, ThreadPoolExecutor(8) as pool:
        first = pool.submit(web.stranger().send, "GET", "/metrics")
        assert begun.wait(20)
        others = [pool.submit(web.stranger().send, "GET", "/metrics") for _ in range(6)]
        assert {each.result().status_code for each in others} == {503}
        assert web.client("read").ok("GET", "/v1/me")
        go.set()
        assert first.result().status_code == 200


def test_a_locked_feed_fails_no_scrape(engine: Engine, other: Engine, redis_url: str) -> None:
    """The totals are shown as far as they are counted, and how many events are left."""
    metrics.read(engine.context)
    engine.customer(linked=False)
    with serving(engine, redis_url) as web, other.context.database.transaction() as held:
        held.execute(text("SELECT * FROM event_feed_state FOR UPDATE"))
        assert "billing_charged_rupiah_total" in scraped(web)


def test_no_label_names_a_customer(refunded: Engine, redis_url: str) -> None:
    """Ids, names and phones are in no metric; OpenMetrics is answered to whom accepts it."""
    customers = [row["id"] for row in refunded.rows("SELECT id FROM customers")]
    with serving(refunded, redis_url) as web:
        asked = web.stranger().send(
            "GET", "/metrics", Accept="application/openmetrics-text; version=1.0.0"
        )

    assert asked.text.rstrip().endswith("# EOF")
    assert not [one for one in customers if one in asked.text]
    assert "@" not in asked.text
    assert set(re.findall(r"(\w+)=\"", asked.text)) == {
        "call", "class", "kind", "le", "queue", "status", "version",
    }  # fmt: skip
