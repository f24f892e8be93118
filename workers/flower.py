"""Run Flower with access control: `celery -A workers.flower flower`; it needs only Redis.

The admin tasks are known by name and sent; what they do, the database, the gateway and the keys
belong to the workers. `doors` restricts who may connect.
"""

import os
import sys
from typing import Any

from celery import Celery

from billing import bootstrap, config, logs
from billing.domain.errors import BillingError
from billing.domain.escaping import escape
from workers import broker, doors

ADMIN_TASKS = (
    "admin.cancel_subscription",
    "admin.change_subscription",
    "admin.link_wallet",
    "admin.pause_subscription",
    "admin.refund_invoice",
    "admin.resume_subscription",
    "admin.retry_invoice",
    "admin.start_charging",
    "admin.stop_charging",
    "admin.subscribe",
    "admin.unlink_wallet",
    "admin.void_invoice",
)


class Sender(Celery):  # type: ignore[misc]  # celery has no types
    """A Celery client that only sends, and hides arguments from monitoring."""

    def send_task(
        self, name: str, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any
    ) -> Any:
        """Send a task by name with its arguments hidden from events."""
        options["argsrepr"] = logs.scrub(repr(args or ()))
        options["kwargsrepr"] = logs.scrub(repr(kwargs or {}))
        return super().send_task(name, args, kwargs, *rest, **options)


def _settings() -> config.Settings:
    try:
        # The files of a folder contain databases and keys: read them only if necessary.
        found = config.load([]) if os.environ.get("BILLING_REDIS_URL") else config.load()
        _ = found.redis
    except BillingError as mistake:
        sys.exit(f"billing: {escape(str(mistake))}")
    return found


def _app(settings: config.Settings) -> Celery:
    logs.configure(settings.log_format, settings.log_level)
    doors.close(settings.flower_names)
    made = Sender("billing", set_as_current=True)
    made.conf.update(bootstrap.messaging(settings), timezone="UTC", task_send_sent_event=True)
    for name in ADMIN_TASKS:
        made.task(_elsewhere, name=name, typing=False)
    return made


def _elsewhere(*_: Any, **__: Any) -> None:
    raise NotImplementedError("only workers run this task")


doors.check_logins(os.environ.get("FLOWER_BASIC_AUTH", "").split(","))
broker.install()
app = _app(_settings())
