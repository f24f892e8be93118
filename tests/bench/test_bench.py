"""The smallest benchmark, so that it keeps working."""

import json
from datetime import timedelta
from itertools import islice
from pathlib import Path

import pytest
from rich.console import Console

from billing.clock import real_now
from billing.services.collecting import opening_batches
from tests.bench import console, latency, payday, people, webhooks
from tests.bench.__main__ import SMALLEST, bench
from tests.bench.plans import write_plans
from tests.bench.report import KINDS
from tests.bench.stage import stage

pytestmark = pytest.mark.tools


def test_the_smallest_benchmark_measures_all_three(tmp_path: Path) -> None:
    """Bare posts, the loop and the engine each pay every charge, and the report has them."""
    [wallet] = bench(Console(quiet=True), SMALLEST, tmp_path)

    assert all(wallet.rate(kind) > 0 for kind in KINDS)
    document = json.loads((tmp_path / "bench.json").read_text())
    assert document["wallets"][0]["engine_over_loop"] == round(wallet.ratio("loop"), 3)
    assert set(document["wallets"][0]["runs"]["engine"][0]["used"]["peak_mb"]) >= {
        "worker", "beat", "postgres", "redis", "gateway",
    }  # fmt: skip
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_the_plans_of_the_hot_statements_can_be_written(tmp_path: Path) -> None:
    """Each statement is executed and explained once on a small database, and rolled back."""
    with stage(20) as ground, ground.connect() as connection:
        people.subscribe(connection, 20, real_now().replace(microsecond=0) - timedelta(minutes=1))
        payday.add_history(connection, 100)
        opening_batches.open_due(ground.context)
        before = connection.execute("SELECT count(*) FROM events").fetchone()
        write_plans(ground.context, tmp_path)
        after = connection.execute("SELECT count(*) FROM events").fetchone()

    plans = {path.stem: path.read_text() for path in tmp_path.glob("*.txt")}
    assert {"claiming", "candidates", "outcomes", "settling", "due-to-open"} <= plans.keys()
    assert all(plans.values())
    assert "Insert on charges" in plans["claiming"]
    assert before == after


def test_charging_is_measured_with_and_without_an_endpoint() -> None:
    """Three lines: the rate without, the rate with one, and the deliveries."""
    without, with_one, deliveries = webhooks.measure(30, warm=10)

    assert "charges/s" in without
    assert "of that" in with_one
    assert int(deliveries.partition(" ")[0]) >= 4 * 30


def test_latency_is_measured_at_a_steady_rate() -> None:
    """Requests that show, create and notify are all answered, each kind at its own rate."""
    with stage(0, BILLING_WEB_REQUESTS_PER_SECOND="100000") as ground:
        loads = dict(latency.measure(ground, 300, 1, warm_seconds=1))

    assert [len(load.milliseconds) for load in loads.values()] == [100, 100, 200]
    assert all(0 < load.percentile(0.5) <= load.percentile(0.99) for load in loads.values())


def test_the_console_is_measured_page_by_page() -> None:
    """The first pages: each is asked for, its statements are counted and explained."""
    with stage(0) as ground:
        counted, *pages = islice(console.measure(ground, 300, 2), 4)

    assert counted.page == "the count of the tick count_ahead"
    assert counted.percentile(0.5) > 0
    assert [each.page for each in pages] == ["/now", "/search", "/customers"]
    assert all(0 < each.percentile(0.5) <= each.percentile(0.95) for each in pages)
    assert all(each.plans for each in pages)
