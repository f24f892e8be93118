"""Bootstrap: the one place that builds the engine from its settings.

Gateway, vault and services are imported only by `build`, so that reading is fast to start.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from math import ceil
from typing import TYPE_CHECKING

from billing.call_times import CallTimes
from billing.clock import Clock, SystemClock, TestClock, real_now
from billing.config import ROUNDS_MAX, Settings
from billing.domain.errors import NotConfigured
from billing.store.queries import engine
from billing.store.session import Database

if TYPE_CHECKING:
    from celery import Celery

    from billing.domain.outcomes import Gateway
    from billing.services.context import Context

CONSUMED = ("ticks", "charges", "admin")
"""The queues of a plain worker; separate, so that many renewals do not delay refunds."""
WEBHOOKS = "webhooks"
"""Consumed only by a worker that is started for it: a slow receiver must not occupy a process that
charges."""
QUEUES = (*CONSUMED, WEBHOOKS)
SEND_SECONDS = 3
"""How long one attempt to send a message waits for the broker; there are five attempts."""


def build(settings: Settings, *, connections: int = 5, briefly: bool = False) -> "Context":
    """Build the engine; every connection is opened at its first use.

    `connections` is how many the process keeps open to the database; with `briefly` none of them
    waits longer than a second for a lock.

    Raises NotConfigured when a key is missing.
    """
    times = CallTimes()
    gateway = _gateway(settings, times)
    database = _database(settings, connections, briefly=briefly)
    return _context(settings, gateway, settings.token_keys, times, database)


def build_for_rows(settings: Settings) -> "Context":
    """Build the engine for a command that reads and writes rows only.

    It starts without the gateway's client and keys; using them raises NotConfigured then.
    """
    from billing.gateway.late import LateGateway

    keys = settings.token_keys if settings.token_key.get_secret_value() else ()
    times = CallTimes()
    gateway = LateGateway(lambda: _gateway(settings, times))
    return _context(settings, gateway, keys, times, _database(settings, 5))


def _database(settings: Settings, connections: int, *, briefly: bool = False) -> Database:
    return Database(
        settings.database, pool_size=connections, pooler=settings.database_pooler, briefly=briefly
    )


def _gateway(settings: Settings, times: CallTimes) -> "Gateway":
    if missing := settings.doku_missing:
        names, them = (" and ".join(missing), "it" if len(missing) == 1 else "them")
        raise NotConfigured(
            f"{names} {'is' if len(missing) == 1 else 'are'} not set; take {them} from DOKU's back"
            " office, or start the local stack with: billing up"
        )
    from billing.gateway.doku import DokuGateway

    return DokuGateway(
        base_url=settings.doku_base_url,
        client_id=settings.doku_client_id,
        secret_key=settings.doku_secret_key.get_secret_value(),
        timeout_seconds=settings.doku_timeout_seconds,
        real_now=real_now,
        fault_overrides=settings.faults,
        proxy=settings.doku_proxy,
        times=times,
        plain_host=settings.doku_plain_host,
    )


def _context(
    settings: Settings,
    gateway: "Gateway",
    keys: Sequence[str],
    times: CallTimes,
    database: Database,
) -> "Context":
    from billing.services.context import Context
    from billing.store.vault import Vault

    return Context(
        settings=settings,
        database=database,
        gateway=gateway,
        clock=clock(settings, database),
        vault=Vault(keys),
        pool=ThreadPoolExecutor(settings.batch_threads, thread_name_prefix="gateway"),
        desk=ThreadPoolExecutor(1, thread_name_prefix="desk"),
        call_times=times,
    )


def clock(settings: Settings, database: Database) -> Clock:
    """Build the billing clock: the system's, or the test clock in the database."""
    if not settings.test_clock:
        return SystemClock()

    def read() -> datetime | None:
        with database.reading() as connection:
            return engine.clock_at(connection)

    return TestClock(read)


def messenger(settings: Settings) -> "Celery":
    """Build a Celery client that only sends messages.

    Publishing fails after a few seconds, so that an unreachable broker does not block the caller.
    """
    from celery import Celery

    client = Celery("billing", broker=settings.redis)
    client.conf.update(messaging(settings))
    # The client never waits for a message, as a worker does; without this limit a broker that
    # accepts a connection and does not answer would block the caller for two and a half minutes.
    client.conf.broker_transport_options |= {"socket_timeout": SEND_SECONDS}
    return client


def _longest_batch_seconds(settings: Settings) -> int:
    """The duration of a batch in which each call (status, balance, pay) times out."""
    rounds = max(ceil(settings.batch_size / settings.batch_threads), ROUNDS_MAX)
    return ceil(rounds * 3 * settings.doku_timeout_seconds)


def messaging(settings: Settings) -> dict[str, object]:
    """Celery's settings for messages, the same for every sender and receiver."""
    return {
        "broker_url": settings.redis,
        "broker_transport_options": {
            "visibility_timeout": 2 * _longest_batch_seconds(settings),
            "unacked_restore_interval": 1,
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 25,
        },
        "broker_connection_retry_on_startup": True,
        "task_publish_retry_policy": {
            "max_retries": 3,
            "interval_start": 0.2,
            "interval_step": 0.5,
        },
        "task_serializer": "json",
        "accept_content": ["json"],
        "result_backend": None,
        "task_ignore_result": True,
        "task_default_queue": "admin",
        "task_queues": {name: {"exchange": name, "routing_key": name} for name in CONSUMED},
        "task_routes": {
            "ticks.*": {"queue": "ticks"},
            "charges.*": {"queue": "charges"},
            "refunds.*": {"queue": "admin"},
            "wallets.*": {"queue": "admin"},
            "admin.*": {"queue": "admin"},
            "webhooks.*": {"queue": WEBHOOKS},
        },
    }
