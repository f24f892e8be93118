"""Metrics in Prometheus's format: `/metrics` shows figures that are read from PostgreSQL.

Any process shows the same figures, after a restart too, and without files that processes share. A
scrape within 15 seconds gets the figures of the one before; with several processes totals are read
for each, so that they never fall from one process to the next. No customer is in a label.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from importlib.metadata import version
from threading import Lock
from time import monotonic

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry
from redis import Redis
from redis.exceptions import RedisError

from billing.bootstrap import QUEUES
from billing.call_times import BOUNDS_SECONDS, Times
from billing.services.context import Context
from billing.services.operating import metrics, upkeep
from billing.services.operating.metrics import Figures
from billing.web.problems import Refused

CACHE_SECONDS = 15.0
PAUSE_SECONDS = 2.0
"""How long a scrape that failed is not repeated."""
PING_SECONDS = 2
TOTALS = {
    "charges": ("status", "billing_charges", "Charges that reached a status; in_flight is a claim"),
    "declines": ("class", "billing_charge_declines", "Declined charges by fault class"),
    "charged_rupiah": ("", "billing_charged_rupiah", "Rupiah of charges that succeeded"),
    "refunded_rupiah": ("", "billing_refunded_rupiah", "Rupiah of refunds that succeeded"),
}

CHECKED = {
    upkeep.AUDIT_FINDINGS: (
        "billing_audit_findings", "Broken invariants that the last audit found",
    ),
    upkeep.KEY_FAILURES: (
        "billing_token_key_failures", "Sampled encrypted values that no key decrypts",
    ),
    upkeep.CERTIFICATE_ENDS: (
        "billing_gateway_certificate_expiry_timestamp_seconds",
        "Until when the gateway's certificate is valid, in Unix time; 0: it is not valid",
    ),
}  # fmt: skip
"""What the hourly tick checks; a metric is missing until it has run."""


class Scrapes:
    """The figures of the last scrape of one process, kept for 15 seconds."""

    def __init__(self, context: Context, monotonic_now: Callable[[], float] = monotonic) -> None:
        self._context = context
        self._now = monotonic_now
        self._lock = Lock()
        self._found: tuple[Figures, dict[str, int] | None] | None = None
        self._until: float | None = None

    def text(self, accept: str) -> tuple[bytes, str]:
        """Return the figures in the format that a scraper accepts, and its content type."""
        # One thread reads; others show what it read before, so that scrapes hold no other request.
        if self._lock.acquire(blocking=False):
            try:
                self._renew()
            finally:
                self._lock.release()
        if self._found is None:
            raise Refused(
                503, "unavailable", "the first figures are being read; ask again",
                Retry_After=str(int(PAUSE_SECONDS)),
            )  # fmt: skip
        figures, queues = self._found
        if self._context.settings.web_processes > 1:
            figures = metrics.renewed(self._context, figures)
        encode, content_type = choose_encoder(accept)
        shown = CollectorRegistry(auto_describe=False)
        shown.register(_Fixed(families(figures, queues)))
        return encode(shown), content_type

    def _renew(self) -> None:
        if self._until is not None and self._now() < self._until:
            return
        self._until = self._now() + PAUSE_SECONDS  # also after a failure
        figures = metrics.read(self._context)
        self._found = figures, queue_lengths(self._context.settings.redis)
        self._until = self._now() + CACHE_SECONDS


class _Fixed(Collector):
    def __init__(self, found: Iterable[Metric]) -> None:
        self._found = list(found)

    def collect(self) -> Iterable[Metric]:
        return self._found


def families(figures: Figures, queues: dict[str, int] | None) -> Iterator[Metric]:
    """Build every metric from the figures; `queues` is None when Redis does not answer."""
    yield from _totals(figures)
    yield from _waiting(figures)
    yield from _states(figures, queues)
    yield _calls(figures.calls)
    build = GaugeMetricFamily("billing_build_info", "The version that answers", labels=["version"])
    build.add_metric([version("ovo-billing")], 1)
    yield build


def _totals(figures: Figures) -> Iterator[Metric]:
    for name, (label, metric, text) in TOTALS.items():
        family = CounterMetricFamily(metric, text, labels=[label] if label else [])
        found = [total for total in figures.totals if total.name == name]
        for total in found:
            family.add_metric([total.label] if label else [], total.total)
        if not label and not found:
            family.add_metric([], 0)
        yield family
    yield _gauge(
        "billing_metrics_behind_events", "Events that the totals do not count yet", figures.behind
    )


def _waiting(figures: Figures) -> Iterator[Metric]:
    now, at = figures.now, figures.at
    yield _gauge("billing_charges_unresolved", "Charges without a final outcome", now.unresolved)
    yield _gauge(
        "billing_charge_oldest_unresolved_age_seconds",
        "Age of the oldest charge without a final outcome; 0 without one",
        _age(now.oldest_unresolved_at, at),
    )
    yield _gauge(
        "billing_due_oldest_age_seconds",
        "How long the oldest due invoice or period has been due; 0 when nothing is",
        _age(now.oldest_due_at, at),
    )
    yield _gauge("billing_refunds_unsettled", "Refunds not settled yet", now.unsettled_refunds)
    held = GaugeMetricFamily(
        "billing_held_rows", "Rows that are held after an error", labels=["kind"]
    )
    for kind in ("subscription", "invoice", "charge", "refund", "wallet"):
        held.add_metric([kind], getattr(now, f"held_{kind}s"))
    yield held
    yield _gauge(
        "billing_webhook_pending_deliveries", "Webhook deliveries to send", now.pending_deliveries
    )
    yield _gauge(
        "billing_webhook_oldest_pending_age_seconds",
        "Age of the oldest webhook delivery that is still to be sent; 0 without one",
        _age(now.oldest_pending_at, figures.real_at),
    )
    yield _gauge(
        "billing_webhook_failed_deliveries",
        "Webhook deliveries of the last 90 days that failed for good", now.failed_deliveries,
    )  # fmt: skip
    yield _gauge(
        "billing_webhook_disabled_endpoints", "Webhook endpoints that are disabled",
        now.disabled_endpoints,
    )  # fmt: skip


def _states(figures: Figures, queues: dict[str, int] | None) -> Iterator[Metric]:
    now = figures.now
    yield _gauge("billing_charging_stopped", "1 while the kill switch is on", now.stopped)
    yield _gauge("billing_breaker_tripped", "1 after the breaker stopped charging", now.tripped)
    yield _gauge("billing_gateway_paused", "1 while calls to the gateway are paused", now.resting)
    success = GaugeMetricFamily(
        "billing_tick_last_success_timestamp_seconds",
        "When a tick last succeeded, in Unix time; 0: never; not when it skipped its work",
        labels=["tick"],
    )  # fmt: skip
    for tick in figures.ticks:
        success.add_metric([tick.tick], _unix(tick.succeeded_at))
    yield success
    for name, (metric, text) in CHECKED.items():
        if name in figures.gauges:
            yield _gauge(metric, text, figures.gauges[name])
    yield _gauge("billing_redis_up", "1 when Redis answers", queues is not None)
    if queues is not None:
        waiting = GaugeMetricFamily(
            "billing_queue_messages", "Messages that wait in a queue", labels=["queue"]
        )
        for name, length in queues.items():
            waiting.add_metric([name], length)
        yield waiting


def _calls(calls: dict[str, Times]) -> Metric:
    family = HistogramMetricFamily(
        "billing_gateway_request_duration_seconds",
        "How long requests to the gateway took, whatever their outcome", labels=["call"],
    )  # fmt: skip
    for call, times in calls.items():
        total, buckets = 0, []
        for bound, found in zip((*BOUNDS_SECONDS, "+Inf"), times.buckets, strict=True):
            total += found
            buckets.append((str(bound), float(total)))
        family.add_metric([call], buckets, times.seconds)
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max((now - since).total_seconds(), 0.0)


def _unix(at: datetime | None) -> float:
    return 0.0 if at is None else at.timestamp()


def queue_lengths(redis_url: str) -> dict[str, int] | None:
    """Return how many messages wait in each queue; None when Redis does not answer."""
    client = Redis.from_url(
        redis_url, socket_timeout=PING_SECONDS, socket_connect_timeout=PING_SECONDS
    )
    try:
        return {name: int(client.llen(name)) for name in QUEUES}
    except RedisError:
        return None
    finally:
        client.close()
