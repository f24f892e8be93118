"""Create the Celery app: settings, logs, and checks before start.

Started as `celery -A workers.app worker`, `… beat` and `… flower`. It contains no billing logic.
"""

from workers.settings import settings  # first: it reports wrong settings

# isort: split

import gc
import os
import sys
from functools import lru_cache
from typing import Any

import structlog
from celery import Celery, Task, signals
from redis import Redis
from redis.exceptions import RedisError

from billing import bootstrap, config, logs
from billing.domain.errors import BillingError, NotConfigured
from billing.domain.escaping import escape
from billing.services.context import Context
from billing.services.operating import call_times, safety
from billing.store import migrate
from schedules import beat
from workers import broker

SOFT_SHUTDOWN_MARGIN_SECONDS = 10
GARBAGE_THRESHOLD = 50_000
"""Rows are many dicts without cycles; collecting garbage took a quarter of opening's time."""

broker.install()


class BillingTask(Task):  # type: ignore[misc]  # celery has no types
    """A task that hides its arguments from monitoring, because they may be personal data."""

    Request = "workers.requests:DiscreetRequest"

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Send the task with its arguments hidden from events and logs."""
        shown = logs.scrub(repr(kwargs or {}))
        options.setdefault("argsrepr", logs.scrub(repr(args or ())))
        options.setdefault("kwargsrepr", shown)
        return super().apply_async(args, kwargs, **options)


log = logs.Logger(__name__)
app = Celery(
    "billing",
    task_cls=BillingTask,
    include=["workers.ticks", "workers.charges", "workers.webhooks", "workers.admin"],
)
app.conf.update(
    bootstrap.messaging(settings),
    beat_schedule=beat.schedule(settings.tick_seconds),
    beat_max_loop_interval=1,
    timezone="UTC",
    # A message is removed after its work; a killed worker's message is redelivered, which is safe.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    # One more than for charges: it serves admin tasks and ticks while charges wait for answers.
    worker_concurrency=settings.worker_processes + 1,
    worker_hijack_root_logger=False,
    worker_send_task_events=True,
    task_send_sent_event=True,
    task_track_started=False,
    # After the first signal a worker finishes its current work; this is one call's time.
    worker_soft_shutdown_timeout=float(settings.doku_timeout_seconds)
    + SOFT_SHUTDOWN_MARGIN_SECONDS,
    worker_cancel_long_running_tasks_on_connection_loss=False,
)


if "flower.command" in sys.modules:  # Celery's command line may start Flower
    from workers import doors

    doors.close(settings.flower_names)


@lru_cache(maxsize=1)
def _context_of(_pid: int) -> Context:
    return bootstrap.build(settings)


def context() -> Context:
    """Return the engine of this process, created after the fork."""
    return _context_of(os.getpid())


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _configure_logs(**_: Any) -> None:
    logs.configure(settings.log_format, settings.log_level)


@signals.celeryd_init.connect  # type: ignore[untyped-decorator]
def _check_worker(**_: Any) -> None:
    _check_or_exit()


@signals.celeryd_after_setup.connect  # type: ignore[untyped-decorator]
def _prepare_to_fork(instance: Any, **_: Any) -> None:
    broker.spare_a_process(instance.concurrency)
    # Celery collects before each fork; imported objects are no garbage, and stay shared memory.
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)


@signals.beat_init.connect  # type: ignore[untyped-decorator]
def _check_beat(**_: Any) -> None:
    _check_or_exit()


def _check_or_exit() -> None:
    """Exit with one line when a server is unreachable, tables are missing, or a key is missing."""
    for wrong in config.unknown():
        sys.stderr.write(f"billing: warning: {wrong}\n")
    try:
        engine = bootstrap.build(settings)
        engine.database.check()
        has, wants = migrate.status(settings.database, pooler=settings.database_pooler)
        if has != wants:
            raise NotConfigured(
                f"the database is at revision {has}, this version needs {wants}:"
                " run billing db upgrade"
            )
        safety.check_keys(engine)
        engine.pool.shutdown()
        engine.database.dispose()
        _check_redis()
    except BillingError as mistake:
        sys.exit(f"billing: {escape(str(mistake))}")


def _check_redis() -> None:
    client = Redis.from_url(settings.redis, socket_connect_timeout=5, socket_timeout=5)
    try:
        client.ping()
    except RedisError as error:
        where = logs.scrub(settings.redis)
        raise NotConfigured(
            f"cannot reach Redis at {where}: {error}; check BILLING_REDIS_URL"
        ) from None
    finally:
        client.close()


@signals.task_prerun.connect  # type: ignore[untyped-decorator]
def _bind_task_to_logs(task_id: str, task: Task, **_: Any) -> None:
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(task=task.name, task_id=task_id)


@signals.task_postrun.connect  # type: ignore[untyped-decorator]
def _unbind_task_from_logs(**_: Any) -> None:
    structlog.contextvars.clear_contextvars()


@signals.task_postrun.connect  # type: ignore[untyped-decorator]
def _store_call_times(**_: Any) -> None:
    try:
        call_times.store(context())
    except Exception as error:  # noqa: BLE001 - figures only: they are kept for the next task
        log.warning("call_times.not_stored", why=type(error).__name__)
