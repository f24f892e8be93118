"""A real Prometheus scrapes the web process, and each alert fires by a fault of the engine.

The waiting times of the alerts are left out here; `promtool` tests them in `deploy/prometheus`,
and the alert that compares with the past.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import requests
import yaml
from pydantic import SecretStr

from billing.clock import real_now
from billing.domain.events import OPERATOR
from billing.local.servers import free_port
from billing.services.operating import kill_switch, upkeep
from billing.services.webhooks import fanout
from billing.store.queries import engine as heartbeats
from billing.store.queries import metrics as rows
from billing.web import metrics as page
from tests.house.tree import ROOT
from tests.integration import hooked as webhooks
from tests.integration.engine import Engine
from tests.integration.hooked import hooked
from tests.integration.web import Web, serving
from tests.waits import wait_until

__all__ = ["hooked"]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
PROGRAM = shutil.which("prometheus")
TOKEN = "scrape-me-with-this"
AGAINST_THE_PAST = {"BillingSuccessRateLow"}
"""It compares with the same hour of last week: the tests of promtool have such a week."""
AT_ONCE = {
    "BillingTickLate", "BillingAuditLate", "BillingCountAheadLate", "BillingDueOld",
    "BillingChargeUnresolvedOld",
    "BillingAuditFindings", "BillingRowsHeld", "BillingWebhooksLate", "BillingWebhooksFailed",
    "BillingTokenKeyWrong", "BillingGatewayCertificateEnds", "BillingQueueLong",
}  # fmt: skip
STOPPED = {"BillingChargingStopped", "BillingBreakerTripped", "BillingRedisDown"}
GONE = {"BillingMetricsMissing"}


@pytest.fixture(autouse=True)
def _needed() -> None:
    if PROGRAM is None and os.environ.get("OVO_PROMTOOL") == "required":
        pytest.fail("prometheus is not installed: apt-get install prometheus")
    if PROGRAM is None:
        pytest.skip("prometheus is not installed: apt-get install prometheus")


def names() -> set[str]:
    """Every alert of the file."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return {rule["alert"] for group in groups for rule in group["rules"]}


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """Run Prometheus on our alerts, without their waiting times; gives its address."""
    document = yaml.safe_load(ALERTS.read_text())
    for group in document["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
    (folder / "alerts.yml").write_text(yaml.safe_dump(document))
    job = {
        "job_name": "billing", "authorization": {"credentials": TOKEN},
        "static_configs": [{"targets": [target]}],
    }  # fmt: skip
    every = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    configured = {"global": every, "rule_files": ["alerts.yml"], "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configured))
    port = free_port()
    assert PROGRAM is not None
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [PROGRAM, f"--config.file={folder / 'prometheus.yml'}",
             f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def asked(address: str, path: str, **query: str) -> Any:
    """What Prometheus answers; None while it starts."""
    try:
        answer = requests.get(f"{address}/api/v1/{path}", params=query, timeout=5)
        return answer.json()["data"] if answer.status_code == 200 else None
    except requests.ConnectionError:
        return None


def firing(address: str) -> set[str]:
    """The alerts that fire."""
    found = asked(address, "alerts") or {"alerts": []}
    return {each["labels"]["alertname"] for each in found["alerts"] if each["state"] == "firing"}


def test_every_alert_of_the_file_is_caused_here() -> None:
    """A new alert comes with its fault."""
    assert names() == AT_ONCE | STOPPED | GONE | AGAINST_THE_PAST


def test_each_alert_fires_by_its_fault(
    hooked: Engine, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing fires on a sound engine; then one fault of each kind, the kill switch, no process."""
    monkeypatch.setattr(page, "CACHE_SECONDS", 0.0)
    engine, waiting = hooked, redis.Redis.from_url(redis_url)
    before(engine)
    with serving(engine, redis_url, metrics_token=SecretStr(TOKEN)) as web:
        port = web.url.rpartition(":")[2]
        with prometheus(tmp_path, f"127.0.0.1:{port}") as address:
            wait_until(lambda: _is_up(address), "Prometheus has scraped")
            wait_until(lambda: not firing(address), "nothing fires on a sound engine")
            try:
                waiting.lpush("charges", *range(501))
                break_everything(engine)
                wait_until(lambda: firing(address) >= AT_ONCE, "faults are found")
                assert _value(address, "billing_held_rows{kind='invoice'}") == 1
            finally:
                waiting.delete("charges")
            kill_switch.stop_charging(engine.context, OPERATOR)
            engine.execute("UPDATE engine SET tripped_at = now()")
            _lose_redis(web, monkeypatch)
            wait_until(lambda: firing(address) >= STOPPED, "stopped charging is found")
            assert "BillingDueOld" not in firing(address)
            engine.audited = False
            _go_away(web, monkeypatch)
            wait_until(lambda: firing(address) >= GONE, "a web process that is gone is found")


def _is_up(address: str) -> bool:
    found = asked(address, "query", query="billing_build_info and on(job) (up == 1)")
    return bool(found and found["result"])


def _value(address: str, query: str) -> float:
    [found] = asked(address, "query", query=query)["result"]
    return float(found["value"][1])


def before(engine: Engine) -> None:
    """What a sound engine has: fresh ticks and checks that found nothing."""
    now = real_now()
    with engine.context.database.transaction() as connection:
        for tick in ("open_periods", "count_ahead", "audit"):
            heartbeats.beat(connection, tick, now)
            heartbeats.tick_succeeded(connection, tick, now)
        ends = (now + timedelta(days=90)).timestamp()
        rows.record_gauges(connection, {
            upkeep.AUDIT_FINDINGS: 0.0, upkeep.KEY_FAILURES: 0.0, upkeep.CERTIFICATE_ENDS: ends,
        }, now)  # fmt: skip


def break_everything(engine: Engine) -> None:
    """Late ticks, old and unresolved work, held rows, findings, webhooks that do not arrive."""
    endpoint, _ = webhooks.create(engine, "http://127.0.0.1:1/")
    engine.plan("P")
    unknown = engine.customer()
    engine.script("drop_after", unknown, times=None)
    engine.script("drop_after", unknown, "status", times=None)
    engine.subscribe(unknown)
    engine.run()
    for _ in range(2):
        engine.subscribe(engine.customer())
    engine.tick(["ticks.open_periods"])
    engine.execute(
        "UPDATE invoices SET held_at = now(), held_why = 'x' WHERE id = (SELECT id FROM invoices"
        " WHERE next_attempt_at IS NOT NULL ORDER BY id LIMIT 1)"
    )
    fanout.fan_out(engine.context)
    engine.execute("UPDATE webhook_deliveries SET created_at = created_at - interval '2 hours'")
    disabled, _ = webhooks.create(engine, "http://127.0.0.1:1/other")
    assert disabled != endpoint
    engine.execute(
        "UPDATE webhook_endpoints SET disabled_at = now(), disabled_cause = 'gone' WHERE id = :id",
        id=disabled,
    )
    engine.set_clock(engine.now + timedelta(days=2))
    long_ago = real_now() - timedelta(hours=4)
    with engine.context.database.transaction() as connection:
        for tick in ("open_periods", "count_ahead", "audit"):
            heartbeats.tick_succeeded(connection, tick, long_ago)
        rows.record_gauges(connection, {
            upkeep.AUDIT_FINDINGS: 1.0, upkeep.KEY_FAILURES: 1.0,
            upkeep.CERTIFICATE_ENDS: real_now().timestamp(),
        }, real_now())  # fmt: skip


def _lose_redis(_web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "queue_lengths", lambda _url: None)


def _go_away(_web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> None:
        raise psycopg.OperationalError

    monkeypatch.setattr(page.metrics, "read", lost)
